"""Precision, recall and F1 over classes of unequal size, from scikit-learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Predictions
from harness_metrics.prediction_checks import check_predictions


def _compute_scores(predictions: Predictions, average: str | None) -> tuple[Any, Any, Any, Any]:
    """Return precision, recall, F1 and support over the classes that are targets or predictions; 0 for 0/0."""
    from sklearn.metrics import precision_recall_fscore_support

    check_predictions(predictions)
    found: tuple[Any, Any, Any, Any] = precision_recall_fscore_support(
        predictions.targets, predictions.predicted, average=average, zero_division=0
    )
    return found


def _count_classes(
    samples: Mapping[str, NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return hits, predictions and targets of each class that is a target or a prediction."""
    targets, predicted = samples["target"], samples["prediction"]
    classes = int(max(targets.max(), predicted.max())) + 1
    of_target = np.bincount(targets, minlength=classes).astype(float)
    of_prediction = np.bincount(predicted, minlength=classes).astype(float)
    hits = np.bincount(targets[targets == predicted], minlength=classes).astype(float)
    present = of_target + of_prediction > 0
    return hits[present], of_prediction[present], of_target[present]


class MacroPrecision:
    """Precision of each class, averaged over the classes that are targets or predictions.

    Precision is TP/(TP + FP), and 0 for a class that is never predicted.
    """

    title = "Macro precision"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean precision as a fraction."""
        return float(_compute_scores(predictions, "macro")[0])

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the same from the samples' targets and predictions."""
        hits, predicted, _ = _count_classes(samples)
        return float((hits / np.maximum(predicted, 1)).mean())


class MacroRecall:
    """Recall of each class, averaged over the classes that are targets or predictions.

    Recall is TP/(TP + FN), and 0 for a class that is predicted but has no samples. If every class has
    samples, it equals `mean_per_class`, the balanced accuracy.
    """

    title = "Macro recall"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean recall as a fraction."""
        return float(_compute_scores(predictions, "macro")[1])

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the same from the samples' targets and predictions."""
        hits, _, targets = _count_classes(samples)
        return float((hits / np.maximum(targets, 1)).mean())


class MacroF1:
    """F1 of each class, the harmonic mean of its precision and recall, averaged over classes.

    Classes that are neither targets nor predictions do not count. It is not the F1 of the means.
    """

    title = "Macro F1"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean F1 as a fraction."""
        return float(_compute_scores(predictions, "macro")[2])

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the same from the samples' targets and predictions."""
        hits, predicted, targets = _count_classes(samples)
        return float((2 * hits / (predicted + targets)).mean())


class WeightedF1:
    """F1 of each class, averaged with the classes' numbers of samples as weights."""

    title = "Weighted F1"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the weighted F1 as a fraction."""
        return float(_compute_scores(predictions, "weighted")[2])

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the same from the samples' targets and predictions."""
        hits, predicted, targets = _count_classes(samples)
        return float((targets * 2 * hits / (predicted + targets)).sum() / targets.sum())


class F1PerClass:
    """F1 of each class by its name, or by its number if the data set has no names.

    Classes that share a name, such as ImageNet's two missiles, get their numbers: `missile (657)`.
    """

    title = "F1"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> dict[str, float]:
        """Return F1 as a fraction for each class that is a target or a prediction."""
        scores = _compute_scores(predictions, None)[2]
        labels = np.union1d(predictions.targets, predictions.predicted)
        names = [str(name) for name in predictions.class_names or range(predictions.logits.shape[1])]
        times = Counter(names)
        own = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
        return {own[label]: float(score) for label, score in zip(labels, scores, strict=True)}
