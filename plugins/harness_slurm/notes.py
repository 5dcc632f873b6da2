"""The folder of a job array in the store, with a note of which job has which cells.

<store>/slurm/<name>/note.json       name, id and cells of the array, as long as a cell of it is open
<store>/slurm/<name>/ended.json      the same afterwards
<store>/slurm/<name>/cells-<n>.json  the cells of task n, readable by their owner only: options may hold secrets
<store>/slurm/<name>/events-<n>.jsonl  what task n does, a line each (event_files.py), until a day after its end
<store>/slurm/<name>/<n>.log         what task n prints
<store>/slurm/.lock                  held while jobs are submitted

The note lies there before `sbatch` is called, and the name is the job's own: whatever is killed in between,
the same command finds the job by its name.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from harness.contract.cells import Cell
from harness.records.files import locked, write_bytes
from harness.records.provenance import now
from harness.records.store import Store
from harness.running.executors.written_cells import write_cells

FOLDER = "slurm"
NOTE, ENDED = "note.json", "ended.json"

KEPT = 24 * 3600.0
"""Seconds that the events of an ended array are kept."""


@dataclass
class Note:
    """A job array: its name and id, the ids of each task's cells, and what is known of them from earlier jobs."""

    name: str
    tasks: list[list[str]]
    since: int = 0
    """The store's time, in ns, after which records count as made by this run."""
    fresh: bool = False
    """Whether it runs cells again that have an ok record."""
    minutes: int | None = None
    """The time limit of its jobs, if one was asked for."""
    deaths: dict[str, int] = field(default_factory=dict)
    """For each cell, how many jobs died with it so far."""
    id: str | None = None
    """The job's id, once `sbatch` has answered."""
    settled: list[int] = field(default_factory=list)
    """Tasks of which nothing is left to do."""
    user: int = field(default_factory=os.getuid)
    submitted: str = field(default_factory=now)


@dataclass
class Folder:
    """The folder of an array."""

    path: Path

    @property
    def name(self) -> str:
        """The name of the array."""
        return self.path.name

    def cells(self, task: int) -> Path:
        """The file of a task's cells."""
        return self.path / f"cells-{task}.json"

    def events(self, task: int) -> Path:
        """The file of a task's events."""
        return self.path / f"events-{task}.jsonl"

    def log(self, task: int) -> Path:
        """The file of what a task prints."""
        return self.path / f"{task}.log"

    def age(self) -> float:
        """Return the seconds since its note was written; 0 without one."""
        try:
            return time.time() - (self.path / NOTE).stat().st_mtime
        except OSError:
            return 0.0

    def save(self, note: Note) -> None:
        """Write the note, whole or not at all."""
        write_bytes(self.path / NOTE, json.dumps(asdict(note)).encode())

    def close(self, note: Note) -> None:
        """Keep the note as that of an ended array; its events stay for a while, for other commands that watch it."""
        write_bytes(self.path / ENDED, json.dumps(asdict(note)).encode())
        (self.path / NOTE).unlink(missing_ok=True)
        for task in range(len(note.tasks)):
            self.cells(task).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the events of an ended array, and logs that say nothing."""
        for path in [*self.path.glob("events-*.jsonl"), *self.path.glob("*.log")]:
            if path.suffix != ".log" or not path.stat().st_size:
                path.unlink(missing_ok=True)


def make_name(suite: str) -> str:
    """Return a job name that no other job has, with the suite's for people who read `squeue`.

    >>> make_name("my suite@quick")[:23]
    'harness-my-suite-quick-'
    """
    return f"harness-{re.sub(r'[^A-Za-z0-9]+', '-', suite)[:24].strip('-')}-{secrets.token_hex(4)}"


@contextmanager
def submitting(store: Path) -> Iterator[None]:
    """Let one command at a time read the notes and submit jobs, so that two don't submit the same cells."""
    with Store(store).writing(), locked(store / FOLDER / ".lock"):
        yield


def open_notes(store: Path) -> list[tuple[Folder, Note]]:
    """Return this user's arrays with open cells, in the order of their submission; unreadable notes are left out."""
    found = []
    for path in (store / FOLDER).glob(f"*/{NOTE}"):
        with suppress(OSError, ValueError, TypeError, AttributeError):
            note = _parse(json.loads(path.read_bytes()))
            if note.user == os.getuid() and note.name == path.parent.name:
                found.append((Folder(path.parent), note))
    return sorted(found, key=lambda each: (each[1].submitted, each[1].name))


def sweep_ended(store: Path) -> None:
    """Remove what nobody reads any more from arrays that ended more than a day ago."""
    for path in (store / FOLDER).glob(f"*/{ENDED}"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT:
                Folder(path.parent).sweep()


def _parse(content: Mapping[str, Any]) -> Note:
    """Return a note from its file's content. Raises ValueError, TypeError or AttributeError if it is none."""
    known = {f.name for f in fields(Note)}
    note = Note(**{key: value for key, value in content.items() if key in known})
    if not all(isinstance(cell, str) for task in note.tasks for cell in task):
        raise ValueError("not a note")
    return note


def prepare(store: Path, note: Note, tasks: Sequence[Sequence[Cell]], settings: Mapping[str, Any]) -> Folder:
    """Write the folder of a new array: the cells of each task with the settings to run them, then the note."""
    folder = Folder(store / FOLDER / note.name)
    folder.path.mkdir(parents=True)
    for number, cells in enumerate(tasks):
        content = {"command": sys.argv, "since": note.since, "settings": dict(settings), **write_cells(cells)}
        handle = os.open(folder.cells(number), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(content, file, default=str)  # paths
    folder.save(note)
    return folder
