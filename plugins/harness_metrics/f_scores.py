"""Precision, recall and F1 over classes of unequal size, from scikit-learn."""

from __future__ import annotations

from collections import Counter
from typing import Any

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


class WeightedF1:
    """F1 of each class, averaged with the classes' numbers of samples as weights."""

    title = "Weighted F1"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the weighted F1 as a fraction."""
        return float(_compute_scores(predictions, "weighted")[2])


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
        import numpy as np

        scores = _compute_scores(predictions, None)[2]
        labels = np.union1d(predictions.targets, predictions.predicted)
        names = [str(name) for name in predictions.class_names or range(predictions.logits.shape[1])]
        times = Counter(names)
        own = [f"{name} ({i})" if times[name] > 1 else name for i, name in enumerate(names)]
        return {own[label]: float(score) for label, score in zip(labels, scores, strict=True)}
