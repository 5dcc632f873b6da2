"""Claims of a worker on cells, so that several runs on one store share the work."""

from __future__ import annotations

from harness.contract.cells import Cell
from harness.records.leases import FOLDER, Holder, Leases
from harness.records.record import Record
from harness.records.store import Store

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two looks at a cell that another run is at: at first, and after doubling at most."""


class Claims:
    """The cells that one worker has taken; their leases are files of the store.

    `since` is when the run began, in ns by the clock of the store's file system: what other runs recorded later
    is not run again.
    """

    def __init__(self, store: Store, fresh: bool = False) -> None:
        self.since = store.read_clock()
        self._store, self._fresh = store, fresh
        self._leases = Leases(store.path / FOLDER)

    def take(self, cell: Cell) -> Record | Holder | None:
        """Return None if the cell is this worker's to run, else its record, or who is at it."""
        if (holder := self._leases.take(cell.id)) is not None:
            return holder
        if (record := self._read_made_meanwhile(cell)) is not None:
            self._leases.give(cell.id)
        return record

    def give(self, cell: Cell) -> None:
        """Let others have the cell: its record is written, or it is left undone."""
        self._leases.give(cell.id)

    def close(self) -> None:
        """Give all back."""
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
