"""The executor that runs cells in this process, one after another."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from harness.contract.cells import Cell
from harness.planning.grouping import seed_groups
from harness.records.record import Record
from harness.running.claims import FIRST_PAUSE, LONGEST_PAUSE
from harness.running.executors.processes import Processes
from harness.running.positions import Positions
from harness.running.worker import RunSettings, Worker


class Inline:
    """Cells in this process, in the plan's order; with a time limit per cell, in one process of their own.

    Args:
        own_process: whether to run the cells in one other process, which a plugin may then hang or crash.
    """

    def __init__(self, own_process: bool = False) -> None:
        self.own_process = own_process
        self._other = Processes(1)

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells; yield each with its record, which is on disk by then.

        Those that another run is at come last.
        """
        if self.own_process or settings.cell_timeout is not None:
            yield from self._other.execute(cells, replace(settings, threads=os.cpu_count()), tell)
            return
        tell = Positions(tell, len(cells))
        with closing(Worker(settings, tell)) as worker:

            def begin(started: Sequence[Cell]) -> None:
                for cell in started:
                    tell("cell_started", cell=cell)

            waiting = deque(seed_groups(cells))
            held: dict[str, Cell] = {}
            warmed: set[str] = set()
            pause = FIRST_PAUSE
            while waiting:
                group = waiting.popleft()
                for cell, answer in zip(group, worker.try_group(group, begin), strict=True):
                    if isinstance(answer, Record):
                        held.pop(cell.id, None)
                        yield cell, answer
                        continue
                    if cell.id not in held:
                        tell("cell_elsewhere", cell=cell, holder=str(answer))
                    held[cell.id] = cell
                if not waiting and held:
                    for cell in (c for c in held.values() if c.id not in warmed):
                        warmed.add(cell.id)
                        worker.warm(cell, lambda: False)
                    time.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                    waiting.extend(seed_groups(list(held.values())))

    def close(self) -> None:
        """End the other process, if there is one."""
        self._other.close()
