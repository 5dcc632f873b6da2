"""Intervals: agreement with scipy and statsmodels, coverage by simulation, and invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

from harness.statistics import (
    StatisticsError,
    seeds_samples_interval,
    summarise_seeds,
    t_interval,
    wilson_interval,
)

COUNTS = [(0, 1), (1, 1), (0, 30), (30, 30), (3, 7), (71, 100), (999, 1000), (12345, 50000)]


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
@pytest.mark.parametrize(("k", "n"), COUNTS)
def test_proportions_agree_with_scipy_and_statsmodels(k: int, n: int, level: float) -> None:
    ours = wilson_interval(k, n, level)
    theirs = stats.binomtest(k, n).proportion_ci(level, method="wilson")
    assert ours.low == pytest.approx(theirs.low, abs=1e-10)
    assert ours.high == pytest.approx(theirs.high, abs=1e-10)
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    assert ours.low == pytest.approx(float(np.nan_to_num(low, nan=0.0)), abs=1e-10)
    assert ours.high == pytest.approx(float(np.nan_to_num(high, nan=1.0)), abs=1e-10)
    assert (ours.n, ours.level) == (n, level)


@pytest.mark.parametrize("n", [2, 3, 5, 30])
def test_t_interval_agrees_with_scipy(n: int) -> None:
    x = np.random.default_rng(n).normal(70, 2, n)
    ours = t_interval(x, 0.9)
    assert ours is not None
    low, high = stats.t.interval(0.9, n - 1, loc=x.mean(), scale=stats.sem(x))
    assert (ours.low, ours.high) == pytest.approx((low, high), abs=1e-10)


def test_one_run_has_no_interval() -> None:
    assert t_interval([0.7]) is None
    assert seeds_samples_interval(np.ones((1, 50))) is None
    assert seeds_samples_interval(np.ones((3, 1))) is None


def test_t_interval_covers() -> None:
    x = np.random.default_rng(0).normal(3.0, 2.0, (4000, 5))
    assert 0.94 <= np.mean([3.0 in t_interval(row) for row in x]) <= 0.96


@pytest.mark.parametrize("p", [0.5, 0.8, 0.93])
def test_wilson_covers(p: float) -> None:
    n, runs = 500, 20000
    k = np.random.default_rng(1).binomial(n, p, runs)
    counts = np.bincount(k, minlength=n + 1)
    seen = np.flatnonzero(counts)
    wilson = sum(counts[i] for i in seen if p in wilson_interval(int(i), n)) / runs
    assert 0.93 <= wilson <= 0.97


@pytest.mark.parametrize("s", [3, 5])
@pytest.mark.parametrize(
    ("seed_sd", "sample_sd", "error_sd"),
    [(0.0, 1.0, 1.0), (0.05, 1.0, 0.5), (0.5, 1.0, 1.0), (0.5, 0.0, 1.0)],
    ids=["samples only", "both", "mostly seeds", "no sample effect"],
)
def test_seeds_and_samples_cover(seed_sd: float, sample_sd: float, error_sd: float, s: int) -> None:
    rng = np.random.default_rng(2)
    n, runs = 200, 1500
    hits = 0
    for _ in range(runs):
        y = (
            rng.normal(0, seed_sd, (s, 1))
            + rng.normal(0, sample_sd, (1, n))
            + rng.normal(0, error_sd, (s, n))
        )
        hits += 0.0 in seeds_samples_interval(y)
    assert 0.93 <= hits / runs <= 0.97


def test_seeds_and_samples_cover_for_accuracies() -> None:
    # Right answers of a probit model: the mean over both is Φ(1 / √(1 + 0.1² + 1²)).
    rng = np.random.default_rng(3)
    s, n, runs = 5, 300, 1500
    truth = stats.norm.cdf(1 / math.sqrt(1 + 0.1**2 + 1.0**2))
    hits = 0
    for _ in range(runs):
        y = 1 + rng.normal(0, 0.1, (s, 1)) + rng.normal(0, 1, (1, n)) + rng.normal(0, 1, (s, n)) > 0
        hits += truth in seeds_samples_interval(y.astype(float))
    assert 0.93 <= hits / runs <= 0.97


def test_equal_seeds_add_nothing() -> None:
    row = np.random.default_rng(4).normal(size=100)
    both = seeds_samples_interval(np.tile(row, (4, 1)))
    alone = t_interval(row)
    assert (both.low, both.high) == pytest.approx((alone.low, alone.high), abs=1e-10)


def test_variance_components_agree_with_statsmodels_anova() -> None:
    import pandas as pd
    from statsmodels.formula.api import ols
    from statsmodels.stats.anova import anova_lm

    rng = np.random.default_rng(5)
    s, n = 4, 12
    y = rng.normal(size=(s, 1)) + rng.normal(size=(1, n)) + rng.normal(size=(s, n))
    i, j = np.indices(y.shape)
    frame = pd.DataFrame({"y": y.ravel(), "seed": i.ravel().astype(str), "sample": j.ravel().astype(str)})
    table = anova_lm(ols("y ~ C(seed) + C(sample)", frame).fit())
    ms, df = (table["sum_sq"] / table["df"]).to_numpy(), table["df"].to_numpy()
    assert ms[0] > ms[2] < ms[1], "the case without truncation is meant"
    quantiles = stats.t.isf(0.025, df)
    half = math.sqrt((quantiles[0] ** 2 * (ms[0] - ms[2]) + quantiles[1] ** 2 * ms[1]) / y.size)
    ours = seeds_samples_interval(y)
    assert (ours.low, ours.high) == pytest.approx((y.mean() - half, y.mean() + half), abs=1e-10)


def test_all_right_still_has_a_width() -> None:
    both = seeds_samples_interval(np.ones((5, 100)))
    assert both.high == 1.0
    assert 0.9 < both.low < 1.0


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0), (1.5, 3)])
def test_impossible_counts_are_refused(k: float, n: int) -> None:
    with pytest.raises(StatisticsError, match="whole counts"):
        wilson_interval(k, n)


def test_bad_input_is_refused_with_a_reason() -> None:
    with pytest.raises(StatisticsError, match="1 of 3 values are not finite"):
        t_interval([0.1, math.nan, 0.3])
    with pytest.raises(StatisticsError, match=r"such as 0\.95, got 95"):
        t_interval([0.1, 0.2], level=95)


@given(
    st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(0.5, 0.99)
)
@settings(max_examples=200, deadline=None)
def test_proportion_bounds(counts: tuple[int, int], level: float) -> None:
    k, n = counts
    narrow, wide = wilson_interval(k, n, level), wilson_interval(k, n, level + 0.005)
    assert 0 <= wide.low <= narrow.low <= k / n <= narrow.high <= wide.high <= 1
    mirrored = wilson_interval(n - k, n, level)
    assert mirrored.low == pytest.approx(1 - narrow.high, abs=1e-9)
    if k < n:
        assert wilson_interval(k + 1, n, level).low >= narrow.low


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_t_interval_does_not_depend_on_order_and_widens_with_level(
    values: list[float], random: object
) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    a, b, wider = t_interval(values), t_interval(shuffled), t_interval(values, 0.99)
    scale = max(map(abs, values)) + 1
    assert (a.low, a.high) == pytest.approx((b.low, b.high), abs=1e-9 * scale)
    assert wider.low <= a.low <= a.high <= wider.high


def test_summary_brings_each_source() -> None:
    rng = np.random.default_rng(6)
    y = (rng.random((3, 400)) < 0.7).astype(float)
    whole = summarise_seeds(y.mean(axis=1), y)
    assert whole.mean == pytest.approx(y.mean())
    assert whole.std == pytest.approx(np.std(y.mean(axis=1), ddof=1))
    assert whole.over_seeds == t_interval(y.mean(axis=1))
    assert whole.interval == whole.over_both == seeds_samples_interval(y)
    one = summarise_seeds([y[0].mean()], y[:1])
    assert math.isnan(one.std)
    assert one.over_seeds is None
    assert one.interval == wilson_interval(int(y[0].sum()), 400)
    assert summarise_seeds([0.5]).interval is None
    with pytest.raises(StatisticsError, match="expected 2 rows"):
        summarise_seeds([0.5, 0.6], y)
