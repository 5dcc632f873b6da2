"""A worker's part in the mirror: it looks into the bucket before it runs a cell, and puts what it has made."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from harness.errors import BucketError, StoreError, StoreUnwritable
from harness.mirroring.agreement import Agreement
from harness.mirroring.breaker import Breaker
from harness.mirroring.bucket import open_bucket
from harness.mirroring.bucket_leases import BucketLeases
from harness.mirroring.exchange import Exchange
from harness.mirroring.joint_leases import JointLeases, TakesLeases
from harness.mirroring.sending import Sender
from harness.records.record import Record
from harness.records.store import Store, warn_once

_open: weakref.WeakSet[RemoteRecords] = weakref.WeakSet()


class RemoteRecords:
    """The records of a bucket. One that fails counts as empty, with a warning."""

    def __init__(self, store: Store, url: str) -> None:
        self._store, self._url = store, url
        self._exchange = Exchange(store, open_bucket(url), Agreement(store.path, url))
        self._breaker = Breaker(failures=1)
        self._sender = Sender(self._put)
        _open.add(self)

    def take(self, id: str) -> Record | None:
        """Fetch a record with its files, and return it if it is whole; None if the cell is to run.

        Raises StoreUnwritable if the disk refuses it.
        """
        if self._breaker.is_open:
            return None
        try:
            with self._store.writing():
                self._exchange.settle(id)
        except BucketError as error:
            self._breaker.fail()
            warn_once(f"{error}; for now, cells run without a look at what other machines have done")
            return None
        except StoreUnwritable:
            raise
        except StoreError as error:
            warn_once(f"{error}; the cell runs")
            return None
        record = self._store.read(id)
        return record if record is not None and record.whole else None

    def put(self, id: str, then: Callable[[], None] = lambda: None) -> None:
        """Put a record with its files in the background, and call `then` afterwards, whether it could be put or not.

        What could not be put is put and told by the run (`mirrored_run.py`).
        """
        self._sender.add(id, then)

    def join_leases(self, places: TakesLeases) -> JointLeases:
        """Return leases that are had in a folder and in the bucket, or in neither."""
        return JointLeases(places, BucketLeases(self._url))

    def wait(self, patience: float | None = None, show: Callable[[int], None] = lambda left: None) -> None:
        """Wait until all was tried, or for so many seconds; `show` is called with how many are left."""
        self._sender.wait(patience, show)

    def _put(self, id: str) -> None:
        settled = self._exchange.put(id)
        if told := settled.conflict or settled.said:
            warn_once(f"{told}")


def wait_for_puts(patience: float | None = None, show: Callable[[int], None] = lambda left: None) -> None:
    """Wait for what workers in this process put; those in other processes have ended with theirs."""
    for each in list(_open):
        each.wait(patience, show)
