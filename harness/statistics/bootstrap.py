"""Bootstrap intervals over samples: of the mean (fast), or of any statistic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.checks import Floats, StatisticsError, check_level, check_vector, is_binary
from harness.statistics.intervals import Interval, wilson_interval

RESAMPLES = 2000
"""Default number of resamples (Efron and Tibshirani 1993 advise 1000 or more)."""

_CHUNK = 1 << 21
"""Indices drawn at once while resampling."""

_ROUNDING = 1e-9
"""Draws this close to the estimate, relative to the furthest one, equal it but for rounding."""

Method = Literal["bca", "percentile", "basic"]


def sample_interval(
    values: ArrayLike, level: float = 0.95, method: Method = "bca", resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Return an interval for the mean of per-sample values N: Wilson's if all are 0 or 1, else a bootstrap.

    None for too few samples (none at all, or a single one that is not 0 or 1).
    """
    x = check_vector(values)
    if len(x) and is_binary(x):
        return wilson_interval(int(x.sum()), len(x), level)
    return bootstrap_mean_interval(x, level, method, resamples, seed)


def bootstrap_mean_interval(
    values: ArrayLike, level: float = 0.95, method: Method = "bca", resamples: int = RESAMPLES, seed: int = 0
) -> Interval | None:
    """Return a bootstrap interval for the mean of per-sample values N; None for fewer than two samples.

    `percentile` takes the resampled means' quantiles; `bca` corrects them for bias and acceleration (Efron
    1987, JASA 82:171), the latter from the jackknife, which for a mean has a closed form. The result depends
    on the values, their order and `seed` only.
    """
    x = check_vector(values)
    n = len(x)
    if n < 2:
        return None
    mean = float(x.mean())
    # resampling deviations from the mean keeps values of a large offset exact
    centred = x - mean
    if float((centred**2).sum()) <= n * (np.finfo(np.float64).eps * abs(mean)) ** 2:
        return Interval(mean, mean, check_level(level), f"bootstrap {method}", n)
    means = bootstrap_means(centred, resamples, seed)
    low, high = _interval_ends(means, 0.0, level, centred if method == "bca" else None)
    return Interval(mean + low, mean + high, level, f"bootstrap {method}", n)


def bootstrap_means(values: Floats, resamples: int, seed: int) -> Floats:
    """Return the means of `resamples` draws of N values with replacement from `values` (N).

    With few distinct values, their multinomial counts are drawn: the same distribution at a cost that does
    not grow with N.
    """
    rng = np.random.default_rng(seed)
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= max(2, n // 8):
        drawn: NDArray[np.int64] = rng.multinomial(n, counts / n, size=resamples)
        return drawn @ distinct / n
    rows = max(1, _CHUNK // n)
    means = np.empty(resamples)
    for start in range(0, resamples, rows):
        stop = min(start + rows, resamples)
        means[start:stop] = values[rng.integers(n, size=(stop - start, n), dtype=np.int32)].mean(axis=1)
    return means


def bootstrap_interval(
    data: NDArray[Any],
    statistic: Callable[[NDArray[Any]], float],
    level: float = 0.95,
    method: Method = "percentile",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Return a bootstrap interval of any statistic of N samples, such as a calibration error or an F-score.

    `data` has one row per sample (N or N×columns); `statistic` takes as many rows, drawn with replacement,
    and returns a number. Percentile by default: the bias correction of BCa misleads for statistics that
    noise biases upwards, such as calibration errors, and its jackknife calls the statistic N times. `basic`
    reflects the percentiles at the estimate, 2θ − q (Davison and Hinkley 1997, 5.2): the interval moves down
    by as much as noise moves the estimate up. None for fewer than two samples. Raises StatisticsError if
    the statistic is not finite for some resample, which leaves the interval undefined.
    """
    n = len(data)
    if n < 2:
        return None
    rng = np.random.default_rng(seed)
    draws = np.array([statistic(data[rng.integers(n, size=n)]) for _ in range(resamples)], dtype=np.float64)
    estimate = float(statistic(data))
    if not (np.isfinite(draws).all() and np.isfinite(estimate)):
        raise StatisticsError(f"bootstrap of {n} samples: the statistic is not finite for some resamples")
    influence = None
    if method == "bca":
        left_out = np.array([statistic(np.delete(data, i, axis=0)) for i in range(n)], dtype=np.float64)
        influence = left_out.mean() - left_out
    low, high = _interval_ends(draws, estimate, level, influence)
    if method == "basic":
        low, high = 2 * estimate - high, 2 * estimate - low
    return Interval(low, high, level, f"bootstrap {method}", n)


def _interval_ends(
    draws: Floats, estimate: float, level: float, influence: Floats | None
) -> tuple[float, float]:
    """Return the interval's ends from the resampled statistics: percentile, or BCa with an `influence` (N).

    `influence` is each sample's pull on the statistic up to a common factor: the jackknife's deviations,
    which for a mean are the samples' own.
    """
    from scipy.special import ndtr, ndtri

    tails = np.array([(1 - check_level(level)) / 2, (1 + level) / 2])
    if influence is not None and np.any(influence):
        influence = influence / np.abs(influence).max()  # powers of tiny values would underflow
        b = len(draws)
        # draws that equal the estimate count half; sums in another order differ from it by rounding
        gap = draws - estimate
        near = _ROUNDING * np.abs(gap).max()
        share = (np.count_nonzero(gap < -near) + np.count_nonzero(gap <= near)) / (2 * b)
        # the correction is undefined if all resamples fall on one side, as with N of two or three
        bias = float(ndtri(min(max(share, 0.5 / b), 1 - 0.5 / b)))
        acceleration = float((influence**3).sum()) / (6 * float((influence**2).sum()) ** 1.5)
        z = bias + ndtri(tails)
        tails = ndtr(bias + z / (1 - acceleration * z))
    low, high = np.quantile(draws, tails)
    return float(low), float(high)
