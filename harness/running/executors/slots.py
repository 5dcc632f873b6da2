"""The contract between the dispatcher and the places where its workers run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from harness.contract.cells import Cell
from harness.running.executors.channel import Event


@dataclass(frozen=True)
class Ready:
    """A slot's worker can take cells. `facts` may hold `versions`, those of its distributions by name."""

    slot: int
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Events and records of a slot, in their order."""

    slot: int
    events: Sequence[Event]


@dataclass(frozen=True)
class Died:
    """A slot's worker is gone, and why, as in "was killed by SIGKILL"."""

    slot: int
    reason: str


Message = Ready | Batch | Died


class Slot(Protocol):
    """One supervised worker."""

    @property
    def where(self) -> str:
        """The worker in messages, as in "worker 2 on GPU 1"."""
        ...

    @property
    def waiting(self) -> str:
        """What it waits for while it is not ready, as in "is still starting"."""
        ...

    def send(self, cells: Sequence[Cell], since: int) -> None:
        """Have these cells run next, in order. Called only while the slot is ready and has none.

        Records of other runs count if the store's file system dates them after `since`, in ns.
        """
        ...

    def warm(self, cell: Cell) -> None:
        """Have the worker prepare what a cell that runs elsewhere asks for, until it gets cells of its own."""
        ...

    def stop(self) -> None:
        """End the worker at once, wherever it is. Messages that it sends afterwards are ignored."""
        ...

    def end(self) -> None:
        """End the worker soon, wherever it is; it may tidy up first."""
        ...

    def join(self) -> None:
        """Wait until the worker is gone, after `stop` or `end`."""
        ...


class Place(Protocol):
    """Where slots run: processes of this machine, actors of a cluster."""

    @property
    def count(self) -> int:
        """The number of slots."""
        ...

    def start(self, number: int, inbox: Callable[[Message], None]) -> Slot:
        """Start slot `number` (from 0), for the first time or again; it sends its messages from any thread.

        Raises HarnessError if it can't be started at all.
        """
        ...
