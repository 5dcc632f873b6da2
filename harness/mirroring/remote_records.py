"""A worker's look into the bucket before it runs a cell: another machine may have finished it meanwhile."""

from __future__ import annotations

from harness.errors import BucketError, StoreError, StoreUnwritable
from harness.mirroring.agreement import Agreement
from harness.mirroring.breaker import Breaker
from harness.mirroring.bucket import open_bucket
from harness.mirroring.exchange import Exchange
from harness.records.record import Record
from harness.records.store import Store, warn_once


class RemoteRecords:
    """The records of a bucket. One that fails counts as empty, with a warning."""

    def __init__(self, store: Store, url: str) -> None:
        self._store = store
        self._exchange = Exchange(store, open_bucket(url), Agreement(store.path, url))
        self._breaker = Breaker(failures=1)

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
