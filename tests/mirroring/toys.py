"""A suite whose cells say that they ran; `main` is one machine's run, which may kill itself."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

import harness
from harness.contract.data import Sample
from harness.contract.running import Job, Result

SEEDS = list(range(6))
SUITE: dict[str, Any] = {
    "name": "toys",
    "protocol": "toy-counting",
    "datasets": ["toy-data"],
    "seeds": SEEDS,
    "tables": [{"name": "toys", "rows": ["seed"], "columns": ["metric"], "values": ["score"]}],
}

STATE = "mirroring_toys_state"
"""What is not the toys' code, which decides the ids of cells: seeds that `ran`, and calls `before_cell` with a seed."""


class Split:
    """Three samples."""

    class_names = ("zero", "one")
    ids = ("a", "b", "c")
    targets = np.array([0, 1, 0])

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], np.zeros((2, 2, 3), np.uint8), int(self.targets[index]))


class Data:
    """A data set of one split."""

    splits = ("test",)

    def load(self, split: str) -> Split:
        return Split()


class Counting:
    """Numbers that follow from the seed, and an array in the cache for each."""

    directions: ClassVar = {"score": True}
    needs_model = False

    def run(self, job: Job) -> Result:
        seed = job.cell.seed
        state: Any = sys.modules[STATE]
        for call in state.before_cell:
            call(seed)
        state.ran.append(seed)
        kept = job.cache.get({"what": "toy", "seed": seed}, lambda: np.arange(4.0) + seed)
        samples = {"id": list(Split.ids), "target": Split.targets, "score": [0.0, 1.0, float(kept.mean())]}
        return Result({"score": float(kept.mean())}, count=3, samples=samples)


def register() -> None:
    """Register the toys in this process."""
    state: Any = ModuleType(STATE)
    state.ran, state.before_cell = [], []
    sys.modules[STATE] = state
    harness.register("datasets", "toy-data", Data)
    harness.register("protocols", "toy-counting", Counting)


def main(store: str, url: str, kill_at: str | None = None) -> None:
    """Run the suite; the process kills itself when the cell of seed `kill_at` starts."""
    register()

    def kill(seed: int) -> None:
        if str(seed) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.modules[STATE].before_cell.append(kill)
    harness.run(SUITE, store=Path(store), remote=url, device="cpu", progress=False)
