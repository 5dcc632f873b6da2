"""F1 of label sets, over all labels and averaged over classes, and the share of sets that are right as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_metrics.label_sets import LabelSets

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

THRESHOLD = 0.5
"""A label is given if its score is at least this."""


def decide_labels(evidence: LabelSets, metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return given and right labels, N×C of 1 and 0; what is not counted (−1) is 0 in both.

    Raises DataError, naming the metric, if there are no samples.
    """
    import numpy as np

    if not len(evidence):
        raise DataError(f"{metric}: there are no samples, so it is not defined")
    targets = np.asarray(evidence.targets)
    given = (np.asarray(evidence.scores) >= THRESHOLD) & (targets >= 0)
    return given.astype(np.int64), (targets == 1).astype(np.int64)


class _LabelSetF1:
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"
    average: str
    name: str

    def __call__(self, evidence: LabelSets) -> float:
        """Return F1 as a fraction, 0 for 0/0. Raises DataError if no class has a sample, given or right."""
        from sklearn.metrics import f1_score

        given, right = decide_labels(evidence, self.name)
        there = (given + right).any(axis=0)
        if not there.any():
            raise DataError(f"{self.name}: no label is given or right, so it is not defined")
        found: Any = f1_score(right[:, there], given[:, there], average=self.average, zero_division=0)
        return float(found)


class SetMicroF1(_LabelSetF1):
    """F1 of label sets over all pairs of sample and label (scores of at least 0.5 are given; by scikit-learn)."""

    title, name, average = "Micro F1", "set-micro-f1", "micro"


class SetMacroF1(_LabelSetF1):
    """F1 of each class of label sets, averaged over the classes that are given or right anywhere (by scikit-learn)."""

    title, name, average = "Macro F1", "set-macro-f1", "macro"


class ExactSet:
    """The share of samples whose given labels are exactly the right ones."""

    title = "Exact set"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, evidence: LabelSets) -> NDArray[np.float64]:
        """Return 1 if all labels are right, else 0; N."""
        import numpy as np

        given, right = decide_labels(evidence, "exact-set")
        return np.asarray((given == right).all(axis=1), np.float64)

    def __call__(self, evidence: LabelSets) -> float:
        """Return the share as a fraction."""
        return float(self.per_sample(evidence).mean())
