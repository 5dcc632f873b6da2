"""Accuracy of a classifier: top-1, top-k, and the mean over classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import OptionError, Predictions
from harness_metrics.prediction_checks import check_predictions


class TopK:
    """Top-k accuracy: the share of samples whose class is among the k largest logits.

    acc@k = (1/N) Σ 1[rank of the target's logit ≤ k]. Among equal logits the lower class index
    ranks first, as in argmax, so a tie never counts twice. With k ≥ C every sample counts.

    Args:
        k: how many of the largest logits count, at least 1.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise OptionError(f"top-k: k must be at least 1, got {k}")
        self.k = k

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"Top-{self.k} accuracy"

    def per_sample(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return 1 if the target is among the k largest logits, else 0; N."""
        check_predictions(predictions)
        if self.k == 1:
            return np.asarray(predictions.predicted == predictions.targets, np.float64)
        logits, targets = predictions.logits, predictions.targets
        own = np.take_along_axis(logits, targets[:, None], axis=1)
        before = np.arange(logits.shape[1])[None, :] < targets[:, None]
        rank = (logits > own).sum(axis=1) + ((logits == own) & before).sum(axis=1)
        return np.asarray(rank < self.k, np.float64)

    def __call__(self, predictions: Predictions) -> float:
        """Return top-k accuracy as a fraction."""
        return float(self.per_sample(predictions).mean())


class Top1(TopK):
    """Top-1 accuracy: the share of samples whose class has the largest logit."""

    def __init__(self) -> None:
        super().__init__(k=1)


class Top5(TopK):
    """Top-5 accuracy: the share of samples whose class is among the five largest logits."""

    def __init__(self) -> None:
        super().__init__(k=5)


class MeanPerClass:
    """Mean per-class accuracy: recall of each class, averaged over the classes that occur.

    (1/|K|) Σ_{c∈K} TP_c / N_c with K the classes that have samples; also called balanced accuracy.
    It is usual for Pets, Flowers, Caltech-101 and Aircraft outside prompt learning.
    """

    title = "Mean per-class accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean recall as a fraction."""
        check_predictions(predictions)
        return mean_recall(predictions.targets, predictions.predicted)

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the mean recall from the samples' targets and predictions."""
        return mean_recall(samples["target"], samples["prediction"])


def mean_recall(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    """Return the recall of each class of N targets, averaged over the classes that occur."""
    samples = np.bincount(targets)
    hits = np.bincount(targets, weights=predicted == targets)
    present = samples > 0
    return float((hits[present] / samples[present]).mean())
