"""Paired tests of two models or methods on the same samples (or the same seeds)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.bootstrap import RESAMPLES, Method, bootstrap_interval, bootstrap_mean_interval
from harness.statistics.checks import Floats, StatisticsError, check_same_length, check_vector, is_binary
from harness.statistics.intervals import Interval
from harness.statistics.permutation import PERMUTATIONS, sign_flip_test

MCNEMAR_EXACT_BELOW = 25
"""Below this many discordant pairs McNemar's test is the exact binomial one (the usual rule for its χ²)."""


@dataclass(frozen=True)
class PairedTest:
    """A two-sided paired test of `n` pairs; `difference` is the mean of a − b in their unit."""

    p_value: float
    difference: float
    n: int
    method: str


def mcnemar_p(only_a: ArrayLike, only_b: ArrayLike) -> Floats:
    """Return McNemar's two-sided p-values from the counts right in a only and in b only, of any shape.

    Exact binomial below `MCNEMAR_EXACT_BELOW` discordant pairs, otherwise χ² with continuity correction
    (McNemar 1947, Psychometrika 12:153; Edwards 1948, Psychometrika 13:185).
    """
    from scipy.special import bdtr, chdtrc

    one, other = np.broadcast_arrays(np.asarray(only_a, dtype=np.int64), np.asarray(only_b, dtype=np.int64))
    n = one + other
    safe = np.maximum(n, 1)
    exact = np.where(n == 0, 1.0, np.minimum(1.0, 2 * bdtr(np.minimum(one, other), safe, 0.5)))
    corrected = chdtrc(1, (np.abs(one - other) - 1.0) ** 2 / safe)
    return np.asarray(np.where(n < MCNEMAR_EXACT_BELOW, exact, corrected), dtype=np.float64)


def mcnemar_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Test two 0/1 vectors N by McNemar's test (right or wrong on the same samples, in the same order)."""
    x, y = _check_pair(a, b)
    if not (is_binary(x) and is_binary(y)):
        raise StatisticsError("McNemar's test: expected values that are 0 or 1")
    only_a, only_b = int((x > y).sum()), int((y > x).sum())
    method = "mcnemar exact" if only_a + only_b < MCNEMAR_EXACT_BELOW else "mcnemar chi2 corrected"
    return PairedTest(float(mcnemar_p(only_a, only_b)), float((x - y).mean()), len(x), method)


def permutation_test(
    a: ArrayLike, b: ArrayLike, permutations: int = PERMUTATIONS, seed: int = 0
) -> PairedTest:
    """Test the mean difference of two vectors N by permutation of pairs; see `sign_flip_test`."""
    x, y = _check_pair(a, b)
    p, exact = sign_flip_test((x - y)[None], permutations, seed)
    method = "permutation exact" if exact[0] else f"permutation ({permutations} drawn)"
    return PairedTest(float(p[0]), float((x - y).mean()), len(x), method)


def paired_test(a: ArrayLike, b: ArrayLike, seed: int = 0) -> PairedTest:
    """Test per-sample values: by McNemar's test if all are 0 or 1, else by permutation."""
    x, y = _check_pair(a, b)
    return mcnemar_test(x, y) if is_binary(x) and is_binary(y) else permutation_test(x, y, seed=seed)


def paired_t_p(differences: Floats) -> Floats:
    """Return two-sided p-values of Student's paired t test over seeds for each row of `differences` K×S.

    1 for a row of zeros; NaN if S < 2, or if a row's differences are equal but not zero: then seeds show no
    random variation to judge the difference by.
    """
    from scipy.special import stdtr

    rows, n = differences.shape
    if n < 2:
        return np.full(rows, np.nan)
    mean = differences.mean(axis=1)
    error = differences.std(axis=1, ddof=1) / np.sqrt(n)
    flat = error <= 1e-12 * np.abs(differences).max(axis=1)
    t = mean / np.where(flat, 1.0, error)
    p = 2 * stdtr(n - 1, -np.abs(t))
    zero = np.all(differences == 0, axis=1)
    return np.asarray(np.where(zero, 1.0, np.where(flat, np.nan, p)), dtype=np.float64)


def paired_t_test(a: ArrayLike, b: ArrayLike) -> PairedTest:
    """Test two vectors S of per-seed values by Student's paired t. Raises StatisticsError without variation."""
    x, y = _check_pair(a, b)
    p = float(paired_t_p((x - y)[None])[0])
    if np.isnan(p):
        raise StatisticsError(f"paired t test: {len(x)} seed(s) show no variation to judge a difference by")
    return PairedTest(p, float((x - y).mean()), len(x), "paired t")


def paired_difference_interval(
    a: NDArray[Any],
    b: NDArray[Any],
    statistic: Callable[[NDArray[Any]], float] | None = None,
    level: float = 0.95,
    method: Method | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """Return a bootstrap interval of statistic(a) − statistic(b), both on the same resampled samples.

    `a` and `b` have a row per sample in the same order; without a `statistic` they are vectors N, compared
    by their means. `method` is BCa for means by default, percentile otherwise.
    """
    if statistic is None:
        x, y = _check_pair(a, b)
        return bootstrap_mean_interval(x - y, level, method or "bca", resamples, seed)
    check_same_length(a, b)

    def difference(rows: NDArray[np.int64]) -> float:
        return float(statistic(a[rows])) - float(statistic(b[rows]))

    return bootstrap_interval(np.arange(len(a)), difference, level, method or "percentile", resamples, seed)


def _check_pair(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    x, y = check_vector(a, "a"), check_vector(b, "b")
    check_same_length(x, y)
    if len(x) == 0:
        raise StatisticsError("a paired test: there are no pairs")
    return x, y
