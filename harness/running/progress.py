"""What displays of a run's progress share, and the one in plain lines."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from harness.running.hooks import hookimpl
from harness.running.logs import FOLDER
from harness.running.time_left import TimeLeft

if TYPE_CHECKING:
    from pathlib import Path

    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record
    from harness.records.store import Store


def is_watched(stream: TextIO) -> bool:
    """Return whether somebody sees what is written to a stream now: on a terminal, or in a notebook."""
    if stream.isatty():
        return True
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return hasattr(get_shell() if get_shell else None, "kernel")


def headline(record: Record) -> str:
    """Return a cell's outcome in a few words."""
    if record.status != "ok":
        return f"{record.status}: {(record.reason or '')[:120]}"
    if record.failures:
        return next(iter(record.failures.values()))[:160]
    name, value = next(iter(record.metrics.items()), ("", 0.0))
    shown = f"{value:.1%}" if record.units.get(name) == "fraction" else f"{value:.4g}"
    return f"{name} {shown}" if name else "ok"


FEW = 100
"""Up to so many cells, each has its plain line."""

LINE_EVERY, SILENT = 5.0, 2.0
"""Seconds: between plain lines of many cells, and before long work is told."""

MOST_REMARKS = 20
"""Remarks shown during a run at most; all of them are in the records and below the tables."""


class Display:
    """The common part of displays: counts, time left, remarks, each text once, and where to watch a training."""

    def __init__(self) -> None:
        self.told: set[str] = set()
        self.logs: Path | None = None
        self.done = self.total = 0
        self.works: dict[str, tuple[Cell, str, float]] = {}
        """Cells with what they work at, if that is done once and may take long, and since when."""
        self._start = time.monotonic()
        self._left = TimeLeft([])

    def say(self, line: str) -> None:
        """Show a line that stays."""
        raise NotImplementedError

    def begin(self, plan: Plan, store: Store) -> None:
        """Count the cells to run."""
        todo = [p.cell for p in plan if p.state == "run"]
        self.done, self.total, self.logs = 0, len(todo), store.path / FOLDER
        self.works.clear()
        self._start, self._left = time.monotonic(), TimeLeft(todo)

    def finish(self, cell: Cell, record: Record) -> bool:
        """Count a finished cell; return whether it was run, and not merely recorded as one that can't run."""
        self.works.pop(cell.id, None)
        seconds = record.cost.get("seconds")
        if seconds is None:
            return False  # the tables say why
        self.done += 1
        if (
            "measured" in record.provenance
        ):  # from kept evidence: its seconds are those of the run that made it
            self._left.leave_out(cell)
            return True
        self._left.finish(cell, seconds, record.cost.get("one_time_seconds", 0.0))
        return True

    def format_time_left(self) -> str:
        """Return the time left in words; without a finished cell there is no estimate."""
        left = self._left.estimate(time.monotonic() - self._start, os.cpu_count() or 1)
        return "…" if left is None else f"{clock(left)} left"

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
    def cell_work(self, cell: Cell, what: str) -> None:
        """Keep what the cell works at, until it is over."""
        if what:
            self.works[cell.id] = (cell, what, time.monotonic())
        else:
            self.works.pop(cell.id, None)

    @hookimpl
    def cell_lost(self, cell: Cell, reason: str) -> None:
        """Say that a cell's worker is gone."""
        self.works.pop(cell.id, None)
        self.say(f"lost: {cell.shown}: {reason}")

    @hookimpl
    def cell_elsewhere(self, cell: Cell, holder: str) -> None:
        """Say once of each other run that its cells are waited for."""
        self.tell([f"{holder} is at cells of this run, too: their records count for both"])

    @hookimpl
    def cell_curve(self) -> None:
        """Say once where a training can be watched."""
        if self.logs is not None:
            self.say(f"curves and pictures of running trainings: {self.logs}")
            self.logs = None


class LineDisplay(Display):
    """Plain lines: one per finished cell, or one every few seconds if there are many; and what takes long."""

    def __init__(self, stream: TextIO, every: float = LINE_EVERY, silent: float = SILENT) -> None:
        super().__init__()
        self.stream, self.every, self.silent = stream, every, silent
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker: threading.Thread | None = None
        self._waiting: str | None = None
        """The line of the last finished cell, if it is not printed yet."""
        self._printed = float("-inf")
        self._announced: set[str] = set()

    def say(self, line: str) -> None:
        with self._lock, suppress(OSError, ValueError):  # a closed stream costs the lines, not the run
            print(line, file=self.stream, flush=True)

    @hookimpl
    def run_started(self, plan: Plan, store: Store) -> None:
        """Print the number of cells to run."""
        self.begin(plan, store)
        counts = plan.counts()
        others = "".join(f", {counts[s]} {s}" for s in ("done", "skipped", "broken") if s in counts)
        self.say(f"{plan.suite.name}: {self.total} cells to run{others} (store {store.path})")
        self.tell(plan.remarks)
        if self.total:
            self._over.clear()
            self._ticker = threading.Thread(target=self._tick, daemon=True)
            self._ticker.start()

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Print a line for the cell, or keep it for the next time a line is due."""
        if not self.finish(cell, record):
            return
        kept = "measured" in record.provenance
        took = "from kept evidence" if kept else f"{record.cost['seconds']:.1f} s"
        with self._lock:
            self._waiting = (
                f"[{self.done}/{self.total}] {cell.shown}: {headline(record)} "
                f"({took}, {self.format_time_left()})"
            )
            due = time.monotonic() - self._printed >= self.every
            if self.total <= FEW or due or not record.whole or self.done == self.total:
                self._print_waiting()
        self.tell(record.remarks)

    @hookimpl
    def run_finished(self) -> None:
        """Print the last line, and stop watching."""
        self._over.set()
        if self._ticker is not None:
            self._ticker.join()
            self._ticker = None
        with self._lock:
            self._print_waiting()

    def _print_waiting(self) -> None:
        if self._waiting:
            self.say(self._waiting)
            self._waiting, self._printed = None, time.monotonic()

    def _tick(self) -> None:
        """Print what is due although no cell finishes: a kept line, and long work, once it has lasted."""
        while not self._over.wait(0.2):
            with self._lock:
                now = time.monotonic()
                if now - self._printed >= self.every:
                    self._print_waiting()
                for cell, what, began in list(self.works.values()):
                    if now - began >= self.silent and what not in self._announced:
                        self._announced.add(what)
                        self.say(f"… {what} ({cell.shown})")


def clock(seconds: float) -> str:
    """Return seconds as a person says them.

    >>> clock(75)
    '1:15'
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
