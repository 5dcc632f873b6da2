"""The further metrics of the CLIP paper's linear-probe table: 11-point mAP, ROC AUC, mean of top-1 and top-5."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import DataError, Predictions
from harness_metrics.label_sets import LabelSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def average_precision_11(scores: NDArray[np.floating], targets: NDArray[np.integer]) -> float:
    """Return one class's (1/11) Σ over r = 0, 0.1, …, 1 of the largest precision at a recall of at least r.

    `scores` N, `targets` N of 1 and 0; equal scores keep their order. NaN without a positive.
    Source: Everingham et al. 2010, section 4.2, and the VOC 2007 development kit.
    """
    import numpy as np

    ranked = np.asarray(targets)[np.argsort(-np.asarray(scores, np.float64), kind="stable")] == 1
    if not ranked.any():
        return float("nan")
    hits = ranked.cumsum()
    precision, recall = hits / np.arange(1, len(ranked) + 1), hits / hits[-1]
    # recalls are ratios of counts: the tolerance lets a rounded 0.3 reach the level 0.3
    reached = (recall >= level - 1e-9 for level in np.linspace(0, 1, 11))
    return float(np.mean([precision[at].max() for at in reached]))


class MeanAveragePrecision11:
    """11-point average precision, averaged over the classes that have a sample: PASCAL VOC 2007's measure.

    A class's "difficult" samples (target −1) do not count for it, as in the development kit.
    """

    title = "11-point mAP"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, evidence: LabelSets) -> float:
        """Return the mean over classes as a fraction. Raises DataError if no class has a sample."""
        import numpy as np

        each = []
        for scores, targets in zip(evidence.scores.T, evidence.targets.T, strict=True):
            counted = targets >= 0
            each.append(average_precision_11(scores[counted], targets[counted]))
        if np.isnan(each).all():
            raise DataError("map_11point: no class has a sample")
        return float(np.nanmean(each))


class RocAuc:
    """Area under the ROC curve of two classes, the second being positive (by scikit-learn)."""

    title = "ROC AUC"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> float:
        """Return the area. Raises DataError unless there are two classes, both with samples."""
        from sklearn.metrics import roc_auc_score

        logits, targets = predictions.logits.astype("float64"), predictions.targets
        if logits.shape[1] != 2:
            raise DataError(f"roc_auc needs two classes, the data set has {logits.shape[1]}")
        if len(set(targets.tolist())) != 2:
            raise DataError("roc_auc needs samples of both classes")
        return float(roc_auc_score(targets, logits[:, 1] - logits[:, 0]))


class MeanTop1Top5:
    """Mean of top-1 and top-5 accuracy, Kinetics-700's measure (Carreira et al. 2019)."""

    title = "Mean of top-1 and top-5"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return 1 for rank 1, 0.5 for ranks 2 to 5, else 0; N."""
        from harness_metrics.classification import TopK

        found: NDArray[np.float64] = (TopK(1).per_sample(predictions) + TopK(5).per_sample(predictions)) / 2
        return found

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean as a fraction."""
        return float(self.per_sample(predictions).mean())
