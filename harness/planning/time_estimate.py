"""The time that cells will take, from finished cells that are most like them, and what that rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol

from harness.contract.cells import Cell

KINDS = (
    "that differ in the seed alone",
    "of the same model, data set and method",
    "of the same model and data set",
    "of the same model and method",
    "of the same model",
    "of the same protocol alone",
)
"""How a finished cell is like one to run, from the most to the least. All share protocol with options, precision,
preparation of images and limit: what else they take is not proportional to the number of samples."""


@dataclass(frozen=True)
class Finished:
    """A finished cell: its id, its seconds without one-time work, the machine, and whether that is this one."""

    id: str
    seconds: float
    machine: str = ""
    here: bool = True

    @property
    def place(self) -> str:
        """The machine in words: another one than this says so."""
        return self.machine if self.here else f"another machine: {self.machine or 'unknown'}"


class FinishedOnes(Protocol):
    """Where finished cells are looked up."""

    def like(self, cell: Cell, kind: int) -> Sequence[Finished]:
        """Return some finished cells that are like this one in the way that `KINDS[kind]` says."""
        ...


@dataclass(frozen=True)
class TimeEstimate:
    """Seconds that cells are expected to take one after another, None if nothing is known of any.

    `cells` are to run, `kinds` counts those with an expectation by what it rests on (`KINDS`), `finished` the
    finished cells behind it. `measured` are computed from kept evidence, and take no time worth speaking of.
    """

    cells: int
    seconds: float | None = None
    kinds: dict[str, int] = field(default_factory=dict)
    finished: int = 0
    machines: tuple[str, ...] = ()
    """Where those ran, the most frequent first; another machine than this says so."""
    measured: int = 0

    @property
    def known(self) -> int:
        """The cells with an expectation."""
        return sum(self.kinds.values())

    @property
    def unknown(self) -> int:
        """The cells of which nothing is known."""
        return self.cells - self.known - self.measured

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON-able data."""
        return {
            "seconds": self.seconds,
            "workers": 1,
            "cells": self.cells,
            "known": self.known,
            "unknown": self.unknown,
            "from_evidence": self.measured,
            "kinds": dict(self.kinds),
            "finished": self.finished,
            "machines": list(self.machines),
        }

    def __str__(self) -> str:
        if self.seconds is None:
            if self.measured and not self.unknown:
                return "next to none: all are measured from kept evidence"
            return "unknown: the store has no finished cell of the same protocol, with the same options and limit"
        only = next(iter(self.kinds)) if len(self.kinds) == 1 else ""
        each = (
            ""
            if only
            else ": " + ", ".join(f"{count} from ones {kind}" for kind, count in self.kinds.items())
        )
        ones = "one" if self.finished == 1 else "ones"
        where = f" ({'; '.join(self.machines)})" if self.machines else ""
        text = (
            f"about {say_duration(self.seconds)} on one worker, without one-time work: {self.known} of {self.cells} "
            f"cells, from {self.finished} finished {ones}{f' {only}' if only else ''}{where}{each}"
        )
        return f"{text}; of {self.unknown} nothing is known" if self.unknown else text


def estimate_time(
    cells: Iterable[Cell], finished: FinishedOnes, measured: Iterable[str] = ()
) -> TimeEstimate:
    """Return how long cells will take: each the median of the finished ones that are most like it.

    `measured` are the ids of those that are only computed from kept evidence. A cell that no finished one is
    like counts as unknown, and is no part of the seconds.
    """
    cells, computed = list(cells), set(measured)
    expected: list[float] = []
    kinds: Counter[int] = Counter()
    used: dict[str, Finished] = {}
    for cell in cells:
        if cell.id in computed:
            continue
        for kind in range(len(KINDS)):
            if alike := finished.like(cell, kind):
                expected.append(median(one.seconds for one in alike))
                kinds[kind] += 1
                used |= {one.id: one for one in alike}
                break
    machines = Counter(one.place for one in used.values() if one.place)
    return TimeEstimate(
        cells=len(cells),
        seconds=sum(expected) if expected else None,
        kinds={KINDS[kind]: kinds[kind] for kind in sorted(kinds)},
        finished=len(used),
        machines=tuple(name for name, _ in machines.most_common()),
        measured=sum(cell.id in computed for cell in cells),
    )


def say_duration(seconds: float) -> str:
    """Return a duration as a person says it, with two digits that mean something.

    >>> [say_duration(s) for s in (0.2, 42, 840, 9000, 400000)]
    ['1 s', '42 s', '14 min', '2.5 h', '4.6 days']
    """
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    if seconds < 72 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.1f} days"
