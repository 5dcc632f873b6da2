"""What is under way in a store: a small file per run, which names its cells while they run.

<store>/running/<run>.json   the run and its cells, replaced while it runs and removed at its end
<store>/running/.<run>.lock  locked as long as its process lives: a killed run leaves both files, unlocked
"""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import orjson

from harness.records.files import write_bytes
from harness.records.provenance import command_line, now
from harness.records.store import ID, warn_once
from harness.running.hooks import hookimpl

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record

FOLDER = "running"
PAUSE = 0.5
"""Seconds between two writings of a run's progress."""

SILENCE = 3600.0
"""Seconds without a sign after which a run counts as ended where files can't be locked."""


@dataclass
class CellUnderWay:
    """A running cell: its id and name, when it started (ISO 8601), and samples or steps done of all, if known."""

    id: str
    shown: str
    started: str
    done: int = 0
    total: int = 0


@dataclass
class RunUnderWay:
    """A run: its suite, when and how it was started, how many of its cells are done, and those that run."""

    suite: str
    started: str
    command: str = ""
    done: int = 0
    total: int = 0
    cells: list[CellUnderWay] = field(default_factory=list)


class RunMarker:
    """The listener that keeps a run's file in its store. Whatever happens to the file, the run continues."""

    def __init__(self, store: Path) -> None:
        self._folder = store / FOLDER
        self._path = self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._lock: IO[bytes] | None = None
        self._run = RunUnderWay("", now(), command_line(sys.argv))
        self._cells: dict[str, CellUnderWay] = {}
        self._written = 0.0

    @hookimpl
    def run_started(self, plan: Plan) -> None:
        """Write the run's file, and remove those of killed runs."""
        self._run.suite, self._run.total = plan.suite.name, plan.counts().get("run", 0)
        if not self._run.total:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            for path in self._folder.glob("[!.]*.json"):
                if not _is_alive(path):
                    _remove(path)
            self._lock = _hold_lock(self._path)
        except OSError:
            pass  # the writing below says so
        self._write()

    @hookimpl
    def cell_started(self, cell: Cell) -> None:
        """Name the cell at once: it may run for hours without a further event."""
        self._cells[cell.id] = CellUnderWay(cell.id, cell.shown, now())
        self._write()

    @hookimpl
    def cell_progress(self, cell: Cell, done: int, total: int) -> None:
        """Note how far the cell is."""
        if cell.id in self._cells:
            self._cells[cell.id].done, self._cells[cell.id].total = done, total
            if time.monotonic() - self._written >= PAUSE:
                self._write()

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Count the cell; where it ran alone, the next one's start or the end of the run soon leaves it out."""
        if self._cells.pop(cell.id, None) is not None:
            self._run.done += 1
            if self._cells:
                self._write()

    @hookimpl
    def cell_lost(self, cell: Cell) -> None:
        """Leave the cell out until it starts again."""
        if self._cells.pop(cell.id, None) is not None:
            self._write()

    @hookimpl
    def run_finished(self) -> None:
        """Remove the file."""
        if self._lock is not None:
            self._lock.close()
        with suppress(OSError):
            _remove(self._path)

    def _write(self) -> None:
        self._written = time.monotonic()
        self._run.cells = list(self._cells.values())
        try:
            write_bytes(self._path, orjson.dumps(self._run))
        except OSError as error:  # for people who watch, and must not fail the run
            warn_once(f"{self._folder}: what is under way can't be written: {error.strerror or error}")


def list_runs(store: Path) -> list[RunUnderWay]:
    """Return the runs under way in a store, oldest first; a file that is none is left out."""
    return sorted(_read_runs(store / FOLDER), key=lambda run: run.started)


def _read_runs(folder: Path) -> Iterator[RunUnderWay]:
    for path in folder.glob("[!.]*.json"):
        try:
            if _is_alive(path):
                yield _parse_run(orjson.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError):  # just removed, or written by something else
            continue


def _parse_run(content: dict[str, Any]) -> RunUnderWay:
    """Return a run from its file's content. Raises ValueError, TypeError or KeyError if it is none."""
    cells = [CellUnderWay(**cell) for cell in content.pop("cells")]
    run = RunUnderWay(**content, cells=cells)
    texts = [run.suite, run.started, run.command, *(t for c in cells for t in (c.id, c.shown, c.started))]
    counts = [run.done, run.total, *(n for c in cells for n in (c.done, c.total))]
    if not all(isinstance(t, str) for t in texts) or not all(isinstance(n, int) for n in counts):
        raise TypeError("not a run's file")
    if not all(ID.fullmatch(cell.id) for cell in cells):
        raise ValueError("not a cell's id")
    return run


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.stem}.lock")


def _hold_lock(path: Path) -> IO[bytes] | None:
    """Return the open and locked file beside a run's file, or None if this system has no locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    file = _lock_path(path).open("wb")
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return file


def _is_alive(path: Path) -> bool:
    """Return whether the process of a run's file still lives, as far as locks or the file's age tell."""
    try:
        import fcntl
    except ImportError:  # Windows
        return time.time() - path.stat().st_mtime < SILENCE
    try:
        with _lock_path(path).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    except OSError:  # a file system without locks
        return time.time() - path.stat().st_mtime < SILENCE
    return False


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    _lock_path(path).unlink(missing_ok=True)
