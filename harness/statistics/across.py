"""Comparisons across data sets: ranks, win rates, Wilcoxon, and Friedman with Nemenyi.

`scores` is D×M: one row per data set, one column per model; NaN marks a missing score. Only complete data
sets count, and every result says how many.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.checks import Floats, StatisticsError, check_level


@dataclass(frozen=True, eq=False)
class Ranking:
    """Per model: `ranks` M (mean rank, 1 is best) and `win_rates` M; NaN if no data set is complete.

    They rest on the `n` data sets of `of` in which every model has a score.
    """

    ranks: Floats
    win_rates: Floats
    n: int
    of: int


@dataclass(frozen=True)
class AcrossTest:
    """A test over `n` complete data sets of `of` given; `p_value` is 1 if nothing differs."""

    statistic: float
    p_value: float
    n: int
    of: int


@dataclass(frozen=True, eq=False)
class NemenyiTest:
    """Pairwise comparison of mean ranks, which differ if further apart than `critical_difference`.

    `ranks` M, `p_values` M×M (corrected for all pairs), both from `n` of `of` data sets.
    """

    critical_difference: float
    ranks: Floats
    p_values: Floats
    level: float
    n: int
    of: int


def complete_data_sets(scores: ArrayLike) -> NDArray[np.bool_]:
    """Return which rows of `scores` D×M have a finite score for every model, D."""
    return np.asarray(np.isfinite(_check_scores(scores)).all(axis=1), dtype=np.bool_)


def rank_models(scores: ArrayLike, higher_is_better: bool = True) -> Ranking:
    """Return mean rank and win rate of each model over the complete data sets.

    Equal scores share the mean of their ranks. A win rate is the share of other models that a model beats on
    a data set, a tie being half a win, averaged over data sets (the mean win rate of Liang et al. 2022, HELM,
    §5); NaN for a single model.
    """
    table = _check_scores(scores)
    kept = table[complete_data_sets(table)]
    models = table.shape[1]
    if len(kept) == 0:
        nothing = np.full(models, np.nan)
        return Ranking(nothing, nothing, 0, len(table))
    ranks = _mean_ranks(kept, higher_is_better)
    # a model of rank r beats M − r others; the mean rank makes each tie half a win
    wins = (models - ranks) / (models - 1) if models > 1 else np.full(models, np.nan)
    return Ranking(ranks, wins, len(kept), len(table))


def wilcoxon_test(a: ArrayLike, b: ArrayLike) -> AcrossTest:
    """Test two models' scores D on the same data sets by Wilcoxon's two-sided signed-rank test.

    scipy's, which is exact for small D without ties; equal scores are left out as Wilcoxon did (1945,
    Biometrics Bulletin 1:80). With fewer than six differences it can't reach p < 0.05.
    """
    from scipy.stats import wilcoxon

    table = _check_scores(np.column_stack([np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)]))
    kept = table[complete_data_sets(table)]
    difference = kept[:, 0] - kept[:, 1]
    if not np.any(difference):
        return AcrossTest(0.0, 1.0, len(kept), len(table))
    with warnings.catch_warnings():
        # some versions of scipy warn of ties and small samples
        warnings.simplefilter("ignore", UserWarning)
        result = wilcoxon(difference)
    return AcrossTest(float(result.statistic), float(result.pvalue), len(kept), len(table))


def friedman_test(scores: ArrayLike) -> AcrossTest:
    """Test whether at least three models rank alike over data sets by Friedman's χ² (scipy's, with ties).

    Friedman 1937, JASA 32:675; for comparing classifiers Demšar 2006, JMLR 7:1. The direction of the scores
    does not matter. Raises StatisticsError for fewer than three models.
    """
    from scipy.stats import friedmanchisquare

    table = _check_scores(scores)
    if table.shape[1] < 3:
        raise StatisticsError(f"Friedman's test: expected at least 3 models, got {table.shape[1]}")
    kept = table[complete_data_sets(table)]
    if len(kept) < 2 or np.all(kept == kept[:, :1]):
        return AcrossTest(0.0, 1.0, len(kept), len(table))
    result = friedmanchisquare(*kept.T)
    return AcrossTest(float(result.statistic), float(result.pvalue), len(kept), len(table))


def nemenyi_test(scores: ArrayLike, higher_is_better: bool = True, level: float = 0.05) -> NemenyiTest:
    """Test all pairs of models by Nemenyi's test, after Friedman's, at the significance `level`.

    The critical difference of mean ranks is q(level; M, ∞)/√2 · √(M(M+1)/6D) (Demšar 2006, JMLR 7:1, CD in
    §3.2.2), q the studentised range. Raises StatisticsError without two models and a complete data set.
    """
    table = _check_scores(scores)
    kept = table[complete_data_sets(table)]
    n, models = kept.shape
    if n < 1 or models < 2:
        raise StatisticsError(f"Nemenyi's test: {models} model(s) on {n} complete data set(s)")
    error = math.sqrt(models * (models + 1) / (6 * n))
    ranks = _mean_ranks(kept, higher_is_better)
    apart = np.abs(ranks[:, None] - ranks[None, :]) * math.sqrt(2) / error
    # rounded so that each distinct distance is integrated once: the range's tail is slow
    distinct, where = np.unique(np.round(apart, 9), return_inverse=True)
    tails = np.array([_range_tail(float(q), models) for q in distinct])
    critical = _range_quantile(check_level(level), models) / math.sqrt(2) * error
    return NemenyiTest(critical, ranks, tails[where].reshape(apart.shape), level, n, len(table))


@lru_cache(maxsize=65536)
def _range_tail(q: float, models: int) -> float:
    from scipy.stats import studentized_range

    return min(1.0, max(0.0, float(studentized_range.sf(q, models, np.inf)))) if q > 0 else 1.0


@lru_cache(maxsize=1024)
def _range_quantile(level: float, models: int) -> float:
    from scipy.stats import studentized_range

    return float(studentized_range.isf(level, models, np.inf))


def _mean_ranks(complete: Floats, higher_is_better: bool) -> Floats:
    from scipy.stats import rankdata

    ranks = rankdata(-complete if higher_is_better else complete, axis=1)
    return np.asarray(ranks.mean(axis=0), dtype=np.float64)


def _check_scores(scores: ArrayLike) -> Floats:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2:
        raise StatisticsError(f"scores: expected data sets × models, got the shape {table.shape}")
    return table
