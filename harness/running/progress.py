"""The progress display: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO

from harness.running.hooks import hookimpl
from harness.running.logs import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record
    from harness.records.store import Store


def display(stream: TextIO) -> LiveDisplay | LineDisplay:
    """Return the display that suits a stream."""
    return LiveDisplay(stream) if stream.isatty() else LineDisplay(stream)


def headline(record: Record) -> str:
    """Return a cell's outcome in a few words."""
    if record.status != "ok":
        return f"{record.status}: {(record.reason or '')[:120]}"
    if record.failures:
        return next(iter(record.failures.values()))[:160]
    name, value = next(iter(record.metrics.items()), ("", 0.0))
    shown = f"{value:.1%}" if record.units.get(name) == "fraction" else f"{value:.4g}"
    return f"{name} {shown}" if name else "ok"


MOST_REMARKS = 20
"""Remarks shown during a run at most; all of them are in the records and below the tables."""


class Display:
    """The common part of displays: remarks, each text once, and where a training can be watched."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.logs: Path | None = None

    def say(self, line: str) -> None:
        """Show a line that stays."""
        raise NotImplementedError

    def tell(self, remarks: Iterable[str]) -> None:
        """Show each new remark; past `MOST_REMARKS`, say once that there are more."""
        for text in remarks:
            if text not in self.told:
                self.told.add(text)
                if len(self.told) <= MOST_REMARKS:
                    self.say(f"note: {text}")
                elif len(self.told) == MOST_REMARKS + 1:
                    self.say("note: … and more, in the records and below the tables")

    @hookimpl
    def cell_curve(self) -> None:
        """Say once where a training can be watched."""
        if self.logs is not None:
            self.say(f"curves and pictures of running trainings: {self.logs}")
            self.logs = None


class LineDisplay(Display):
    """One line per finished cell."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self.done = self.total = 0
        self.start = time.perf_counter()

    def say(self, line: str) -> None:
        print(line, file=self.stream, flush=True)

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Print the number of cells to run."""
        counts = plan.counts()
        self.total = counts.get("run", 0)
        others = "".join(f", {counts[s]} {s}" for s in ("done", "skipped", "broken") if s in counts)
        self.say(f"{plan.suite.name}: {self.total} cells to run{others} (store {store.path})")
        self.tell(plan.remarks)
        self.logs = store.path / FOLDER

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Print a line for the cell."""
        if record.cost.get("seconds") is None:
            return  # recorded without running; the tables say why
        self.done += 1
        left = (time.perf_counter() - self.start) / self.done * (self.total - self.done)
        kept = "measured" in record.provenance
        took = "from kept evidence" if kept else f"{record.cost['seconds']:.1f} s"
        self.say(f"[{self.done}/{self.total}] {cell.shown}: {headline(record)} ({took}, {clock(left)} left)")
        self.tell(record.remarks)


class LiveDisplay(Display):
    """All cells, the running cell, its speed and the time left, redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        super().__init__()
        self.console = Console(file=stream)
        self.progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}", markup=False),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
        )
        self.cell_task: Any = None
        self.whole: Any = None
        self.cell_start = 0.0
        self.running: dict[str, tuple[int, int]] = {}
        """Done and total of each running cell; several run at once in processes, or as stacked seeds."""

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Draw the overall bar."""
        self.logs = store.path / FOLDER
        counts = plan.counts()
        self.whole = self.progress.add_task(plan.suite.name, total=counts.get("run", 0), speed="")
        self.cell_task = self.progress.add_task("", total=None, speed="", visible=False)
        if counts.get("run"):
            self.progress.start()
        self.tell(plan.remarks)

    def say(self, line: str) -> None:
        """Print a line above the bars."""
        self.progress.console.print(line, markup=False, highlight=False, soft_wrap=True)

    @hookimpl
    def cell_started(self, cell: Cell) -> None:
        """Show the running cell, or the number of running cells."""
        self.running[cell.id] = (0, 0)
        self.cell_start = time.perf_counter()
        several = len(self.running) > 1
        shown = f"  {len(self.running)} cells" if several else f"  {cell.shown}"[:70]
        self.progress.reset(self.cell_task, description=shown, total=None, visible=True, speed="")

    @hookimpl
    def cell_progress(self, cell: Cell, done: int, total: int) -> None:
        """Move the bar, which covers all running cells together."""
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
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Count the cell; failures stay on the screen."""
        self.running.pop(cell.id, None)
        if record.cost.get("seconds") is None:
            return
        self.progress.advance(self.whole)
        self.tell(record.remarks)
        if not record.whole:
            self.progress.console.print(f"{cell.shown}: {headline(record)}", markup=False, highlight=False)

    @hookimpl
    def run_finished(self) -> None:
        self.progress.stop()


def clock(seconds: float) -> str:
    """Return seconds as a person says them.

    >>> clock(75)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
