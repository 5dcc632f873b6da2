"""Bootstrap: against scipy's, coverage by simulation, and invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import (
    StatisticsError,
    bootstrap_interval,
    bootstrap_mean_interval,
    sample_interval,
    wilson_interval,
)

SCIPY_NAMES = {"percentile": "percentile", "bca": "BCa"}


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("statistic", [np.std, np.median, np.mean])
def test_agrees_with_scipy_on_the_same_draws(method: str, statistic: object) -> None:
    x = np.random.default_rng(1).exponential(size=60)
    theirs = stats.bootstrap(
        (x,), statistic, n_resamples=800, method=SCIPY_NAMES[method], rng=np.random.default_rng(3)
    ).confidence_interval
    ours = [bootstrap_interval(x, statistic, method=method, resamples=800, seed=3)]
    if statistic is np.mean:
        ours.append(bootstrap_mean_interval(x, method=method, resamples=800, seed=3))
    for interval in ours:
        assert (interval.low, interval.high) == pytest.approx((theirs.low, theirs.high), abs=1e-10)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_mean_of_few_distinct_values_agrees_with_scipy(method: str) -> None:
    x = np.random.default_rng(0).integers(0, 4, 150) / 3
    ours = bootstrap_mean_interval(x, method=method, resamples=40000)
    theirs = stats.bootstrap(
        (x,), np.mean, n_resamples=40000, method=SCIPY_NAMES[method], batch=2000, rng=np.random.default_rng(0)
    ).confidence_interval
    # Draws differ here. Means are multiples of 1/450, and 40,000 of them fix a quantile to about one.
    assert ours.low == pytest.approx(theirs.low, abs=1.1 * 2 / 450)
    assert ours.high == pytest.approx(theirs.high, abs=1.1 * 2 / 450)


@pytest.mark.parametrize("method", ["percentile", "bca"])
@pytest.mark.parametrize("kind", ["normal", "few values"])
def test_coverage(method: str, kind: str) -> None:
    rng = np.random.default_rng(3)
    runs, n = 1500, 100
    x = rng.normal(size=(runs, n)) if kind == "normal" else rng.integers(0, 3, (runs, n)) - 1.0
    hits = [
        0.0 in bootstrap_mean_interval(row, method=method, resamples=800, seed=i) for i, row in enumerate(x)
    ]
    assert 0.93 <= np.mean(hits) <= 0.97


def test_columns_are_resampled_together() -> None:
    x = np.random.default_rng(4).normal(size=100)
    two = np.column_stack([x, x])
    interval = bootstrap_interval(two, lambda rows: float((rows[:, 0] - rows[:, 1]).mean()), resamples=50)
    assert (interval.low, interval.high) == (0.0, 0.0)


def test_what_can_not_be_resampled() -> None:
    assert bootstrap_mean_interval([1.0]) is None
    assert sample_interval([]) is None
    assert sample_interval([1.0]) == wilson_interval(1, 1)
    with pytest.raises(StatisticsError, match="not finite for some resamples"):
        bootstrap_interval(
            np.array([0.0, 1.0, 1.0]), lambda x: float(np.log(x.sum())) if x.sum() else math.inf
        )


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_constant_and_tiny_samples(method: str) -> None:
    constant = bootstrap_mean_interval(np.full(50, 0.1), method=method)
    assert (constant.low, constant.high) == (pytest.approx(0.1), pytest.approx(0.1))
    two = bootstrap_mean_interval([0.2, 0.9], method=method)
    assert 0.2 - 1e-12 <= two.low <= two.high <= 0.9 + 1e-12


def test_proportions_get_wilson_and_the_rest_a_bootstrap() -> None:
    assert sample_interval([0, 1, 1, 1]) == wilson_interval(3, 4)
    assert sample_interval([0, 0.5, 1, 1]).method == "bootstrap bca"


@given(st.lists(st.floats(-100, 100), min_size=2, max_size=40), st.floats(-1000, 1000))
@settings(max_examples=60, deadline=None)
def test_bounds_repeatability_and_shift(values: list[float], shift: float) -> None:
    x = np.array(values)
    a = bootstrap_mean_interval(x, resamples=200)
    assert a == bootstrap_mean_interval(x, resamples=200)
    slack = 1e-9 * (np.abs(x).max() + 1)
    assert x.min() - slack <= a.low <= a.high <= x.max() + slack
    percentile = bootstrap_mean_interval(x, 0.9, "percentile", 200)
    wider = bootstrap_mean_interval(x, 0.99, "percentile", 200)
    assert wider.low <= percentile.low <= percentile.high <= wider.high
    moved = bootstrap_mean_interval(x + shift, 0.9, "percentile", 200)
    slack = 1e-9 * (np.abs(x).max() + abs(shift) + 1)
    assert (moved.low, moved.high) == pytest.approx(
        (percentile.low + shift, percentile.high + shift), abs=slack
    )


@pytest.mark.parametrize("seed", range(4))
def test_rounding_does_not_tell_resamples_from_the_mean_they_equal(seed: int) -> None:
    # Halves and quarters are exact in binary, so that sums of wholes and of thirds of them only differ by rounding.
    x = np.random.default_rng(seed).integers(0, 3, 64) / 2
    whole = bootstrap_mean_interval(x)
    for factor in (3.0, 0.1, 1 / 3):
        scaled = bootstrap_mean_interval(x * factor)
        assert (scaled.low / factor, scaled.high / factor) == pytest.approx((whole.low, whole.high), abs=1e-9)
