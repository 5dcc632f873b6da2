"""Across data sets: agreement with scipy and published tables, error rates, missing scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import (
    StatisticsError,
    complete_data_sets,
    friedman_test,
    nemenyi_test,
    rank_models,
    wilcoxon_test,
)

# Demšar 2006, JMLR 7:1, table 5 (a): critical values q / √2 of Nemenyi's test for k classifiers.
DEMSAR = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}
# Demšar 2006, table 6: AUC of C4.5 without and with its options m, cf, m+cf on 14 data sets. The paper
# ranks the two 0.975 of the last row but one as they were before rounding: hence 0.9751.
C45 = np.array(
    [
        [0.763, 0.768, 0.771, 0.798], [0.599, 0.591, 0.590, 0.569], [0.954, 0.971, 0.968, 0.967],
        [0.628, 0.661, 0.654, 0.657], [0.882, 0.888, 0.886, 0.898], [0.936, 0.931, 0.916, 0.931],
        [0.661, 0.668, 0.609, 0.685], [0.583, 0.583, 0.563, 0.625], [0.775, 0.838, 0.866, 0.875],
        [1.000, 1.000, 1.000, 1.000], [0.940, 0.962, 0.965, 0.962], [0.619, 0.666, 0.614, 0.669],
        [0.972, 0.981, 0.9751, 0.975], [0.957, 0.978, 0.946, 0.970],
    ]
)  # fmt: skip


def test_demsars_worked_example() -> None:
    assert rank_models(C45).ranks == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=5e-4)
    at_5, at_10 = nemenyi_test(C45, level=0.05), nemenyi_test(C45, level=0.10)
    assert at_5.critical_difference == pytest.approx(1.25, abs=6e-3)
    assert at_10.critical_difference == pytest.approx(1.12, abs=6e-3)
    assert at_10.n == at_10.of == 14
    # The paper: nothing differs at 0.05; at 0.10 C4.5 differs from m and from m+cf only.
    assert not (at_5.p_values < 0.05).any()
    assert [tuple(pair) for pair in np.argwhere(at_10.p_values < 0.10) if pair[0] < pair[1]] == [
        (0, 1),
        (0, 3),
    ]


@pytest.mark.parametrize("level", [0.05, 0.10])
@pytest.mark.parametrize("models", range(2, 11))
def test_critical_values_are_the_published_ones(models: int, level: float) -> None:
    scores = np.random.default_rng(0).random((6, models))
    critical = nemenyi_test(scores, level=level).critical_difference
    value = critical / math.sqrt(models * (models + 1) / 36)
    assert value == pytest.approx(DEMSAR[level][models - 2], abs=1e-3)


def test_wilcoxon_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    for n in (6, 12, 60):
        a, b = rng.normal(size=n), rng.normal(0.3, 1, n)
        theirs = stats.wilcoxon(a, b)
        ours = wilcoxon_test(a, b)
        assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), abs=1e-10)
    # With n differences all on one side the exact p-value is 2 / 2ⁿ.
    assert wilcoxon_test(np.arange(1.0, 9.0), np.zeros(8)).p_value == pytest.approx(2 / 2**8, abs=1e-10)


def test_friedman_agrees_with_scipy() -> None:
    rng = np.random.default_rng(2)
    for scores in (C45, rng.normal(size=(9, 5)), rng.integers(0, 4, (20, 3)) / 3):
        theirs = stats.friedmanchisquare(*scores.T)
        ours = friedman_test(scores)
        assert (ours.statistic, ours.p_value) == pytest.approx((theirs.statistic, theirs.pvalue), abs=1e-10)


def test_nemenyi_p_values_agree_with_the_range_and_its_critical_difference() -> None:
    scores = np.random.default_rng(3).normal(size=(10, 4)) + np.arange(4)
    result = nemenyi_test(scores)
    for i in range(4):
        for j in range(4):
            apart = abs(result.ranks[i] - result.ranks[j])
            assert (result.p_values[i, j] < 0.05) == (apart > result.critical_difference)
            q = apart / math.sqrt(4 * 5 / (6 * 10)) * math.sqrt(2)
            expected = 1.0 if i == j else stats.studentized_range.sf(q, 4, np.inf)
            assert result.p_values[i, j] == pytest.approx(expected, abs=1e-8)


def test_type_one_errors() -> None:
    rng = np.random.default_rng(4)
    runs, level = 1500, 0.05
    pairs = rng.normal(size=(runs, 2, 10))
    wilcoxon = sum(wilcoxon_test(a, b).p_value <= level for a, b in pairs)
    tables = rng.random((runs, 12, 4))
    friedman = sum(friedman_test(t).p_value <= level for t in tables)
    nemenyi = sum(nemenyi_test(t).p_values.min() <= level for t in tables)
    for rejected in (wilcoxon, friedman, nemenyi):
        assert stats.binomtest(rejected, runs, level, alternative="greater").pvalue > 1e-3
        assert rejected > 0.3 * level * runs


def test_only_complete_data_sets_count_and_are_counted() -> None:
    scores = C45.copy()
    scores[2, 1] = math.nan
    scores[5] = math.nan
    assert complete_data_sets(scores).sum() == 12
    rest = np.delete(C45, [2, 5], axis=0)
    ranking = rank_models(scores)
    assert (ranking.n, ranking.of) == (12, 14)
    assert ranking.ranks == pytest.approx(rank_models(rest).ranks)
    friedman = friedman_test(scores)
    assert (friedman.p_value, friedman.n, friedman.of) == (friedman_test(rest).p_value, 12, 14)
    assert nemenyi_test(scores).n == 12
    pair = wilcoxon_test(scores[:, 0], scores[:, 1])
    assert (pair.n, pair.of) == (12, 14)
    nothing = rank_models(np.full((3, 2), math.nan))
    assert nothing.n == 0
    assert np.isnan(nothing.ranks).all()


def test_where_nothing_differs() -> None:
    same = np.tile(np.arange(5.0)[:, None], (1, 3))
    assert wilcoxon_test(same[:, 0], same[:, 1]).p_value == 1.0
    assert friedman_test(same).p_value == 1.0
    assert np.all(nemenyi_test(same).p_values == 1.0)
    assert rank_models(same).ranks.tolist() == [2, 2, 2]
    assert rank_models(same).win_rates.tolist() == [0.5, 0.5, 0.5]


def test_what_can_not_be_compared_is_refused() -> None:
    with pytest.raises(StatisticsError, match="at least 3 models, got 2"):
        friedman_test(np.zeros((4, 2)))
    with pytest.raises(StatisticsError, match="0 complete data set"):
        nemenyi_test(np.full((3, 3), math.nan))
    with pytest.raises(StatisticsError, match="data sets × models"):
        rank_models([1, 2, 3])
    assert np.isnan(rank_models([[0.3], [0.4]]).win_rates).all()


tables = st.integers(2, 6).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 5), min_size=m, max_size=m), min_size=1, max_size=8)
)


@given(tables)
@settings(max_examples=100, deadline=None)
def test_ranks_and_win_rates_hold_together(rows: list[list[int]]) -> None:
    scores = np.array(rows, dtype=float)
    models = scores.shape[1]
    ranking = rank_models(scores)
    assert ranking.ranks.sum() == pytest.approx(models * (models + 1) / 2)
    # Win rates counted directly.
    for i in range(models):
        rest = np.delete(scores, i, axis=1)
        mine = scores[:, [i]]
        assert ranking.win_rates[i] == pytest.approx(((mine > rest) + 0.5 * (mine == rest)).mean())
    turned = rank_models(-scores, higher_is_better=False)
    assert turned.ranks == pytest.approx(ranking.ranks)
    assert rank_models(scores[::-1]).ranks == pytest.approx(ranking.ranks)
    assert rank_models(np.exp(scores)).ranks == pytest.approx(ranking.ranks)
