"""When a training has stopped getting better."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Stops after `patience` epochs in a row without a higher score; None never stops.

    Epochs are counted from 1. An equal score is no gain, and neither is one that is not a number.
    """

    patience: int | None
    epoch: int = 0
    best_epoch: int = 0
    best: float = -math.inf

    def update(self, score: float) -> bool:
        """Takes in an epoch's score; true when it is the best so far, so that its weights are kept."""
        self.epoch += 1
        if not score > self.best:
            return False
        self.best, self.best_epoch = score, self.epoch
        return True

    @property
    def stop(self) -> bool:
        """Whether to stop now."""
        return self.patience is not None and self.epoch - self.best_epoch >= self.patience
