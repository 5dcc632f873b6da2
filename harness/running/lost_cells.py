"""Records of cells whose worker died or had to be ended."""

from __future__ import annotations

from contextlib import closing

from harness.contract.cells import Cell
from harness.records import provenance
from harness.records.leases import FOLDER, Leases
from harness.records.record import Record, make_blank
from harness.records.store import Store


def record_lost_cell(cell: Cell, store: Store, reason: str, seconds: float, since: int) -> Record:
    """Write and return the failed record of a cell that left none.

    `seconds` is how long its last worker was at it. An ok record that its worker, or another run, has written
    since the run began (`since`, in ns by the store's clock) stays and is returned.
    """
    if (
        (store.date(cell.id) or 0) > since
        and (made := store.read(cell.id)) is not None
        and made.status == "ok"
    ):
        return made
    record = make_blank(cell, "failed", reason)
    record.cost["seconds"] = seconds
    record.provenance = {"ended": provenance.now(), **provenance.environment()}
    record.remark(cell.remarks)
    store.write(record)
    with closing(Leases(store.path / FOLDER)) as leases:  # the dead worker's, which nobody else would ask for
        if leases.take(cell.id) is None:
            leases.give(cell.id)
    return record
