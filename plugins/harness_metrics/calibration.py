"""Calibration of a classifier's confidence: expected calibration error, Brier score, NLL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import OptionError, Predictions
from harness_metrics.prediction_checks import check_predictions

Norm = Literal["l1", "l2", "max"]
Binning = Literal["width", "mass"]


def calibration_error(
    confidence: ArrayLike,
    correct: ArrayLike,
    bins: int = 15,
    norm: Norm = "l1",
    binning: Binning = "width",
) -> float:
    """Return the calibration error of confidences (N, in [0, 1]) against correctness (N, 0 or 1).

    With the share |B_b|/N, accuracy acc and mean confidence conf of bin b:
    `l1` Σ share·|acc−conf| (ECE, Naeini et al. 2015; Guo et al. 2017), `l2` the root of
    Σ share·(acc−conf)² (RMS calibration error, Hendrycks et al. 2019), `max` the largest |acc−conf|.
    Bins of equal `width` are (lo, hi], and the first also holds confidence 0; bins of equal `mass` hold about
    N/bins samples each, and equal confidences always share a bin. No bin is left out.
    """
    conf = np.asarray(confidence, dtype=np.float64)
    right = np.asarray(correct, dtype=np.float64)
    if binning == "width":
        index = np.searchsorted(np.arange(1, bins) / bins, conf, side="left")
    else:
        # The first position of a confidence in sorted order decides, so ties share a bin.
        index = np.searchsorted(np.sort(conf), conf, side="left") * bins // len(conf)
    samples = np.bincount(index, minlength=bins)
    filled = samples > 0
    samples = samples[filled]
    accuracy = np.bincount(index, weights=right, minlength=bins)[filled] / samples
    mean_confidence = np.bincount(index, weights=conf, minlength=bins)[filled] / samples
    gap = np.abs(accuracy - mean_confidence)
    share = samples / len(conf)
    if norm == "l1":
        return float((share * gap).sum())
    if norm == "l2":
        return float(np.sqrt((share * gap**2).sum()))
    return float(gap.max())


class Ece:
    """Expected calibration error of the predicted class's probability; see `calibration_error`.

    Args:
        bins: number of bins of confidence, at least 1.
        norm: of the bins' gaps |accuracy − confidence|: `l1` mean, `l2` root mean square, `max` largest.
        binning: bins of equal `width`, or of equal `mass` (numbers of samples).
    """

    higher_is_better = False
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, bins: int = 15, norm: Norm = "l1", binning: Binning = "width") -> None:
        if bins < 1:
            raise OptionError(f"ece: bins must be at least 1, got {bins}")
        if norm not in ("l1", "l2", "max"):
            raise OptionError(f"ece: norm must be 'l1', 'l2' or 'max', got {norm!r}")
        if binning not in ("width", "mass"):
            raise OptionError(f"ece: binning must be 'width' or 'mass', got {binning!r}")
        self.bins, self.norm, self.binning = bins, norm, binning
        self.title = {"l1": "ECE", "l2": "RMS calibration error", "max": "Largest calibration error"}[norm]

    def __call__(self, predictions: Predictions) -> float:
        """Return the calibration error as a fraction."""
        check_predictions(predictions)
        right = predictions.predicted == predictions.targets
        return calibration_error(predictions.confidence, right, self.bins, self.norm, self.binning)

    def from_samples(self, samples: Mapping[str, NDArray[Any]]) -> float:
        """Return the calibration error from the samples' targets, predictions and confidences."""
        right = samples["prediction"] == samples["target"]
        return calibration_error(samples["confidence"], right, self.bins, self.norm, self.binning)


class RmsCalibrationError(Ece):
    """RMS calibration error (Hendrycks et al. 2019): bins of equal mass, squared gaps."""

    def __init__(self, bins: int = 15) -> None:
        super().__init__(bins=bins, norm="l2", binning="mass")


class Brier:
    """Brier score over all classes: (1/N) Σ_n Σ_c (p_nc − 1[c = y_n])² (Brier 1950), from 0 to 2."""

    title = "Brier score"
    higher_is_better = False
    bounds = (0.0, 2.0)

    def per_sample(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return the squared distance of the probabilities from the one-hot target, N."""
        check_predictions(predictions)
        p = predictions.probabilities
        own = np.take_along_axis(p, predictions.targets[:, None], axis=1)[:, 0]
        # Replacing own² by (own − 1)² in the sum of squares adds 1 − 2·own; rounding could go below 0.
        scores: NDArray[np.float64] = np.maximum((p**2).sum(axis=1) - 2.0 * own + 1.0, 0.0)
        return scores

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean Brier score."""
        return float(self.per_sample(predictions).mean())


class Nll:
    """Negative log-likelihood of the target in nats: −(1/N) Σ log p_n(y_n)."""

    title = "NLL"
    higher_is_better = False
    unit = "nats"
    bounds = (0.0, float("inf"))

    def per_sample(self, predictions: Predictions) -> NDArray[np.float64]:
        """Return −log p(target), N, from the logits, so that tiny probabilities keep a finite log."""
        check_predictions(predictions)
        return negative_log_likelihood(predictions.logits, predictions.targets)

    def __call__(self, predictions: Predictions) -> float:
        """Return the mean negative log-likelihood in nats."""
        return float(self.per_sample(predictions).mean())


def negative_log_likelihood(logits: NDArray[np.floating], targets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return −log softmax(logits)[target], N in float64, for logits N×C and targets N."""
    z = logits.astype(np.float64)
    z = z - z.max(axis=1, keepdims=True)
    own = np.take_along_axis(z, targets[:, None], axis=1)[:, 0]
    losses: NDArray[np.float64] = np.log(np.exp(z).sum(axis=1)) - own
    return losses
