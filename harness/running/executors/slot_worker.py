"""What runs in a slot's worker, wherever that is: the cells it gets, and what it tells about them."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract.cells import Cell
from harness.planning.grouping import seed_groups
from harness.records.record import Record
from harness.running.executors.channel import ELSEWHERE, IDLE, Sender
from harness.running.worker import Worker


def run_cells(worker: Worker, sender: Sender, cells: Sequence[Cell], since: int) -> None:
    """Run cells in order; send for each its record, or who else is at it, and at last that the worker is idle.

    The start of cells is sent at once, so that whoever waits knows which were running when a worker died.
    """
    worker.claims.since = since

    def begin(started: Sequence[Cell]) -> None:
        for cell in started:
            sender("cell_started", cell=cell)
        sender.flush()

    for group in seed_groups(cells):
        for cell, answer in zip(group, worker.try_group(group, begin), strict=True):
            if isinstance(answer, Record):
                sender.record(cell, answer)
            else:
                sender.say(ELSEWHERE, cell.id, holder=str(answer))
    sender.say(IDLE)
