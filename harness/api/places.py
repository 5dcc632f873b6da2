"""The store that a function of the API reads: a folder, after a fetch of what its bucket has, if it has one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.records.store import Store


def open_place(store: str | Path | None, remote: str | None) -> Store:
    """Return the store; `remote` is the address of its bucket, by default $HARNESS_REMOTE.

    Raises OptionError for an address that is none, BucketError for a bucket that can't be read.
    """
    from harness.mirroring.addresses import find_remote

    if find_remote(remote, "remote") is None:  # a bucket's modules take a moment
        from harness.records.paths import default_store
        from harness.records.store import Store

        return Store(store or default_store())
    from harness.mirroring.mirror import open_fetched

    return open_fetched(store, remote)
