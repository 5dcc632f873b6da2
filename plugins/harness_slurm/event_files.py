"""Events of a job as lines of JSON: written by the job, read by the command that watches it.

A line is `[name, cell id, facts]`. Marks are lines without a cell: that a job began, that it ended with
cells left on purpose, or that it was told to stop.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BEGUN, ENDED, STOPPED, RECORDED = "(begun)", "(ended)", "(stopped)", "(recorded)"
"""Marks of a job's start, of its regular end, and of its end by SIGTERM; and of a cell's record on disk."""

STARTED, LOST, ELSEWHERE = "cell_started", "cell_lost", "cell_elsewhere"

AT_ONCE = (STARTED, "cell_work", RECORDED, BEGUN, ENDED, STOPPED)
"""Events that are written without delay."""

EVERY = 0.5
"""Seconds that other events may wait for more; of a cell's waiting progress only the last is written."""

Line = tuple[str, str, dict[str, Any]]
"""A name, a cell's id (empty for a mark), and facts."""


class EventWriter:
    """The job's end. Each writing opens and closes the file: so other nodes see it soon (NFS)."""

    def __init__(self, path: Path, every: float = EVERY) -> None:
        self.path, self.every = path, every
        self._waiting: dict[object, Line] = {}
        self._count = 0
        self._lock = threading.RLock()  # a signal's handler may come in between
        self._over = threading.Event()
        with path.open("ab+") as file:
            # a killed job may have left half a line, which must not spoil the next
            file.seek(max(0, file.tell() - 1))
            self._first = "\n" if file.read(1) not in (b"", b"\n") else ""
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def add(self, name: str, cell: str = "", /, **facts: Any) -> None:
        """Write an event, or keep it for the next writing."""
        with self._lock:
            self._count += 1
            key = (name, cell) if name == "cell_progress" else self._count
            self._waiting.pop(key, None)  # the new one goes behind events reported since
            self._waiting[key] = (name, cell, facts)
        if name in AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits. A full disk costs events, not cells."""
        with self._lock:
            lines, self._waiting = list(self._waiting.values()), {}
            if lines:
                text = self._first + "".join(json.dumps(line, default=str) + "\n" for line in lines)
                self._first = ""
                with suppress(OSError), open(self.path, "ab", 0, opener=_open_existing) as file:
                    file.write(text.encode())

    def close(self) -> None:
        """Write what waits, and end."""
        self._over.set()
        self._ticker.join()
        self.flush()

    def _tick(self) -> None:
        while not self._over.wait(self.every):
            self.flush()


def _open_existing(path: str, flags: int) -> int:
    """Open a file that was removed by whoever needs it no more as one that isn't there."""
    return os.open(path, flags & ~os.O_CREAT)


@dataclass
class EventReader:
    """The watching end: reads whole lines from where it stopped."""

    path: Path
    offset: int = 0

    def read(self) -> list[Line]:
        """Return the new lines; none if the file is not there yet."""
        try:
            # opened anew: NFS looks for newer content at each opening
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self.offset += len(whole)
        return [line for text in whole.splitlines() if (line := _parse(text)) is not None]


def _parse(text: bytes) -> Line | None:
    """Return a line's event; None for what a kill left."""
    try:
        name, cell, facts = json.loads(text)
    except (ValueError, TypeError):
        return None
    if isinstance(name, str) and isinstance(cell, str) and isinstance(facts, dict):
        return name, cell, facts
    return None


@dataclass
class Account:
    """What a job's lines tell of its latest start."""

    begun: bool = False
    started: list[str] = field(default_factory=list)
    """Cells that were started, without a record yet; not those of which the job itself has lost the worker."""
    elsewhere: dict[str, str] = field(default_factory=dict)
    """Cells that others were at when it last looked, and who."""
    recorded: list[str] = field(default_factory=list)
    """Cells whose records the job announced, in all its starts."""
    made: int = 0
    """Records made since its latest start."""
    ended: bool = False
    """Whether it ended regularly."""
    stopped: bool = False
    """Whether it was told to stop."""
    deaths: Counter[str] = field(default_factory=Counter)
    """For each cell, how many of its earlier starts died with it: a lost node's jobs start again by themselves."""

    def add(self, lines: Iterable[Line]) -> None:
        """Take in lines. A job that Slurm starts again begins a new account, but for its records and deaths."""
        for name, cell, facts in lines:
            if name in (STARTED, RECORDED):
                self.elsewhere.pop(cell, None)
            if name == BEGUN:
                if self.begun and not self.ended and not self.stopped:
                    self.deaths.update(self.started)
                self.begun, self.ended, self.stopped = True, False, False
                self.started, self.made, self.elsewhere = [], 0, {}
            elif name == STARTED and cell not in self.started:
                self.started.append(cell)
            elif name in (RECORDED, LOST):
                if cell in self.started:
                    self.started.remove(cell)
                if name == RECORDED:
                    self.recorded.append(cell)
                    self.made += 1
            elif name == ELSEWHERE:
                self.elsewhere[cell] = str(facts.get("holder", ""))
            elif name == ENDED:
                self.ended = True
            elif name == STOPPED:
                self.stopped = True
