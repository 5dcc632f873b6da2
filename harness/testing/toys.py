"""A toy suite, registered in this process inside a block, whose cells end in each way that cells can end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.data import Sample
from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.errors import Diverged, Unavailable

if TYPE_CHECKING:
    from harness.running.outcome import Run

SAMPLES = 20
OUTCOMES = ("ok", "fails", "away", "diverges", "no memory", "not a number")
"""How a cell may end: the label of its method in the toy suite."""


class ToySplit:
    """Twenty grey squares of two classes."""

    class_names = ("dark", "bright")

    def __init__(self) -> None:
        self.targets = np.arange(SAMPLES, dtype=np.int64) % 2
        self.ids = [f"square {n}" for n in range(SAMPLES)]

    def __len__(self) -> int:
        return SAMPLES

    def __getitem__(self, index: int) -> Sample:
        pixels = np.full((8, 8, 3), 60 + 120 * self.targets[index], np.uint8)
        return Sample(self.ids[index], pixels, int(self.targets[index]))


class ToyData:
    """A data set of one split."""

    splits = ("test",)

    def load(self, split: str) -> ToySplit:
        """Return the split, whatever its name."""
        return ToySplit()


class ToyMethod:
    """A method that makes its cell end in a given way."""

    def __init__(self, outcome: str = "ok") -> None:
        self.outcome = outcome


class ToyProtocol:
    """A protocol that gets most squares right, reports a curve and an image, and ends as the method says."""

    axes = ()
    needs_model = False
    directions: Mapping[str, bool] = {"top1": True, "loss": False}
    units: Mapping[str, str] = {"top1": "fraction"}

    def run(self, job: Job) -> Result:
        """Run one cell."""
        split, outcome = job.splits("test"), job.method.outcome
        for step in range(4):
            job.advance(step + 1, 4)
            job.report("training", step, {"loss": 1.0 / (step + 1)})
        job.show("squares", 3, np.zeros((8, 8, 3), np.uint8))
        errors: dict[str, Exception] = {
            "fails": ZeroDivisionError("deliberate, to see what a listener does"),
            "away": Unavailable("deliberate: the data is not here"),
            "diverges": Diverged("deliberate: the loss is not finite"),
            "no memory": MemoryError("deliberate"),
        }
        if outcome in errors:
            raise errors[outcome]
        right = np.arange(SAMPLES) >= 3 + 2 * job.cell.seed
        loss = float("nan") if outcome == "not a number" else 0.4
        return Result(
            metrics={"top1": float(right.mean()), "loss": loss},
            count=SAMPLES,
            samples={"id": split.ids, "target": split.targets, "top1": right.astype(np.float32)},
            curves={"training": {"step": [0, 1, 2, 3], "loss": [1.0, 0.5, 1 / 3, 0.25]}},
            cost={"parameters": 12.0},
            notes={"toy": True},
        )


@contextmanager
def toy_suite() -> Iterator[dict[str, Any]]:
    """Yield the content of a suite of toys, which can be planned and run inside the block."""
    with ExitStack() as stack:
        for kind, factory in (("datasets", ToyData), ("methods", ToyMethod), ("protocols", ToyProtocol)):
            stack.enter_context(registry.register_temporarily(kind, "kit-toy", factory))
        yield {
            "name": "kit",
            "protocol": "kit-toy",
            "datasets": ["kit-toy"],
            "methods": [{"plugin": "kit-toy", "label": o, "outcome": o} for o in OUTCOMES],
            "seeds": [0, 1],
            "tables": [{"name": "kit", "rows": ["method"], "values": ["top1"]}],
        }


def run_toys(
    content: dict[str, Any], place: Path, store: str = "store", listeners: Sequence[Any] = ()
) -> Run:
    """Run a suite of toys in this process, with a store and a cache below `place`."""
    from harness.planning.suite import parse_suite
    from harness.records.store import Store
    from harness.running.runner import run

    where, cache = Store(place / store), place / "cache"
    how: dict[str, Any] = {"device": "cpu", "executor": "inline", "installed_listeners": False}
    return run(parse_suite(content, "kit"), where, cache=cache, listeners=listeners, **how)
