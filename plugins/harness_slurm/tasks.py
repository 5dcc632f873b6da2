"""A task of an array as the watching command sees it: its cells without a record here, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.contract.cells import Cell
from harness_slurm.event_files import Account, EventReader, Line
from harness_slurm.notes import Folder, Note
from harness_slurm.watching import Decision, Seen, decide

LOOKS = 2
"""Looks at the queue that must find a job gone before it counts as that: records come late over NFS."""

TAIL = 4096
"""Bytes at the end of a log in which its last line is looked for."""


@dataclass
class Array:
    """A job array: its folder, and its note as last written."""

    folder: Folder
    note: Note

    def settle(self, task: int) -> None:
        """Note that nothing is left to do for a task; after the last, close the folder."""
        if task not in self.note.settled:
            self.note.settled.append(task)
        if len(self.note.settled) == len(self.note.tasks):
            self.folder.close(self.note)
        else:
            self.folder.save(self.note)


@dataclass
class Task:
    """A task of an array, and the cells of this run that it still has."""

    array: Array
    number: int
    cells: dict[str, Cell]
    seen: Seen | None = None
    looks: int = 0
    """Looks at the queue, one after another, that found it ended or not at all."""
    account: Account = field(default_factory=Account)
    announced: list[str] = field(default_factory=list)
    """Cells whose record the job has announced, but that is not visible here yet."""

    def __post_init__(self) -> None:
        self._reader = EventReader(self.array.folder.events(self.number))

    @property
    def job(self) -> str:
        """Its id for people."""
        return f"{self.array.note.id or self.array.note.name}_{self.number}"

    @property
    def gone(self) -> bool:
        """Whether it runs no further cell, and whatever it did can be read here."""
        return self.account.ended or self.looks >= LOOKS

    @property
    def finished(self) -> bool:
        """Whether it has announced the records of all its cells, also of those that are not of this run."""
        return set(self.array.note.tasks[self.number]) <= set(self.account.recorded)

    def take_events(self) -> list[Line]:
        """Take in what it wrote, and return the new events of its cells."""
        lines = self._reader.read()
        self.account.add(lines)
        return [line for line in lines if line[1] in self.cells]

    def has_begun(self) -> bool:
        """Return whether there is a trace of its start."""
        return self.array.folder.events(self.number).exists() or self.array.folder.log(self.number).exists()

    def look(self, seen: Seen | None) -> None:
        """Take in its state; None if Slurm doesn't know it."""
        self.looks = self.looks + 1 if seen is None or seen.over else 0
        self.seen = seen

    def decide(self, deaths: dict[str, int], cancelled: bool) -> Decision:
        """Return what becomes of the cells that it left; see `watching.decide`."""
        return decide(
            self.seen,
            self.account,
            list(self.cells),
            deaths,
            self.job,
            self.array.note.minutes,
            self._describe_trace(),
            cancelled,
        )

    def _describe_trace(self) -> str:
        """Return where its log lies, with its last line; or that there is nothing of it."""
        path = self.array.folder.log(self.number)
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL))
                lines = file.read().decode(errors="replace").splitlines()
        except OSError:
            if self.account.begun:
                return "its log is gone"
            return f"it left no log in {path.parent}: the nodes must have the store under the same path"
        last = next((line.strip() for line in reversed(lines) if line.strip()), "")
        return f"log: {path}" + (f", which ends with '{last[:200]}'" if last else "")
