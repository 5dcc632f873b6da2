"""The progress display: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from harness.running.hooks import hookimpl
from harness.running.logs import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record
    from harness.records.store import Store


def display(stream: TextIO) -> Live | Lines:
    """The display that suits where it is shown."""
    return Live(stream) if stream.isatty() else Lines(stream)


def headline(record: Record) -> str:
    """What a cell gave, in a few words."""
    if record.status != "ok":
        return f"{record.status}: {(record.reason or '')[:120]}"
    if record.failures:
        return next(iter(record.failures.values()))[:160]
    name, value = next(iter(record.metrics.items()), ("", 0.0))
    shown = f"{value:.1%}" if record.units.get(name) == "fraction" else f"{value:.4g}"
    return f"{name} {shown}" if name else "ok"


MOST_REMARKS = 20
"""So many are shown while a run goes on; all of them stand in the records and below the tables."""


class Remarks:
    """What a run remarks, each text once."""

    def __init__(self) -> None:
        self.told: set[str] = set()

    def new(self, texts: Iterable[str]) -> Iterator[str]:
        """A line for each remark that was not told yet; past `MOST_REMARKS` one that says so."""
        for text in texts:
            if text not in self.told:
                self.told.add(text)
                if len(self.told) <= MOST_REMARKS:
                    yield f"note: {text}"
                elif len(self.told) == MOST_REMARKS + 1:
                    yield "note: … and more, in the records and below the tables"


class Lines:
    """One line per finished cell."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.remarks = Remarks()
        self.done = self.total = 0
        self.logs: Path | None = None
        self.start = time.perf_counter()

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Says how much there is to do."""
        counts = plan.counts()
        self.total = counts.get("run", 0)
        others = "".join(
            f", {counts[s]} {w}"
            for s, w in (("done", "done"), ("skipped", "skipped"), ("broken", "broken"))
            if s in counts
        )
        print(
            f"{plan.suite.name}: {self.total} cells to run{others} (store {store.path})",
            file=self.stream,
            flush=True,
        )
        self._tell(plan.remarks)
        self.logs = store.path / FOLDER

    def _tell(self, texts: Iterable[str]) -> None:
        for line in self.remarks.new(texts):
            print(line, file=self.stream, flush=True)

    @hookimpl
    def cell_curve(self) -> None:
        """Says once where a training can be watched."""
        if self.logs is not None:
            print(watching(self.logs), file=self.stream, flush=True)
            self.logs = None

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """One line for the cell."""
        if record.cost.get("seconds") is None:
            return  # accounted for without running; the tables say why
        self.done += 1
        left = (time.perf_counter() - self.start) / self.done * (self.total - self.done)
        print(
            f"[{self.done}/{self.total}] {cell.shown}: {headline(record)} "
            f"({record.cost['seconds']:.1f} s, {clock(left)} left)",
            file=self.stream,
            flush=True,
        )
        self._tell(record.remarks)


class Live:
    """All cells, the running cell, its speed and the time left, redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(file=stream)
        self.remarks = Remarks()
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.logs: Path | None = None
        self.cell_task: Any = None
        self.whole: Any = None
        self.cell_start = 0.0
        self.running: dict[str, tuple[int, int]] = {}
        """How far each running cell is, of how much; several run at once in processes, or as stacked seeds."""

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Draws the overall bar."""
        self.logs = store.path / FOLDER
        counts = plan.counts()
        self.whole = self.progress.add_task(plan.suite.name, total=counts.get("run", 0), speed="")
        self.cell_task = self.progress.add_task("", total=None, speed="", visible=False)
        if counts.get("run"):
            self.progress.start()
        self._tell(plan.remarks)

    def _tell(self, texts: Iterable[str]) -> None:
        for line in self.remarks.new(texts):
            self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @hookimpl
    def cell_started(self, cell: Cell) -> None:
        """Names the running cell, or says how many there are."""
        self.running[cell.id] = (0, 0)
        self.cell_start = time.perf_counter()
        several = len(self.running) > 1
        shown = f"  {len(self.running)} cells" if several else f"  {cell.shown}"[:70]
        self.progress.reset(self.cell_task, description=shown, total=None, visible=True, speed="")

    @hookimpl
    def cell_progress(self, cell: Cell, done: int, total: int) -> None:
        """Moves the bar, which stands for all running cells together."""
        self.running[cell.id] = (done, total)
        known = [each for each in self.running.values() if each != (0, 0)]
        speed = done / max(time.perf_counter() - self.cell_start, 1e-6)
        self.progress.update(
            self.cell_task,
            completed=sum(done for done, _ in known),
            total=sum(total for _, total in known),
            speed=f"{speed:,.0f}/s" if len(self.running) == 1 else "",
        )

    @hookimpl
    def cell_curve(self) -> None:
        """Says once where a training can be watched."""
        if self.logs is not None:
            self.progress.console.print(watching(self.logs), markup=False, highlight=False, soft_wrap=True)
            self.logs = None

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Counts the cell; what went wrong stays on the screen."""
        self.running.pop(cell.id, None)
        if record.cost.get("seconds") is None:
            return
        self.progress.advance(self.whole)
        self._tell(record.remarks)
        if not record.whole:
            self.progress.console.print(f"{cell.shown}: {headline(record)}", markup=False, highlight=False)

    @hookimpl
    def run_finished(self) -> None:
        """Clears the bars."""
        self.progress.stop()


def watching(logs: Path) -> str:
    """Where curves and pictures of running trainings lie."""
    return f"curves and pictures of running trainings: {logs}"


def clock(seconds: float) -> str:
    """Seconds as a person says them.

    >>> clock(75)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
