"""Numbers of whole sets of samples on resampled sets, which several models share, so that differences are paired.

Average precision and mean IoU are no means over samples, but they have an exact bootstrap: a sample that was drawn
twice counts twice. Weights depend on the samples' names alone, so records over the same samples rest on the same
resamples, wherever and whenever they were made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.checks import StatisticsError, check_level, check_vector
from harness.statistics.intervals import Interval

RESAMPLES, FEWEST = 1000, 200
"""How many resampled sets a record keeps the numbers of, and how few where there are very many samples."""

MOST_WEIGHTS = 10**8
"""Weights above which there are fewer sets, so that they fit into memory."""


def draw_sample_weights(
    ids: Sequence[object], clusters: Sequence[object] | None = None, resamples: int | None = None
) -> NDArray[np.uint16]:
    """Return how often each of N samples counts in each of R resampled sets, R×N.

    Whole clusters are drawn with replacement where `clusters` says which samples belong together. The draws depend on
    the set of names, not on their order. R is a thousand, but fewer above a hundred thousand samples. Raises
    StatisticsError for unequal lengths, or two samples of one id.
    """
    units = ids if clusters is None else clusters
    if len(units) != len(ids):
        raise StatisticsError(f"there are {len(ids)} ids and {len(units)} clusters")
    if len({str(i) for i in ids}) != len(ids):
        raise StatisticsError("two samples have the same id")
    if resamples is None:
        resamples = max(FEWEST, min(RESAMPLES, MOST_WEIGHTS // max(1, len(ids))))
    names, places = np.unique([str(unit) for unit in units], return_inverse=True)
    digest = hashlib.sha256("\x1f".join(names.tolist()).encode("utf-8", "surrogatepass")).digest()
    rng = np.random.default_rng(np.frombuffer(digest, np.uint32))
    count = len(names)
    weights = np.empty((resamples, len(ids)), np.uint16)
    for row in weights:
        row[:] = np.bincount(rng.integers(count, size=count), minlength=count)[places] if count else 0
    return weights


def resampled_interval(value: float, draws: ArrayLike, samples: int, level: float = 0.95) -> Interval | None:
    """Return the basic bootstrap interval of a number from its values on R resampled sets of that many samples.

    Basic (2θ − q, Davison and Hinkley 1997, 5.2), since such numbers are biased upwards where classes are rare: a
    percentile interval of average precision may leave out the number itself. None for fewer than two samples, or
    draws that are not finite.
    """
    x = np.asarray(draws, dtype=np.float64)
    if samples < 2 or not len(x) or not np.isfinite(x).all() or not np.isfinite(value):
        return None
    low, high = np.quantile(x, [(1 - check_level(level)) / 2, (1 + level) / 2])
    return Interval(2 * value - float(high), 2 * value - float(low), level, "bootstrap basic", samples)


def resampled_p(difference: float, draws: ArrayLike) -> float:
    """Return the two-sided p-value of "no difference" from the difference's values on R resampled sets.

    Draws are shifted to centre on zero (Efron and Tibshirani 1993, 16.4): p is the share, one added, that is as far
    away as the difference. 1 for sets that all agree.
    """
    x = check_vector(draws)
    spread = np.abs(x - difference)
    # rounding must not make draws that equal the difference nearer than it
    reached = np.count_nonzero(spread >= abs(difference) * (1 - 1e-12))
    return float((1 + reached) / (1 + len(x)))
