"""P(A>B): against counting, scipy and statsmodels, the interval's equation, and coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.nonparametric import rank_compare_2indep

from harness.statistics import StatisticsError, estimate_superiority

VALUES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12)


@given(VALUES, VALUES)
def test_it_is_the_share_of_pairs_and_mann_whitneys_statistic(a, b):
    found = estimate_superiority(a, b)
    counted = sum((x > y) + 0.5 * (x == y) for x in a for y in b) / (len(a) * len(b))
    assert found.probability == pytest.approx(counted)
    assert found.probability * found.pairs == pytest.approx(stats.mannwhitneyu(a, b).statistic)
    assert found.probability in found.interval


@given(VALUES, VALUES)
def test_swapping_or_turning_the_scale_mirrors_it(a, b):
    found, swapped = estimate_superiority(a, b), estimate_superiority(b, a)
    turned = estimate_superiority(a, b, higher_is_better=False)
    for other in (swapped, turned):
        assert other.probability == pytest.approx(1 - found.probability)
        assert other.interval.low == pytest.approx(1 - found.interval.high, abs=1e-9)
        assert other.interval.high == pytest.approx(1 - found.interval.low, abs=1e-9)


@given(VALUES, VALUES, st.sampled_from([0.8, 0.95]))
def test_ends_solve_newcombes_equation(a, b, level):
    found = estimate_superiority(a, b, level)
    m, n, z = len(a), len(b), stats.norm.ppf((1 + level) / 2)
    for end in (found.interval.low, found.interval.high):
        spread = 1 + ((m + n) / 2 - 1) * ((1 - end) / (2 - end) + end / (1 + end))
        error = math.sqrt(end * (1 - end) * spread / (m * n))
        assert abs(end - found.probability) == pytest.approx(z * error, abs=1e-6)


def test_of_many_runs_it_is_statsmodels_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.5, 1, 400), rng.normal(0, 1, 300)
    theirs = rank_compare_2indep(a, b)
    ours = estimate_superiority(a, b)
    assert ours.probability == pytest.approx(theirs.prob1)
    assert (ours.interval.low, ours.interval.high) == pytest.approx(theirs.conf_int(), abs=0.004)


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_five_runs_each_cover(shift):
    rng = np.random.default_rng(1)
    truth = stats.norm.cdf(shift / math.sqrt(2))
    runs = rng.normal(size=(600, 2, 5))
    hits = [truth in estimate_superiority(a + shift, b).interval for a, b in runs]
    assert 0.92 <= np.mean(hits) <= 0.98


def test_five_that_beat_five_prove_little():
    """All 25 pairs won leave room for a probability below the .75 that would be meaningful."""
    found = estimate_superiority(np.arange(5) + 10, np.arange(5))
    assert (found.probability, found.pairs) == (1, 25)
    assert 0.5 < found.interval.low < 0.75


def test_none_at_all_is_refused():
    with pytest.raises(StatisticsError, match="at least one run of each"):
        estimate_superiority([], [1.0])
