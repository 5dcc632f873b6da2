"""The executor that spreads cells over worker processes of this machine, which live as long as the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from harness.contract.cells import Cell
from harness.discovery.registry import THIS_PROCESS
from harness.errors import HarnessError
from harness.records.record import Record
from harness.records.store import Store
from harness.running.executors.chunks import make_chunks, spread_chunks
from harness.running.executors.dispatcher import Dispatcher
from harness.running.executors.main_module import CURE, find_obstacle
from harness.running.executors.process_slots import ProcessPlace
from harness.running.visible_devices import Gpu, list_gpus
from harness.running.worker import RunSettings


class Processes:
    """Cells in `count` processes, each with its share of threads, and with a GPU of its own where there are any.

    The processes stay for the next `execute` with the same settings, until `close`, and keep what they
    have imported, loaded and opened.

    Args:
        count: number of worker processes, at least 1; by default one per GPU, else one per two cores.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count
        if count is not None and count < 1:
            raise HarnessError(f"executor processes: count must be at least 1, found {count}")
        self._started: tuple[RunSettings, int, Dispatcher] | None = None

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells; yield each with its record when finished, in no fixed order; `tell` hears all events.

        Raises HarnessError if no process could be started, or one would run the caller's script again.
        """
        check_can_leave(cells, "processes")
        gpus, device = choose_gpus(settings.device)
        count = self.count or len(gpus) or default_count()
        threads = settings.threads or max(1, (os.cpu_count() or 1) // count)
        setup = replace(settings, device=device, threads=threads, cell_timeout=None)
        if self._started is None or self._started[:2] != (setup, count):
            self.close()
            self._started = (setup, count, Dispatcher(ProcessPlace(count, setup, gpus)))
        since = Store(settings.store).read_clock()
        # several chunks per process, so that none waits long for the last; a chunk shares its model
        chunks = spread_chunks(make_chunks(cells, max(1, len(cells) // (16 * count))))
        finished = False
        try:
            yield from self._started[2].run(
                chunks, settings.store, tell, since=since, cell_timeout=settings.cell_timeout
            )
            finished = True
        finally:
            if not finished:  # interrupted: nobody waits for the cells in flight
                self.close()

    def close(self) -> None:
        """End the processes."""
        if self._started is not None:
            self._started[2].close()
            self._started = None


def check_can_leave(cells: Sequence[Cell], executor: str) -> None:
    """Raise HarnessError if cells can't run in other processes: what they need exists in this one only."""
    if reason := find_obstacle():
        raise HarnessError(f"executor {executor}: {reason}: {CURE}")
    check_installed(cells)


def check_installed(cells: Sequence[Cell]) -> None:
    """Raise HarnessError if a plugin of the cells is registered in this process only."""
    for cell in cells:
        if here := next((p for p in cell.parts if p.distribution == THIS_PROCESS), None):
            raise HarnessError(
                f"'{here.plugin}' is registered in this process only, so other processes can't run it: "
                "use the executor 'inline', or install the plugin"
            )


def choose_gpus(device: str) -> tuple[list[Gpu], str]:
    """Return the GPUs for the workers of a run on a device, and what each of them calls its own."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cuda"):
        return [], device
    gpus = list_gpus()
    if not index:
        return gpus, device
    chosen = gpus[int(index) :][:1] if index.isdecimal() else []
    return (chosen, kind) if chosen else ([], device)


def default_count() -> int:
    """Return the number of worker processes on a machine without GPUs: one per two cores."""
    return max(1, (os.cpu_count() or 1) // 2)
