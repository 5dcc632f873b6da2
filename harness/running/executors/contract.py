"""The contract of executors: they run the cells of a plan somewhere, and each leaves its record on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.records.record import Record
    from harness.running.worker import RunSettings


@runtime_checkable
class Executor(Protocol):
    """The processes in which cells run, by the entry-point group `harness.executors`.

    It decides no result. `harness.running.worker.Worker(settings, tell)` runs cells in a process and writes
    their records; `harness.planning.grouping.seed_groups` says which belong into one call of `run_group`.
    An executor may have `close()`, which is called once no run needs it any more.
    """

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Yield every cell once with its record, in any order, as soon as the record is on disk.

        `tell(event, **facts)` passes on events: `cell_started` with `cell`, `position` (from 1) and `total`
        for each cell, and those of `Worker` for running cells. A failed cell has a record that says so; only
        what stops the whole run (Ctrl-C) is raised.
        """
        ...
