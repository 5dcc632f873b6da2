"""What of the positives stands near the top of a ranking: two kinds of recall at k, and the median rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import OptionError
from harness_metrics.rankings import Rankings, require_rankings


class RecallAtK:
    """R@k of cross-modal retrieval: the share of queries with any positive among the first k candidates.

    Of an image with five captions one is enough, so this is a hit rate; `true-recall-at-k` is the share of all five.
    In a tie that the k-th place cuts, it is the probability over all orders: of n equal candidates with r positives,
    m of which still fit, 1 − C(n−r, m) / C(n, m). A constant model has k / N. Source: Karpathy and Fei-Fei, CVPR 2015.

    Args:
        k: how many of the first candidates count, at least 1.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, k: int = 1) -> None:
        """Store the option. Raises OptionError for a k below 1."""
        self.k = check_k(k, "recall-at-k")

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"R@{self.k}"

    def per_sample(self, rankings: Rankings) -> NDArray[np.float64]:
        """Return the probability of a positive among the first k, N; without ties it is 1 or 0."""
        first = rankings.offsets[:-1]
        before, level, relevant = (a[first] for a in (rankings.before, rankings.level, rankings.relevant))
        places = np.clip(self.k - before, 0, level)
        found = (places > level - relevant).astype(np.float64)  # more places than negatives
        cut = (places > 0) & (found == 0)
        found[cut] = _find_in_tie(level[cut], relevant[cut], places[cut])
        return found

    def __call__(self, rankings: Rankings) -> float:
        """Return the share of queries as a fraction."""
        return float(self.per_sample(require_rankings(rankings, "recall-at-k")).mean())


class TrueRecallAtK:
    """Recall at k in the sense of information retrieval: the share of a query's positives among the first k, averaged.

    With one of five captions among the first it is 0.2, where R@k is 1. In a tie it is the expectation over all orders.

    Args:
        k: how many of the first candidates count, at least 1.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, k: int = 1) -> None:
        """Store the option. Raises OptionError for a k below 1."""
        self.k = check_k(k, "true-recall-at-k")

    @property
    def title(self) -> str:
        """Its name in tables."""
        return f"Share of positives in the first {self.k}"

    def per_sample(self, rankings: Rankings) -> NDArray[np.float64]:
        """Return each query's share, N."""
        places = np.clip(self.k - rankings.before, 0, rankings.level)
        found = rankings.sum_levels(rankings.relevant * places / rankings.level)
        return np.asarray(found / rankings.positives, np.float64)

    def __call__(self, rankings: Rankings) -> float:
        """Return the mean share as a fraction."""
        return float(self.per_sample(require_rankings(rankings, "true-recall-at-k")).mean())


class MedianRank:
    """Median over queries of the rank of the first positive, from 1; in a tie, of its expectation over all orders."""

    title = "Median rank"
    higher_is_better = False
    bounds = (1.0, float("inf"))

    def per_sample(self, rankings: Rankings) -> NDArray[np.float64]:
        """Return the rank of each query's first positive, N; the metric is their median, not their mean."""
        return rankings.first_rank

    def __call__(self, rankings: Rankings) -> float:
        """Return the median rank."""
        return float(np.median(self.per_sample(require_rankings(rankings, "median-rank"))))

    def resampled(self, rankings: Rankings, weights: NDArray[Any]) -> NDArray[np.float64]:
        """Return the median over R sets in which query n counts weights[r, n] times, R."""
        order = np.argsort(rankings.first_rank, kind="stable")
        ranks = rankings.first_rank[order]
        found = np.empty(len(weights))
        for row, counts in enumerate(weights):
            upto = np.cumsum(counts[order], dtype=np.int64)
            middle = (np.array([upto[-1] - 1, upto[-1]]) // 2) if upto[-1] else np.zeros(2, np.int64)
            found[row] = ranks[np.searchsorted(upto, middle, side="right").clip(max=len(ranks) - 1)].mean()
        return found


def check_k(k: int, metric: str) -> int:
    """Return k. Raises OptionError, naming the metric, if it is below 1."""
    if k < 1:
        raise OptionError(f"{metric}: k must be at least 1, got {k}")
    return k


def _find_in_tie(
    level: NDArray[np.int64], relevant: NDArray[np.int64], places: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return 1 − C(n−r, m) / C(n, m) for n = `level`, r = `relevant` and m = `places`, with r + m ≤ n.

    The ratio is the product of 1 − larger / (n − i) over i < smaller, of m and r: exact also for a million candidates.
    """
    smaller, larger = np.minimum(relevant, places), np.maximum(relevant, places)
    missed = np.zeros(len(level))  # logarithm of the ratio
    for i in range(int(smaller.max(initial=0))):
        active = i < smaller
        missed[active] += np.log1p(-larger[active] / (level[active] - i))
    return np.asarray(-np.expm1(missed))
