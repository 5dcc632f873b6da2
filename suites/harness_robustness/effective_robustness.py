"""Effective and relative robustness: accuracy under shift compared with a prediction from clean accuracy.

After Taori et al. 2020, "Measuring Robustness to Natural Distribution Shifts in Image
Classification". Accuracies are fractions from 0 to 1; ρ and τ are in percentage points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError, OptionError

Scale = Literal["logit", "probit", "linear"]
SCALES = ("logit", "probit", "linear")
MARGIN = 1e-4
"""Accuracies are clipped to this distance from 0 and 1, where logit and probit are infinite.

ResNet-50 has exactly 0 on ImageNet-A, whose images were selected against it.
"""


def to_scale(accuracy: ArrayLike, scale: Scale = "logit") -> NDArray[np.float64]:
    """Transform accuracies (fractions) to the scale of the fit, clipping 0 and 1 first (not for linear).

    Raises DataError for a value outside [0, 1], usually a percentage, and OptionError for an unknown scale.
    """
    from scipy.special import logit, ndtri

    values = np.asarray(accuracy, dtype=np.float64)
    outside = values[(values < 0) | (values > 1)]
    if outside.size:
        raise DataError(
            f"accuracies must be fractions from 0 to 1, got {outside.flat[0]:g}; divide percentages by 100"
        )
    if scale == "linear":
        return values
    clipped = np.clip(values, MARGIN, 1 - MARGIN)
    if scale not in SCALES:
        raise OptionError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
    scaled: NDArray[np.float64] = logit(clipped) if scale == "logit" else ndtri(clipped)
    return scaled


def from_scale(value: ArrayLike, scale: Scale = "logit") -> NDArray[np.float64]:
    """Return the accuracies (fractions) that `to_scale` maps to `value`."""
    from scipy.special import expit, ndtr

    values = np.asarray(value, dtype=np.float64)
    if scale == "linear":
        return values
    accuracies: NDArray[np.float64] = expit(values) if scale == "logit" else ndtr(values)
    return accuracies


@dataclass(frozen=True)
class AccuracyLine:
    """A fitted baseline: scaled shift accuracy = intercept + slope · scaled reference accuracy."""

    slope: float
    intercept: float
    r2: float
    count: int
    scale: Scale = "logit"

    def __str__(self) -> str:
        return f"slope {self.slope:.3g} ({self.scale}), R² {self.r2:.3f}, {self.count} models"

    def predict(self, reference: ArrayLike) -> NDArray[np.float64]:
        """Return the shift accuracy (fraction) predicted at these reference accuracies (fractions)."""
        return from_scale(self.intercept + self.slope * to_scale(reference, self.scale), self.scale)

    def effective_robustness(self, reference: ArrayLike, shift: ArrayLike) -> NDArray[np.float64]:
        """Return ρ = 100·(shift − β(reference)) in percentage points; positive means above the line."""
        return 100.0 * (np.asarray(shift, dtype=np.float64) - self.predict(reference))


def fit_line(reference: ArrayLike, shift: ArrayLike, scale: Scale = "logit") -> AccuracyLine:
    """Fit scaled shift accuracy to scaled reference accuracy by least squares, over standard models.

    Both are fractions, one per model. The caller chooses the models, which must not include evaluated ones.
    Raises DataError for fewer than two different reference accuracies.
    """
    x, y = np.broadcast_arrays(to_scale(reference, scale), to_scale(shift, scale))
    x, y = x.ravel(), y.ravel()
    if len(np.unique(x)) < 2:
        raise DataError(
            f"a baseline needs at least two standard models with different reference accuracies, got {len(x)}"
        )
    slope, intercept = map(float, _least_squares(x, y))
    residual = ((y - intercept - slope * x) ** 2).sum()
    total = ((y - y.mean()) ** 2).sum()
    return AccuracyLine(slope, intercept, float(1 - residual / total) if total > 0 else 1.0, len(x), scale)


def bootstrap_predictions(
    reference: ArrayLike,
    shift: ArrayLike,
    at: ArrayLike,
    scale: Scale = "logit",
    resamples: int = 1000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return baseline predictions (resamples × M) at `at` (M fractions) from refits on resampled models.

    Models are drawn with replacement, by seed; draws with a single reference accuracy have no line and are
    redrawn. Raises DataError as `fit_line`.
    """
    line = fit_line(reference, shift, scale)
    x, y = to_scale(reference, scale), to_scale(shift, scale)
    where = to_scale(np.atleast_1d(np.asarray(at, dtype=np.float64)), scale)
    rng = np.random.default_rng(seed)
    draws = np.empty((0, line.count), dtype=np.int64)
    while len(draws) < resamples:
        new = rng.integers(0, line.count, (resamples - len(draws), line.count))
        draws = np.concatenate([draws, new[np.ptp(x[new], axis=1) > 0]])
    slope, intercept = _least_squares(x[draws], y[draws])
    return from_scale(intercept[:, None] + slope[:, None] * where, scale)


def bootstrap_interval(
    reference: ArrayLike,
    shift: ArrayLike,
    at: ArrayLike,
    scale: Scale = "logit",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the bootstrap percentile interval (low, high) of the baseline at `at`, in fractions."""
    drawn = bootstrap_predictions(reference, shift, at, scale, resamples, seed)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def relative_robustness(shift: ArrayLike, baseline_shift: ArrayLike) -> NDArray[np.float64]:
    """Return τ = 100·(shift accuracy of a model − that of the model it was derived from), in percentage points."""
    return 100.0 * (np.asarray(shift, dtype=np.float64) - np.asarray(baseline_shift, dtype=np.float64))


def _least_squares(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return slopes and intercepts of y on x (…×N each), in closed form since a general solver is slow on many refits."""
    dx = x - x.mean(axis=-1, keepdims=True)
    slope = (dx * (y - y.mean(axis=-1, keepdims=True))).sum(axis=-1) / (dx**2).sum(axis=-1)
    return slope, y.mean(axis=-1) - slope * x.mean(axis=-1)
