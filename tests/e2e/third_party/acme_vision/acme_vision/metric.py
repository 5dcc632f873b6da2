"""A metric: how far the largest probability is above the second."""

from __future__ import annotations

from typing import Any

from harness import Predictions


class Margin:
    """Mean of the largest probability minus the second largest."""

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, predictions: Predictions) -> Any:
        """The margin of each sample."""
        import numpy as np

        ordered = np.sort(predictions.probabilities, axis=1)
        return ordered[:, -1] - ordered[:, -2]

    def __call__(self, predictions: Predictions) -> float:
        """The mean margin."""
        return float(self.per_sample(predictions).mean())
