"""The progress display on a terminal, redrawn in place."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from harness.running.hooks import hookimpl
from harness.running.progress import Display, LineDisplay, clock, headline

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record
    from harness.records.store import Store


def make_display(stream: TextIO) -> Display:
    """Return the display that suits a stream: live on a terminal, else plain lines."""
    return LiveDisplay(stream) if stream.isatty() else LineDisplay(stream)


class LiveDisplay(Display):
    """All cells with the time left, and the running cell with its speed; or what takes long.

    A narrow terminal cuts the names and keeps the counts and the time.
    """

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        super().__init__()
        self.console = Console(file=stream)
        self.progress = _build_progress(self.console, self.format_time_left)
        self.cell_task: Any = None
        self.whole: Any = None
        self.cell_start = 0.0
        self.running: dict[str, tuple[int, int]] = {}
        """Done and total of each running cell; several run at once in processes, or as stacked seeds."""
        self._shown = ""

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Draw the overall bar."""
        self.begin(plan, store)
        self.whole = self.progress.add_task(plan.suite.name, total=self.total, speed="", whole=True)
        self.cell_task = self.progress.add_task("", total=None, speed="", visible=False)
        if self.total:
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
        self._shown = f"  {len(self.running)} cells" if len(self.running) > 1 else f"  {cell.shown}"
        self.progress.reset(self.cell_task, description=self._shown, total=None, visible=True, speed="")

    @hookimpl
    def cell_work(self, cell: Cell, what: str) -> None:
        """Show what the cell works at in place of its name, until it is over."""
        super().cell_work(cell, what)
        told = [work for _, work, _ in self.works.values()]
        self.progress.update(self.cell_task, description=f"  {told[-1]}" if told else self._shown)

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
        if not self.finish(cell, record):
            return
        self.progress.advance(self.whole)
        self.tell(record.remarks)
        if not record.whole:
            self.progress.console.print(f"{cell.shown}: {headline(record)}", markup=False, highlight=False)

    @hookimpl
    def run_finished(self) -> None:
        self.progress.stop()


def _build_progress(console: Console, format_time_left: Callable[[], str]) -> Progress:
    """Return the two bars; only their names give way when the terminal is narrow."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.table import Column
    from rich.text import Text

    class Times(ProgressColumn):
        """The time left of the run, and the time that the cell has taken."""

        max_refresh = 1.0

        def render(self, task: Task) -> Text:
            if task.fields.get("whole"):
                return Text(format_time_left())
            return Text(clock(task.elapsed or 0.0))

    fixed: dict[str, Any] = {"no_wrap": True}
    return Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=min(40, console.width // 4)),
        MofNCompleteColumn(table_column=Column(**fixed)),
        TextColumn("{task.fields[speed]}", markup=False, table_column=Column(**fixed)),
        Times(table_column=Column(**fixed)),
        console=console,
        transient=True,
        expand=True,
    )
