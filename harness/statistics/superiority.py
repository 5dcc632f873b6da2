"""The probability that a run of one configuration beats a run of another, from all pairs of their seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.statistics.checks import StatisticsError, check_level, check_vector
from harness.statistics.intervals import Interval, t_quantile


@dataclass(frozen=True)
class Superiority:
    """P(A>B) with its interval, over `pairs` pairs of runs."""

    probability: float
    interval: Interval
    pairs: int


def estimate_superiority(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, higher_is_better: bool = True
) -> Superiority:
    """Return P(A>B), the share of all pairs of a run of A and a run of B in which A is better; ties count half.

    `a` (M) and `b` (N) hold one value per seed. Bouthillier et al. 2021 (MLSys, arXiv:2103.03098) compare
    learning algorithms by this number, and call a difference meaningful from .75 on. It is the statistic of
    Mann and Whitney divided by MN; the interval is Newcombe's score interval (2006, Statistics in Medicine
    25:559, method 5), which keeps a width if every run of A beats every run of B, where a bootstrap and the
    interval of Brunner and Munzel have none: in simulations of normal scores with 5 and 10 runs each, 94 to
    96 % of 95 % intervals cover, of a percentile bootstrap's 25 to 93 %. It takes the runs as independent:
    what runs with equal seeds share makes it wider than needed. `n` of the interval is the smaller number
    of runs.

    Raises StatisticsError if either has no value.
    """
    x, y = check_vector(a, "a"), check_vector(b, "b")
    if not len(x) or not len(y):
        raise StatisticsError("P(A>B): expected at least one run of each")
    wins = np.sign(x[:, None] - y[None, :]) * (1 if higher_is_better else -1)
    share = float((wins + 1).mean() / 2)
    z = t_quantile((1 + check_level(level)) / 2, math.inf)
    low = 0.0 if share == 0 else 1 - _find_upper_end(1 - share, len(x), len(y), z)
    high = 1.0 if share == 1 else _find_upper_end(share, len(x), len(y), z)
    interval = Interval(low, high, level, "newcombe", min(len(x), len(y)))
    return Superiority(share, interval, wins.size)


def _find_upper_end(share: float, m: int, n: int, z: float) -> float:
    """Return the θ above `share` that lies z of its own standard errors away from it."""
    from scipy.optimize import brentq

    half = (m + n) / 2 - 1

    def miss(theta: float) -> float:
        spread = 1 + half * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return theta - share - z * math.sqrt(theta * (1 - theta) * spread / (m * n))

    # at θ = 0 there is no spread, and 0 would be a root
    return float(brentq(miss, max(share, 1e-12), 1.0))
