"""Metrics: a sound one, and the same with one fault each, for the kit to find."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from harness import DataError, Predictions


class Accuracy:
    """A sound metric: the share of samples whose class has the largest logit."""

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, predictions: Predictions) -> Any:
        if len(predictions) == 0 or np.isnan(predictions.logits).any():
            raise DataError("no samples, or a logit that is NaN")
        return (predictions.predicted == predictions.targets).astype(float)

    def __call__(self, predictions: Predictions) -> float:
        return float(self.per_sample(predictions).mean())


class ErrorAsAccuracy(Accuracy):
    """Declares its direction the other way round."""

    higher_is_better = False


class Percent(Accuracy):
    """Gives percent and declares a fraction."""

    def __call__(self, predictions: Predictions) -> float:
        return 100 * super().__call__(predictions)


class Constant(Accuracy):
    """Says the same of everything."""

    def __call__(self, predictions: Predictions) -> float:
        return 0.5


class WrongFormula(Accuracy):
    """Divides by one sample too many."""

    def __call__(self, predictions: Predictions) -> float:
        right = self.per_sample(predictions)
        return float(right.sum() / (len(right) + 1))


class FirstHalf(Accuracy):
    """Looks at the first half of the samples only."""

    per_sample = None  # type: ignore[assignment]

    def __call__(self, predictions: Predictions) -> float:
        if len(predictions) < 2 or np.isnan(predictions.logits).any():
            raise DataError("too few")
        half = len(predictions) // 2
        return float((predictions.predicted[:half] == predictions.targets[:half]).mean())


class RelativeToBatch(Accuracy):
    """Its values per sample are relative to the others."""

    def per_sample(self, predictions: Predictions) -> Any:
        confidence = predictions.confidence
        return confidence / confidence.max()

    def __call__(self, predictions: Predictions) -> float:
        return float(self.per_sample(predictions).mean())


class OtherMean(Accuracy):
    """The mean of its values per sample is not its value."""

    def per_sample(self, predictions: Predictions) -> Any:
        return super().per_sample(predictions) * 0.5

    def __call__(self, predictions: Predictions) -> float:
        return 2 * float(self.per_sample(predictions).mean()) ** 2


class OtherResamples(Accuracy):
    """Resampled, it is another number."""

    def resampled(self, predictions: Predictions, weights: Any) -> Any:
        return weights @ super().per_sample(predictions) / len(predictions)


class Counts(Accuracy):
    """Carries something over from call to call."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def __call__(self, predictions: Predictions) -> float:
        return super().__call__(predictions) * 0.999 ** next(self.calls)


class SortsInPlace(Accuracy):
    """Sorts the evidence's own logits."""

    def __call__(self, predictions: Predictions) -> float:
        value = super().__call__(predictions)
        predictions.logits.sort(axis=1)
        return value


class DividesByNothing(Accuracy):
    """Gives NaN where there are no samples."""

    def __call__(self, predictions: Predictions) -> float:
        right = predictions.predicted == predictions.targets
        return float(right.sum() / np.float64(len(right)))


class Traceback(Accuracy):
    """Fails with Python's own words where there are no samples."""

    def __call__(self, predictions: Predictions) -> float:
        order = predictions.logits.max(axis=1)
        return float((predictions.predicted == predictions.targets).mean()) + 0 * float(order[0])


class Undocumented:
    higher_is_better = True

    def __call__(self, predictions: Predictions) -> float:
        return 0.0


class FromTheFuture(Accuracy):
    """Is written for a contract that nobody knows."""

    harness_api = 99
