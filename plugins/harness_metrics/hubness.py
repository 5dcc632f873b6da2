"""Hubness: whether few candidates are near the top for many queries."""

from __future__ import annotations

import numpy as np

from harness import DataError
from harness_metrics.rankings import Rankings, require_rankings


class HubnessSkew:
    """Skewness of the k-occurrence: of how many queries have a candidate among their first k.

    Σ (x − mean)³ / (G · sd³) over all G candidates. Hubs, which are found by far too many queries, make it large; it is
    0 if all candidates are found equally often. k is the protocol's `depth`; it compares methods on one gallery at one k.
    Source: Radovanović, Nanopoulos and Ivanović, "Hubs in Space", JMLR 2010.
    """

    title = "Skew of k-occurrence"
    higher_is_better = False

    def __call__(self, rankings: Rankings) -> float:
        """Return the skewness. Raises DataError if occurrences were not counted."""
        from scipy.stats import skew

        occurrences = require_rankings(rankings, "hubness-skew").occurrences
        if occurrences is None:
            raise DataError("hubness-skew: how often each candidate was found was not counted")
        if len(set(occurrences.tolist())) == 1:
            return 0.0
        return float(skew(np.asarray(occurrences, np.float64)))
