"""The mirror of a store in a bucket: what only the bucket has is fetched, what only the store has is put.

The folder stays the store: whatever happens to the bucket, cells run and records are written. What could not be put
is told at the end, and put by the next run with the same bucket.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import BucketError, StoreError
from harness.exchange.merging import MergeConflict
from harness.mirroring.addresses import VARIABLE, find_remote
from harness.mirroring.agreement import Agreement
from harness.mirroring.bucket import Found, open_bucket
from harness.mirroring.exchange import Done, Exchange, Settled
from harness.mirroring.layout import (
    RECORDS,
    SUITES,
    parse_record_name,
    parse_suite_name,
    record_name,
    suite_name,
)
from harness.mirroring.sending import Sender
from harness.records.paths import default_store
from harness.records.store import Store, warn_once

log = logging.getLogger("harness")

READERS = 16
"""Threads that fetch; each mostly waits."""

NAMED = 3
"""The most objects that a message names."""

AT_INTERRUPT = 10.0
"""Seconds for which an interrupted run waits for what is being put."""


@dataclass
class Fetched:
    """What a fetch did: records by outcome, contradictions and other lines to tell, names of what is to be put."""

    counts: Counter[Done] = field(default_factory=Counter)
    conflicts: list[MergeConflict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    to_put: list[str] = field(default_factory=list)

    @property
    def taken(self) -> int:
        """How many records are new here, or replaced less complete ones."""
        return self.counts[Done.TAKEN] + self.counts[Done.REPLACED]


class Mirror:
    """A store and its bucket. Raises Unavailable or BucketError if the bucket can't be opened."""

    def __init__(self, store: Store, url: str, tolerance: float = 0.0) -> None:
        self.store = store
        self.bucket = open_bucket(url)
        self.agreement = Agreement(store.path, url)
        self.exchange = Exchange(store, self.bucket, self.agreement, tolerance)
        self.told: list[str] = []
        """Contradictions met while putting."""
        self._sender = Sender(self._send)

    def fetch(self) -> Fetched:
        """Bring what the bucket has and the store lacks, after one look at the names there.

        Raises BucketError if the bucket fails, StoreUnwritable if the disk refuses.
        """
        outcome = Fetched()
        records, suites = self._list(RECORDS, parse_record_name), self._list(SUITES, parse_suite_name)
        here = self.store.listing()
        differing = [id for id, tag in records.items() if not self.agreement.recognises(record_name(id), tag)]
        with self.store.writing():
            pool = ThreadPoolExecutor(READERS, "harness-fetch")
            try:
                for id, settled in zip(differing, pool.map(self._settle, differing), strict=True):
                    outcome.counts[settled.done] += 1
                    _sort_out(settled, record_name(id), outcome)
            finally:
                pool.shutdown(cancel_futures=True)
                self.agreement.keep()
        outcome.counts[Done.SAME] += len(records) - len(differing)
        outcome.to_put += [record_name(id) for id in here if id not in records]
        for suite in suites:
            try:
                _sort_out(self.exchange.settle_suite(suite), suite_name(suite), outcome)
            except StoreError as error:
                outcome.unreadable.append(str(error))
        outcome.to_put += [suite_name(suite) for suite in self.store.suites() if suite not in suites]
        self.agreement.keep()
        return outcome

    def _list(self, folder: str, parse: Callable[[str], str | None]) -> dict[str, str]:
        """Return what a folder of the bucket holds, with tags; tell names that are no store's, once."""
        found: dict[str, str] = {}
        strange: list[Found] = []
        for entry in self.bucket.list(folder):
            known = parse(entry.name)
            if known is not None:
                found[known] = entry.tag
            elif entry.name != folder:  # the mark of an empty folder, which web consoles make
                strange.append(entry)
        if strange:
            first = min(entry.name for entry in strange)
            warn_once(
                f"{self.bucket.url}: {len(strange)} objects below {folder}/ are none of a store's and stay there "
                f"(first: {ascii(first)[1:-1]:.100})"
            )
        return found

    def _settle(self, id: str) -> Settled:
        try:
            return self.exchange.settle(id)
        except StoreError as error:  # damaged there: a sound one here replaces it
            here = self.store.file("records", id, ".json").is_file()
            return Settled(Done.TO_PUT if here else Done.SAME, f"{error}; it is not fetched")

    def put(self, name: str) -> None:
        """Put a record or a plan by its object's name, in the background."""
        self._sender.add(name)

    def sweep(self, finished: Collection[str]) -> None:
        """Put what the bucket still lacks of the store, and of what it has, those `finished` ids that differ."""
        try:
            there = self._list(RECORDS, parse_record_name)
        except BucketError:  # each that is put says so, and is told
            there = {id: "" for id in self.store.listing() if id not in finished}
            finished = ()
        for id in self.store.listing():
            name = record_name(id)
            if id not in there or (id in finished and not self.agreement.recognises(name, there[id])):
                self.put(name)

    def _send(self, name: str) -> None:
        id, suite = parse_record_name(name), parse_suite_name(name)
        if id is not None:
            settled = self.exchange.put(id)
        elif suite is not None:
            settled = self.exchange.put_suite(suite)
        else:
            return
        told = settled.conflict or settled.said
        if told:
            self.told.append(f"{told}")

    def finish(
        self, interrupted: bool = False, show: Callable[[int], None] = lambda left: None
    ) -> dict[str, str]:
        """Wait until all is put, and return why for each object that could not be; `told` has the rest."""
        left = self._sender.finish(AT_INTERRUPT if interrupted else None, show)
        self.agreement.keep()
        return left


def describe_left(url: str, left: Mapping[str, str]) -> str:
    """Return the line on what could not be put.

    >>> describe_left("s3://b", {"suites/x.json": "s3://b: access is refused"}).partition(";")[0]
    's3://b: 1 of the records and plans could not be put (suites/x.json): access is refused'
    """
    more = f" and {len(left) - NAMED} more" if len(left) > NAMED else ""
    named = ", ".join([*left][:NAMED])
    why = Counter(left.values()).most_common(1)[0][0].removeprefix(f"{url}: ")
    return (
        f"{url}: {len(left)} of the records and plans could not be put ({named}{more}): {why}; they are here, and the "
        "next run with this --remote puts them"
    )


def fetch_into(store: Store, url: str, tolerance: float = 0.0) -> Fetched:
    """Bring what a bucket has into a store, and put nothing. Raises as `Mirror.fetch` does."""
    try:
        return Mirror(store, url, tolerance).fetch()
    except BucketError as error:
        raise BucketError(
            f"{error} (without --remote and {VARIABLE}, the store here is used alone)"
        ) from None


def open_fetched(path: str | Path | None, remote: str | None, where: str = "remote") -> Store:
    """Return the store at a path (by default the default one), after a fetch of what its bucket has, if it has one.

    The bucket is `remote`, else $HARNESS_REMOTE. Raises OptionError, starting with `where`, for an address that is
    none; see `Mirror.fetch` for the rest.
    """
    store = Store(path or default_store())
    url = find_remote(remote, where)
    if url is not None:
        fetched = fetch_into(store, url)
        for text in (*fetched.conflicts, *fetched.unreadable, *fetched.notes):
            log.warning("harness: %s", text)
    return store


def _sort_out(settled: Settled, name: str, outcome: Fetched) -> None:
    if settled.done is Done.TO_PUT:
        outcome.to_put.append(name)
    if settled.conflict is not None:
        outcome.conflicts.append(settled.conflict)
    elif settled.said is not None:
        outcome.notes.append(settled.said)
