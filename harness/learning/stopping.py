"""Early stopping of a training."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class Stopping:
    """Early stopping after `patience` evaluations in a row without a higher score; never if None.

    An equal score is no gain, and neither is NaN. `best_step` is that of the best evaluation, 0 before
    there is any.
    """

    patience: int | None
    best: float = -math.inf
    best_step: int = 0
    stale: int = 0
    """Evaluations since the best one."""

    def update(self, score: float, step: int) -> bool:
        """Take in the score after `step` updates; return whether it is the best so far."""
        if not score > self.best:
            self.stale += 1
            return False
        self.best, self.best_step, self.stale = score, step, 0
        return True

    @property
    def stop(self) -> bool:
        """Whether to stop now."""
        return self.patience is not None and self.stale >= self.patience
