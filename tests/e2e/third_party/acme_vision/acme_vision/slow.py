"""A protocol that waits a little and gives numbers, samples, curves and an image made from the cell's seed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from harness import Job, Result


class Slow:
    """Everything a record can hold, after `pause` seconds; `fail_at` names a point that raises."""

    needs_model = False
    directions: ClassVar = {"loss": False}

    def __init__(self, pause: float = 0.0, fail_at: int | None = None) -> None:
        self.pause = pause
        self.fail_at = fail_at

    def run(self, job: Job) -> Result:
        """Numbers that depend on the cell's axes and seed alone."""
        import numpy as np

        from harness import Result

        point = job.cell.axes.get("point", 0)
        if point == self.fail_at:
            raise ValueError(f"point {point} can't be")
        rng = np.random.default_rng(job.seed_for("acme-slow", point, job.cell.seed))
        right = rng.integers(0, 2, size=40).astype(np.float32)
        for step in range(4):
            time.sleep(self.pause / 4)
            job.advance(step + 1, 4)
            job.report("training", step, {"loss": 1 / (step + 1)})
        return Result(
            metrics={"right": float(right.mean()), "loss": float(rng.normal())},
            count=len(right),
            samples={"id": [f"s{n}" for n in range(len(right))], "right": right},
            curves={"training": {"step": list(range(50)), "loss": rng.normal(size=50).tolist()}},
            images={"picture": rng.integers(0, 256, size=(16, 16, 3), dtype=np.uint8)},
        )
