"""The executor that runs cells in this process, one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.contract.cells import Cell
from harness.planning.grouping import seed_groups
from harness.records.record import Record
from harness.running.worker import RunSettings, Worker


class Inline:
    """Cells in this process, in the plan's order."""

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells; yield each with its record, which is on disk by then."""
        worker = Worker(settings, tell)
        position = 0
        for group in seed_groups(cells):
            for cell in group:
                position += 1
                tell("cell_started", cell=cell, position=position, total=len(cells))
            yield from zip(group, worker.run_group(group), strict=True)
