"""A toy grid, known to this process for the length of a block, in which a cell ends in each way that cells end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from harness.contract.data import Sample
from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.errors import Diverged, Unavailable

SAMPLES = 20
OUTCOMES = ("ok", "fails", "away", "diverges", "no memory", "not a number")
"""What may become of a cell: the protocol's method in the toy grid."""


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
        """The split, whatever it is called."""
        return ToySplit()


class ToyMethod:
    """Does what its option says."""

    def __init__(self, outcome: str = "ok") -> None:
        self.outcome = outcome


class ToyProtocol:
    """Gets most squares right, with a curve and a picture on the way, and ends as the method says."""

    axes = ()
    needs_model = False
    directions: Mapping[str, bool] = {"top1": True, "loss": False}
    units: Mapping[str, str] = {"top1": "fraction"}

    def run(self, job: Job) -> Result:
        """One cell."""
        split, outcome = job.splits("test"), job.method.outcome
        for step in range(4):
            job.advance(step + 1, 4)
            job.report("training", step, {"loss": 1.0 / (step + 1)})
        job.show("squares", 3, np.zeros((8, 8, 3), np.uint8))
        if outcome == "fails":
            raise ZeroDivisionError("deliberate, to see what a listener does")
        if outcome == "away":
            raise Unavailable("deliberate: the data is not here")
        if outcome == "diverges":
            raise Diverged("deliberate: the loss is not finite")
        if outcome == "no memory":
            raise MemoryError("deliberate")
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
    """The content of a suite of toys, which can be planned and run inside the block."""
    with ExitStack() as stack:
        parts = (("datasets", ToyData), ("methods", ToyMethod), ("protocols", ToyProtocol))
        for kind, factory in parts:
            stack.enter_context(registry.register_temporarily(kind, "kit-toy", factory))
        yield {
            "name": "kit",
            "protocol": "kit-toy",
            "datasets": ["kit-toy"],
            "methods": [{"plugin": "kit-toy", "label": o, "outcome": o} for o in OUTCOMES],
            "seeds": [0, 1],
            "tables": [{"name": "kit", "rows": ["method"], "values": ["top1"]}],
        }
