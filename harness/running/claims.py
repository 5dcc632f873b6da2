"""Claims of a worker on cells, so that several runs on one store share the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.contract.cells import Cell
from harness.records.leases import FOLDER, Holder, Leases
from harness.records.record import Record
from harness.records.store import Store

if TYPE_CHECKING:
    from harness.mirroring.joint_leases import TakesLeases
    from harness.mirroring.remote_records import RemoteRecords

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks at a cell that another run is at: at first, and after doubling at most."""


PATIENCE = 10.0
"""Seconds to wait at the end for records on their way to a bucket."""


class Claims:
    """The cells that one worker has taken; their leases are files of the store.

    `since` is when the run began, in ns by the clock of the store's file system: what other runs recorded later
    is not run again. With `remote`, the store's bucket, leases are also taken there, and given once the record is.
    """

    def __init__(self, store: Store, fresh: bool = False, remote: RemoteRecords | None = None) -> None:
        self.since = store.read_clock()
        self._store, self._fresh, self._remote = store, fresh, remote
        self._leases: TakesLeases = Leases(store.path / FOLDER)
        if remote is not None:
            self._leases = remote.join_leases(self._leases)

    def take(self, cell: Cell) -> Record | Holder | None:
        """Return None if the cell is this worker's to run, else its record, or who is at it."""
        if (holder := self._leases.take(cell.id)) is not None:
            return holder
        if self._remote is not None and not self._fresh:
            self._remote.take(cell.id)
        if (record := self._read_made_meanwhile(cell)) is not None:
            self._leases.give(cell.id)
        return record

    def give(self, cell: Cell) -> None:
        """Let others have the cell: its record is written, or it is left undone."""
        if self._remote is None or self._store.date(cell.id) is None:
            self._leases.give(cell.id)
        else:
            self._remote.put(cell.id, then=lambda: self._leases.give(cell.id))

    def close(self) -> None:
        """Give all back, at most some seconds later: what a bucket is still to get is put first."""
        if self._remote is not None:
            self._remote.wait(PATIENCE)
        self._leases.close()

    def _read_made_meanwhile(self, cell: Cell) -> Record | None:
        """Return the cell's record if another run has made it: a whole one, or any since this run began."""
        written = self._store.date(cell.id)
        if written is None or (self._fresh and written <= self.since):
            return None
        record = self._store.read(cell.id)
        if record is None or (not record.whole and written <= self.since):
            return None
        return record
