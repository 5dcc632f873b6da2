"""Temperature scaling: division of all logits by one number, fitted by maximum likelihood."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Predictions
from harness_metrics.calibration import Binning, Ece, Norm, negative_log_likelihood
from harness_metrics.prediction_checks import check_predictions

TEMPERATURE_RANGE = (0.01, 100.0)
"""Bounds of the fit; on perfectly separated data the temperature would otherwise go to 0."""


def fit_temperature(logits: NDArray[np.floating[Any]], targets: NDArray[np.int64]) -> float:
    """Return the temperature T that minimises the NLL of softmax(logits / T) (Guo et al. 2017).

    Logits N×C, targets N. The NLL is convex in 1/T, so it has a single minimum in log T. T lies in
    `TEMPERATURE_RANGE`, and its NLL never exceeds that of T = 1.
    """
    from scipy.optimize import minimize_scalar

    z = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        return float(negative_log_likelihood(z / np.exp(log_temperature), targets).mean())

    found = minimize_scalar(
        loss, bounds=tuple(np.log(TEMPERATURE_RANGE)), method="bounded", options={"xatol": 1e-6}
    )
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def split_halves(predictions: Predictions) -> tuple[Predictions, Predictions]:
    """Split into two disjoint halves (to fit, to evaluate) by the samples' ids alone.

    Ids are ranked by their SHA-256, so neither sample order nor the model changes the halves.
    Raises DataError for fewer than two samples.
    """
    if len(predictions) < 2:
        raise DataError("temperature: needs at least two samples, one to fit and one to evaluate")
    rank = sorted(
        range(len(predictions)), key=lambda i: hashlib.sha256(str(predictions.ids[i]).encode()).digest()
    )
    cut = len(rank) // 2
    return _select_samples(predictions, sorted(rank[:cut])), _select_samples(predictions, sorted(rank[cut:]))


class EceAfterTemperature:
    """ECE after temperature scaling, fitted on one half of the samples and measured on the other.

    The sample ids decide on the halves (`split_halves`), so no sample is used for both; the value rests on half
    of the data and can't be compared with `ece` sample by sample.

    Args:
        bins: number of bins of confidence, at least 1.
        norm: of the bins' gaps |accuracy − confidence|: `l1` mean, `l2` root mean square, `max` largest.
        binning: bins of equal `width`, or of equal `mass` (numbers of samples).
    """

    title = "ECE after temperature scaling"
    higher_is_better = False
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, bins: int = 15, norm: Norm = "l1", binning: Binning = "width") -> None:
        self.ece = Ece(bins=bins, norm=norm, binning=binning)

    def __call__(self, predictions: Predictions) -> float:
        """Return the calibration error of the measured half as a fraction."""
        fitted, measured = split_halves(check_predictions(predictions))
        temperature = fit_temperature(fitted.logits, fitted.targets)
        scaled = measured.logits.astype(np.float64) / temperature
        return self.ece(Predictions(scaled, measured.targets, measured.ids, measured.class_names))


def _select_samples(predictions: Predictions, index: list[int]) -> Predictions:
    return Predictions(
        predictions.logits[index],
        predictions.targets[index],
        [predictions.ids[i] for i in index],
        predictions.class_names,
    )
