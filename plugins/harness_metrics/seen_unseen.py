"""Evidence and metric of generalised zero-shot learning: classes that a model learned from, and others."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Predictions
from harness_metrics.prediction_checks import check_predictions


@dataclass(frozen=True, eq=False)
class SeenUnseenPredictions(Predictions):
    """Predictions of samples of seen and unseen classes over all of them; `unseen` marks the latter, C."""

    unseen: NDArray[np.bool_] = field(kw_only=True)

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same predictions, to the last bit."""
        return {**super().pack(), "unseen": np.array(self.unseen, bool)}

    @classmethod
    def example(cls, quality: float, seed: int) -> SeenUnseenPredictions:
        """Return 120 predictions over six classes, two of them unseen; the share `quality` is right."""
        rng = np.random.default_rng(seed)
        targets = np.arange(120) % 6
        right = rng.permutation(120) < round(120 * quality)
        logits = np.eye(6)[np.where(right, targets, (targets + 1) % 6)]
        return cls(
            logits, targets, [f"s{n:03d}" for n in range(120)], [f"c{c}" for c in range(6)],
            unseen=np.arange(6) > 3,
        )  # fmt: skip


class HarmonicMean:
    """Mean per-class accuracy over the seen and over the unseen classes, and the harmonic mean of both.

    All classes are candidates for every sample. H = 2·S·U / (S + U), and 0 if either is 0 (Xian et al., "Zero-shot
    learning: a comprehensive evaluation", TPAMI 2018): a model that never predicts an unseen class has 0, whatever its
    accuracy.
    """

    title: ClassVar = {
        "seen": "Seen classes", "unseen": "Unseen classes", "harmonic": "Harmonic mean",
    }  # fmt: skip
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, predictions: SeenUnseenPredictions) -> dict[str, float]:
        """Return the three as fractions. Raises DataError without samples of seen or of unseen classes."""
        check_predictions(predictions)
        if predictions.unseen.shape != (predictions.logits.shape[1],):
            raise DataError(
                f"harmonic-mean: expected `unseen` for each of {predictions.logits.shape[1]} classes, got shape "
                f"{predictions.unseen.shape}"
            )
        of_unseen = predictions.unseen[predictions.targets]
        for name, rows in (("seen", ~of_unseen), ("unseen", of_unseen)):
            if not rows.any():
                raise DataError(f"harmonic-mean: there are no samples of {name} classes")
        found = self.resampled(predictions, np.ones((1, len(predictions))))
        return {name: float(values[0]) for name, values in found.items()}

    def resampled(
        self, predictions: SeenUnseenPredictions, weights: NDArray[Any]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the three over R sets in which sample n counts weights[r, n] times; NaN without a class of a side."""
        own = np.eye(len(predictions.unseen))[predictions.targets]
        w = weights.astype(np.float64)
        right = w @ (own * (predictions.predicted == predictions.targets)[:, None])
        count = w @ own
        with np.errstate(invalid="ignore", divide="ignore"):
            recall = np.where(count > 0, right / count, 0)
            seen, unseen = (
                recall[:, side].sum(axis=1) / (count[:, side] > 0).sum(axis=1)
                for side in (~predictions.unseen, predictions.unseen)
            )
            harmonic = np.where(seen * unseen > 0, 2 * seen * unseen / (seen + unseen), seen * unseen)
        return {"seen": seen, "unseen": unseen, "harmonic": harmonic}
