"""Measures of whole rankings: mean average precision and NDCG, as expectations over all orders of ties.

Source of both expectations: McSherry and Najork, "Computing Information Retrieval Performance Measures Efficiently
in the Presence of Tied Scores", ECIR 2008.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_metrics.ranking_recall import check_k
from harness_metrics.rankings import Rankings, require_rankings


class MeanAveragePrecision:
    """Mean over queries of the average precision: the mean, over a query's positives, of the precision at their rank.

    A ranking of 1 0 1 0 (1: positive) has (1 + 2/3) / 2. In a tie it is the expectation over all orders.
    """

    title = "Mean average precision"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, rankings: Rankings) -> NDArray[np.float64]:
        """Return each query's average precision, N."""
        from scipy.special import digamma

        before, level, relevant = rankings.before, rankings.level, rankings.relevant
        # positives on earlier levels of the same query
        running = np.cumsum(relevant) - relevant
        earlier = running - running[rankings.offsets[:-1]][rankings.owners]
        # sums over the places j = 1 … n of the block: of 1 / (b + j), and of (j − 1) / (b + j)
        inverse = np.where(level == 1, 1 / (before + 1), digamma(before + level + 1) - digamma(before + 1))
        shifted = np.maximum(level - (before + 1) * inverse, 0)
        # given a positive at place j, (r − 1) (j − 1) / (n − 1) more are expected above it in the block
        more = np.where(level > 1, (relevant - 1) / np.maximum(level - 1, 1), 0) * shifted
        found = rankings.sum_levels(relevant / level * ((earlier + 1) * inverse + more))
        return np.minimum(found / rankings.positives, 1.0)

    def __call__(self, rankings: Rankings) -> float:
        """Return the mean as a fraction."""
        return float(self.per_sample(require_rankings(rankings, "mean-average-precision")).mean())


class NDCG:
    """Normalised discounted cumulative gain: Σ 1 / log2(rank + 1) over positives, divided by the best possible sum.

    A ranking of 1 0 1 0 has 0.9197. In a tie it is the expectation over all orders. All positives have the gain 1.
    Source: Järvelin and Kekäläinen, ACM TOIS 2002.

    Args:
        k: how many of the first candidates count; by default all of them.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, k: int | None = None) -> None:
        """Store the option. Raises OptionError for a k below 1."""
        self.k = None if k is None else check_k(k, "ndcg")

    @property
    def title(self) -> str:
        """Its name in tables."""
        return "NDCG" if self.k is None else f"NDCG@{self.k}"

    def per_sample(self, rankings: Rankings) -> NDArray[np.float64]:
        """Return each query's value, N."""
        deepest = rankings.gallery if self.k is None else min(self.k, rankings.gallery)
        discounts = 1 / np.log2(np.arange(2, deepest + 2))
        up_to = np.concatenate([[0.0], np.cumsum(discounts)])
        start = np.minimum(rankings.before, deepest)
        stop = np.minimum(rankings.before + rankings.level, deepest)
        # of one place, the discount itself: a difference of long sums is less exact
        single = np.append(discounts, 0.0)[np.minimum(start, deepest)]
        gained = np.where(stop - start == 1, single, up_to[stop] - up_to[start])
        found = rankings.sum_levels(rankings.relevant / rankings.level * gained)
        best = up_to[np.minimum(rankings.positives, deepest)]
        return np.asarray(np.minimum(found / best, 1.0))

    def __call__(self, rankings: Rankings) -> float:
        """Return the mean as a fraction."""
        return float(self.per_sample(require_rankings(rankings, "ndcg")).mean())
