"""Paired tests: agreement with scipy and statsmodels, error rates on null data, invariants."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from harness.statistics import (
    AlignedPairs,
    StatisticsError,
    Unpairable,
    align_samples,
    holm,
    mcnemar_test,
    paired_difference_interval,
    paired_t_test,
    paired_test,
    permutation_test,
)
from harness.statistics.paired import MCNEMAR_EXACT_BELOW, mcnemar_p, paired_t_p
from harness.statistics.permutation import sign_flip_test


def at_most(rejected: int, runs: int, level: float) -> bool:
    """Whether a count of rejections is compatible with a rate at or under `level`."""
    return bool(stats.binomtest(rejected, runs, level, alternative="greater").pvalue > 1e-3)


def vectors(only_a: int, only_b: int, both: int = 3) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([1.0, 0.0, 1.0], [only_a, only_b, both])
    b = np.repeat([0.0, 1.0, 1.0], [only_a, only_b, both])
    return a, b


@pytest.mark.parametrize(("only_a", "only_b"), [*product([0, 1, 5, 11, 13, 24, 25, 60], [0, 1, 12, 25, 80])])
def test_mcnemar_agrees_with_statsmodels(only_a: int, only_b: int) -> None:
    a, b = vectors(only_a, only_b)
    exact = only_a + only_b < MCNEMAR_EXACT_BELOW
    theirs = mcnemar([[3, only_a], [only_b, 0]], exact=exact, correction=True).pvalue
    ours = mcnemar_test(a, b)
    assert ours.p_value == pytest.approx(theirs, abs=1e-10)
    assert ours.method.startswith("mcnemar exact" if exact else "mcnemar chi2")
    assert ours.difference == pytest.approx((only_a - only_b) / (only_a + only_b + 3))


def test_mcnemar_exact_agrees_with_scipys_binomial() -> None:
    for k, n in [(0, 1), (3, 10), (6, 12), (2, 24)]:
        assert float(mcnemar_p(k, n - k)) == pytest.approx(stats.binomtest(k, n).pvalue, abs=1e-10)


@pytest.mark.parametrize("family", [None, 45])
def test_holm_agrees_with_statsmodels(family: int | None) -> None:
    p = np.random.default_rng(0).random(12) ** 3
    p[3] = p[7]
    filled = np.concatenate([p, np.ones((family or 12) - 12)])
    theirs = multipletests(filled, method="holm")[1][:12]
    assert holm(p, family) == pytest.approx(theirs, abs=1e-10)


def test_holm_refuses_what_is_no_p_value() -> None:
    for bad, family in ([[0.1, 1.2], None], [[0.1, 0.2], 1]):
        with pytest.raises(StatisticsError, match="Holm"):
            holm(bad, family)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_holm_bounds_and_order(p: list[float], random: object) -> None:
    order = list(range(len(p)))
    random.shuffle(order)
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(adjusted <= np.minimum(1, len(p) * np.array(p) + 1e-12))
    assert np.array_equal(holm(np.array(p)[order]), adjusted[order])


def test_exact_permutation_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 5, 10):
        a, b = rng.normal(size=n), rng.normal(0.5, 1, n)
        theirs = stats.permutation_test(
            (a - b,), np.sum, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
        ).pvalue
        ours = permutation_test(a, b)
        assert ours.method == "permutation exact"
        assert ours.p_value == pytest.approx(theirs, abs=1e-10)


def test_permutation_of_accuracies_is_the_exact_mcnemar_at_any_size() -> None:
    a, b = vectors(300, 240)
    ours = permutation_test(a, b)
    assert ours.method == "permutation exact"
    assert ours.p_value == pytest.approx(stats.binomtest(240, 540).pvalue, abs=1e-10)


@pytest.mark.parametrize("kind", ["few sizes", "continuous"])
def test_drawn_permutation_is_near_the_exact_tail(kind: str) -> None:
    rng = np.random.default_rng(2)
    if kind == "few sizes":
        d = rng.integers(-3, 4, 600) / 3 + 0.0
        d[:40] = 1.0
    else:
        d = rng.normal(0.06, 1, 600) + 0.05
    # With 600 differences the sum of random signs is normal to about three digits.
    normal = 2 * stats.norm.sf(abs(d.sum()) / math.sqrt((d**2).sum()))
    p, exact = sign_flip_test(d[None], permutations=20000)
    assert not exact[0]
    assert 0.01 < normal < 0.9
    assert p[0] == pytest.approx(normal, abs=5 * math.sqrt(normal / 20000))


def test_far_tail_is_above_the_exact_value_and_below_one_draw() -> None:
    d = np.random.default_rng(3).normal(0.5, 1, 400)
    p = sign_flip_test(d[None])[0][0]
    normal = 2 * stats.norm.sf(abs(d.sum()) / math.sqrt((d**2).sum()))
    assert normal < p < 1 / 5000


def test_rows_are_tested_as_if_alone() -> None:
    rng = np.random.default_rng(4)
    rows = np.stack([rng.normal(size=300), rng.integers(-1, 2, 300) + 0.0, rng.integers(-3, 4, 300) / 3])
    together = sign_flip_test(rows)[0]
    assert together.tolist() == [float(sign_flip_test(row[None])[0][0]) for row in rows]


def test_paired_t_agrees_with_scipy() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=5), rng.normal(size=5)
    assert paired_t_test(a, b).p_value == pytest.approx(stats.ttest_rel(a, b).pvalue, abs=1e-10)


def test_paired_t_says_when_seeds_show_nothing() -> None:
    assert paired_t_test([0.1, 0.2], [0.1, 0.2]).p_value == 1.0
    for a, b in ([[0.5, 0.5, 0.5], [0.4, 0.4, 0.4]], [[0.5], [0.4]]):
        with pytest.raises(StatisticsError, match="no variation"):
            paired_t_test(a, b)


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_type_one_errors(level: float) -> None:
    rng = np.random.default_rng(6)
    runs = 4000
    right = rng.random((2, runs, 60)) < np.array([0.6])
    small = mcnemar_p(
        (right[0, :, :20] > right[1, :, :20]).sum(1), (right[0, :, :20] < right[1, :, :20]).sum(1)
    )
    large = mcnemar_p((right[0] > right[1]).sum(1), (right[0] < right[1]).sum(1))
    t = paired_t_p(rng.normal(size=(runs, 4)))
    heavy = sign_flip_test(rng.standard_t(2, size=(runs, 8)))[0]
    by_size = sign_flip_test(rng.integers(-2, 3, (1500, 60)) + 0.0, permutations=999)[0]
    drawn = sign_flip_test(rng.laplace(size=(1500, 60)), permutations=999)[0]
    for p in (small, large, t, heavy, by_size, drawn):
        assert at_most(int((p <= level).sum()), len(p), level)
    # And not for want of looking: those that are not discrete reject at close to their level.
    for p in (t, drawn):
        assert (p <= level).mean() > 0.8 * level


def test_difference_interval_covers() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for i in range(1000):
        common = rng.normal(size=120)
        a, b = common + rng.normal(0.3, 1, 120), common + rng.normal(0, 1, 120)
        hits += 0.3 in paired_difference_interval(a, b, resamples=600, seed=i)
    assert 0.93 <= hits / 1000 <= 0.97


def test_difference_interval_of_a_statistic_pairs_the_samples() -> None:
    rng = np.random.default_rng(8)
    a = rng.normal(size=(100, 2))
    median = paired_difference_interval(a, a - 0.5, lambda rows: float(np.median(rows[:, 1])), resamples=100)
    assert (median.low, median.high) == pytest.approx((0.5, 0.5))
    same = paired_difference_interval(a[:, 0], a[:, 0])
    assert (same.low, same.high) == (0.0, 0.0)


values = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(-10, 10))


@given(st.lists(values, min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_identical_predictions_are_tied(x: list[float]) -> None:
    test = paired_test(x, x)
    assert (test.p_value, test.difference) == (1.0, 0.0)


@given(st.lists(st.tuples(values, values), min_size=1, max_size=40))
@settings(max_examples=100, deadline=None)
def test_p_values_are_symmetric_and_in_range(pairs: list[tuple[float, float]]) -> None:
    a, b = np.array(pairs).T
    one, other = paired_test(a, b), paired_test(b, a)
    assert 0 < one.p_value <= 1
    assert one.p_value == pytest.approx(other.p_value, abs=1e-12)
    assert one.difference == pytest.approx(-other.difference)


@given(st.integers(0, 40), st.integers(0, 40))
@settings(max_examples=100, deadline=None)
def test_more_one_sided_disagreement_never_raises_mcnemars_p(fewer: int, extra: int) -> None:
    total = 40
    a = min(fewer, total // 2)
    b = max(0, a - 1 - extra % 3)
    assert float(mcnemar_p(b, total - b)) <= float(mcnemar_p(a, total - a)) + 1e-12


def test_align_sorts_by_id_and_averages_over_seeds() -> None:
    pairs = align_samples(["c", "a", "b"], [3, 1, 2], ["a", "b", "c"], [[10, 20, 30], [30, 40, 50]])
    assert isinstance(pairs, AlignedPairs)
    assert list(pairs.ids) == ["a", "b", "c"]
    assert pairs.a.tolist() == [1, 2, 3]
    assert pairs.b.tolist() == [20, 30, 40]
    repeated = align_samples(["b", "a", "a", "b"], [1, 3, 5, 3], ["a", "b"], [0, 0])
    assert isinstance(repeated, AlignedPairs)
    assert repeated.a.tolist() == [4, 2]


@pytest.mark.parametrize(
    ("ids_a", "a", "ids_b", "b", "reason"),
    [
        (["x", "y"], [1, 1], ["x", "z"], [1, 1], "1 only on one side, 1 only on the other, 1 shared"),
        (["x", "y"], [1, 1], ["x"], [1], "'y' is on one side only"),
        (["x", "y", "x"], [1, 1, 1], ["x", "y"], [1, 1], "'y' does not occur as often"),
        (["x", "y"], [1, math.nan], ["x", "y"], [1, 1], "on one side 1 of 2 values are missing"),
        (["x", "y"], [1, 1], ["x", "y"], [1, 1, 1], "on the other side there are 2 ids"),
        ([], [], [], [], "there are no samples"),
    ],
)
def test_align_refuses_with_a_reason(ids_a, a, ids_b, b, reason: str) -> None:
    refused = align_samples(ids_a, a, ids_b, b)
    assert isinstance(refused, Unpairable)
    assert reason in refused.reason


def test_tests_refuse_what_is_not_paired() -> None:
    with pytest.raises(StatisticsError, match="2 on one side, 3 on the other"):
        permutation_test([1, 2], [1, 2, 3])
    with pytest.raises(StatisticsError, match="0 or 1"):
        mcnemar_test([0.5], [1])
    with pytest.raises(StatisticsError, match="no pairs"):
        paired_test([], [])
