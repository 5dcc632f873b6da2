"""Metrics of mistakes in a tree of classes: how severe they are, what they share, and at which level they are none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness import DataError, OptionError, Predictions, content_digest
from harness_metrics.class_tree import MatchedTree, find_tree, read_class_tree
from harness_metrics.prediction_checks import check_predictions

DEEPEST = 32
"""Levels whose accuracies get intervals of shares; no tree of classes is as deep."""


class TreeMetric:
    """Base of the metrics that look classes up in a tree.

    Args:
        tree: a file, itself or below $HARNESS_DATA_ROOT, or the name of a packaged tree, such as "scenes".
    """

    smallest: ClassVar = {"tree": "ten-classes"}

    def __init__(self, tree: Path) -> None:
        self.tree = tree

    def unavailable(self) -> str | None:
        """Return that the tree is missing, or None."""
        try:
            find_tree(self.tree)
        except OptionError as missing:
            return str(missing)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the tree."""
        return "absent" if self.unavailable() else content_digest(find_tree(self.tree))

    def _match(self, predictions: Predictions) -> MatchedTree:
        """Return the classes in the tree; DataError for predictions without names of classes, or other ones."""
        check_predictions(predictions)
        names = predictions.class_names
        if len(names) != predictions.logits.shape[1]:
            raise DataError(
                f"{self.tree}: the tree has names, and the predictions have {len(names)} for "
                f"{predictions.logits.shape[1]} classes"
            )
        return read_class_tree(find_tree(self.tree)).match(names)


class MistakeSeverity(TreeMetric):
    """Mean height of the lowest common ancestor of the predicted and the true class, over the mistakes.

    The height of a node is its distance from the farthest leaf below it (Bertinetto et al., "Making Better Mistakes",
    CVPR 2020, section 5: hierarchical distance of a mistake), so that a mistake has at least 1; the value is 0 where there
    is none. A model with fewer mistakes may have severer ones: read it beside accuracy.
    """

    title = "Mistake severity"
    higher_is_better = False

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean height in edges."""
        return float(self.resampled(predictions, np.ones((1, len(predictions))))[0])

    def resampled(self, predictions: Predictions, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the mean height over R sets in which sample n counts weights[r, n] times, R."""
        heights = self._match(predictions).measure_heights()[predictions.predicted, predictions.targets]
        wrong, w = predictions.predicted != predictions.targets, weights.astype(np.float64)
        return np.asarray(w @ (heights * wrong) / np.maximum(w @ wrong, 1))


class HierarchicalPrecision(TreeMetric):
    """Precision, recall and F of the ancestors of predicted classes, over all samples.

    Each class is the set of itself and its ancestors without the root. Precision is Σ|P∩T| / Σ|P| over samples, with
    P of the predicted class and T of the true one, recall Σ|P∩T| / Σ|T|, and F their harmonic mean (Kiritchenko et
    al., 2005; recommended by Silla and Freitas, 2011). If all classes have one depth, the three are equal.
    """

    title: ClassVar = {
        "precision": "Hierarchical precision", "recall": "Hierarchical recall", "f": "Hierarchical F",
    }  # fmt: skip
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: Predictions) -> dict[str, float]:
        """Return the three as fractions."""
        found = self.resampled(predictions, np.ones((1, len(predictions))))
        return {name: float(values[0]) for name, values in found.items()}

    def resampled(self, predictions: Predictions, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Return the three over R sets in which sample n counts weights[r, n] times, R each."""
        matched, w = self._match(predictions), weights.astype(np.float64)
        predicted, targets = predictions.predicted, predictions.targets
        shared = w @ matched.count_shared()[predicted, targets]
        said, true = w @ matched.depths[predicted], w @ matched.depths[targets]
        return {"precision": shared / said, "recall": shared / true, "f": 2 * shared / (said + true)}


class AccuracyPerLevel(TreeMetric):
    """Top-1 accuracy at each level of the tree: the share of samples whose class has the predicted one's ancestor.

    Level 1 is below the root, the last one that of the deepest class. A class above a level stands for itself there,
    so that the last level is top-1 accuracy.
    """

    title = "Accuracy at level"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"
    proportion = tuple(str(level) for level in range(1, DEEPEST + 1))

    def __call__(self, predictions: Predictions) -> Mapping[str, float]:
        """Return accuracy as a fraction by level, "1" and so on."""
        found = self.resampled(predictions, np.ones((1, len(predictions))))
        return {name: float(values[0]) for name, values in found.items()}

    def resampled(self, predictions: Predictions, weights: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
        """Return accuracy over R sets in which sample n counts weights[r, n] times, R by level."""
        matched, w = self._match(predictions), weights.astype(np.float64)
        found = {}
        for level in range(1, int(matched.depths.max()) + 1):
            groups = matched.group_at(level)
            found[str(level)] = (
                w @ (groups[predictions.predicted] == groups[predictions.targets]) / w.sum(axis=1)
            )
        return found
