"""Merging of stores that lie in folders and in buckets into one folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from harness.errors import StoreError
from harness.exchange.merging import MergeResult, merge
from harness.mirroring.addresses import check_address
from harness.mirroring.exchange import Done
from harness.mirroring.mirror import Fetched, Mirror
from harness.records.store import Store


def merge_sources(into: str | Path, sources: Sequence[str | Path], tolerance: float = 0.0) -> MergeResult:
    """Merge stores, of which texts like `s3://bucket/folder` are in buckets, as `harness.exchange.merging.merge` does.

    Raises StoreError as that does, OptionError for an address that is none, BucketError if a bucket fails.
    """
    if is_address(into):
        raise StoreError(
            f"{into}: records are merged into a folder; `harness run --remote` puts a folder's into a bucket"
        )
    store, outcome = Store(into), MergeResult()
    addresses = {source: check_address(str(source), "merge") for source in sources if is_address(source)}
    for source in sources:
        if source not in addresses:
            _add(merge(store, [Store(source)], tolerance), outcome)
            continue
        merge(store, [], tolerance)  # refuses a tolerance that makes no sense
        fetched = _fetch(store, addresses[source], tolerance)
        outcome.copied += fetched.counts[Done.TAKEN]
        outcome.replaced += fetched.counts[Done.REPLACED]
        outcome.same += fetched.counts[Done.SAME]
        outcome.conflicts += fetched.conflicts
        outcome.unreadable += fetched.unreadable
        outcome.notes += fetched.notes
    return outcome


def _fetch(store: Store, url: str, tolerance: float) -> Fetched:
    """Fetch what a bucket has. Raises StoreError for one that is no store's, which a mistyped name makes likely."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not Path(unquote(parts.path)).is_dir():  # opening it makes it
        raise StoreError(f"{url}: no such store")
    fetched = Mirror(store, url, tolerance).fetch()
    if not sum(fetched.counts.values()) and not fetched.unreadable:
        raise StoreError(f"{url}: holds no records")
    return fetched


def is_address(given: str | Path) -> bool:
    """Return whether it is the address of a bucket and no folder."""
    return isinstance(given, str) and "://" in given


def _add(one: MergeResult, to: MergeResult) -> None:
    for name, found in vars(one).items():
        setattr(to, name, getattr(to, name) + found)
