"""Metrics of rankings against closed forms, all orders of ties, and the functions of other libraries."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_metrics.hubness import HubnessSkew
from harness_metrics.ranking_precision import NDCG, MeanAveragePrecision
from harness_metrics.ranking_recall import MedianRank, RecallAtK, TrueRecallAtK
from harness_metrics.rankings import Rankings


def rank(scores: Any, positives: Any) -> Rankings:
    """Return the rankings of scores N×G with positives N×G (bool), straight from the definition."""
    before, level, relevant, offsets = [], [], [], [0]
    for row, positive in zip(np.asarray(scores), np.asarray(positives, bool), strict=True):
        for value in sorted(set(row[positive].tolist()), reverse=True):
            before.append(int((row > value).sum()))
            level.append(int((row == value).sum()))
            relevant.append(int((row == value)[positive].sum()))
        offsets.append(len(before))
    ids = [f"q{n}" for n in range(len(offsets) - 1)]
    arrays = [np.array(values) for values in (offsets, before, level, relevant)]
    return Rankings(ids, ids, np.shape(scores)[1], *arrays)


def rank_one(marks: str) -> Rankings:
    """Return one ranking without ties, written as 1 for a positive and 0 for another."""
    return rank([range(len(marks), 0, -1)], [[mark == "1" for mark in marks]])


METRICS = {
    "R@2": RecallAtK(2), "recall@2": TrueRecallAtK(2), "mAP": MeanAveragePrecision(), "NDCG": NDCG(), "NDCG@2": NDCG(2),
}  # fmt: skip


def test_average_precision_and_ndcg_of_1010() -> None:
    assert MeanAveragePrecision()(rank_one("1010")) == pytest.approx((1 + 2 / 3) / 2)
    assert MeanAveragePrecision()(rank_one("1010")) == pytest.approx(0.8333, abs=5e-5)
    assert NDCG()(rank_one("1010")) == pytest.approx(1.5 / (1 + 1 / np.log2(3)))
    assert NDCG()(rank_one("1010")) == pytest.approx(0.9197, abs=5e-5)
    assert NDCG(k=2)(rank_one("1010")) == pytest.approx(1 / (1 + 1 / np.log2(3)))


def test_one_of_five_captions_found_at_one() -> None:
    found = rank_one("1000011110")
    assert RecallAtK(1)(found) == 1
    assert TrueRecallAtK(1)(found) == pytest.approx(0.2)
    assert TrueRecallAtK(7)(found) == pytest.approx(0.6)


@given(st.integers(1, 40), st.integers(1, 50))
def test_a_constant_model_finds_by_chance(candidates: int, k: int) -> None:
    scores, positives = np.zeros((3, candidates)), np.arange(candidates) == np.array([[0]] * 3) % candidates
    found = rank(scores, positives)
    assert RecallAtK(k)(found) == pytest.approx(min(k / candidates, 1), abs=1e-12)
    assert TrueRecallAtK(k)(found) == pytest.approx(min(k / candidates, 1), abs=1e-12)
    assert MedianRank()(found) == pytest.approx((candidates + 1) / 2)


@st.composite
def tied_rankings(draw: st.DrawFn) -> tuple[list[int], list[bool]]:
    scores = draw(st.lists(st.integers(0, 2), min_size=1, max_size=6))
    positives = draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)).filter(any))
    return scores, positives


@given(tied_rankings(), st.integers(1, 7))
@settings(max_examples=60, deadline=None)
def test_ties_are_the_mean_over_all_orders(drawn: tuple[list[int], list[bool]], k: int) -> None:
    scores, positives = drawn
    orders: dict[str, list[float]] = {name: [] for name in (*METRICS, "R@k", "recall@k", "NDCG@k", "rank")}
    for order in itertools.permutations(range(len(scores))):
        if any(scores[a] < scores[b] for a, b in itertools.pairwise(order)):
            continue
        marks = np.array([positives[n] for n in order])
        places = np.flatnonzero(marks) + 1
        gains, best = marks / np.log2(np.arange(len(marks)) + 2), 1 / np.log2(np.arange(marks.sum()) + 2)
        orders["R@2"].append(marks[:2].any())
        orders["R@k"].append(marks[:k].any())
        orders["recall@2"].append(marks[:2].sum() / marks.sum())
        orders["recall@k"].append(marks[:k].sum() / marks.sum())
        orders["mAP"].append(float(np.mean((np.arange(len(places)) + 1) / places)))
        orders["NDCG"].append(gains.sum() / best.sum())
        orders["NDCG@2"].append(gains[:2].sum() / best[:2].sum())
        orders["NDCG@k"].append(gains[:k].sum() / best[:k].sum())
        orders["rank"].append(places[0])
    found = rank([scores], [positives])
    by_k = {"R@k": RecallAtK(k), "recall@k": TrueRecallAtK(k), "NDCG@k": NDCG(k), "rank": MedianRank()}
    for name, metric in {**METRICS, **by_k}.items():
        assert metric(found) == pytest.approx(np.mean(orders[name]), abs=1e-9), name


def draw_scores(seed: int, queries: int = 25, candidates: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(queries, candidates, generator=generator)
    positives = torch.rand(queries, candidates, generator=generator) < 0.1
    positives[:, 0] |= ~positives.any(1)
    return scores, positives


@pytest.mark.parametrize("seed", range(3))
def test_torchmetrics_agrees(seed: int) -> None:
    from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalNormalizedDCG, RetrievalRecall

    scores, positives = draw_scores(seed)
    queries = torch.arange(len(scores))[:, None].expand_as(scores)
    found = rank(scores.numpy(), positives.numpy())
    for theirs, ours in [
        (RetrievalMAP(), MeanAveragePrecision()),
        (RetrievalNormalizedDCG(), NDCG()),
        (RetrievalNormalizedDCG(top_k=5), NDCG(5)),
        (RetrievalHitRate(top_k=5), RecallAtK(5)),
        (RetrievalRecall(top_k=5), TrueRecallAtK(5)),
    ]:
        expected = float(theirs(scores.flatten(), positives.flatten(), indexes=queries.flatten()))
        assert ours(found) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_sklearn_averages_ndcg_over_ties_alike(seed: int) -> None:
    from sklearn.metrics import ndcg_score

    scores, positives = draw_scores(seed)
    coarse = (scores * 4).round().numpy()
    found = rank(coarse, positives.numpy())
    assert NDCG()(found) == pytest.approx(ndcg_score(positives.numpy(), coarse))
    assert NDCG(7)(found) == pytest.approx(ndcg_score(positives.numpy(), coarse, k=7))


@pytest.mark.parametrize("k", [1, 5, 10])
def test_clip_benchmark_counts_any_of_the_captions_too(k: int) -> None:
    """Its retrieval numbers are the share of queries whose recall is above 0; its `recall_at_k` alone is recall."""
    from clip_benchmark.metrics.zeroshot_retrieval import recall_at_k

    generator = torch.Generator().manual_seed(k)
    images = torch.nn.functional.normalize(torch.randn(30, 8, generator=generator), dim=-1)
    owner = torch.arange(30).repeat_interleave(5)
    texts = images[owner] + 0.6 * torch.randn(150, 8, generator=generator)
    scores = torch.nn.functional.normalize(texts, dim=-1) @ images.T
    positives = owner[:, None] == torch.arange(30)
    for s, p in ((scores, positives), (scores.T, positives.T)):
        theirs = recall_at_k(s, p, k)
        found = rank(s.numpy(), p.numpy())
        assert RecallAtK(k)(found) == pytest.approx(float((theirs > 0).float().mean()), abs=1e-6)
        assert TrueRecallAtK(k)(found) == pytest.approx(float(theirs.mean()), abs=1e-6)


@given(st.integers(0, 999))
@settings(max_examples=25)
def test_values_by_query_average_to_the_number(seed: int) -> None:
    scores, positives = draw_scores(seed, 7, 12)
    found = rank((scores * 3).round().numpy(), positives.numpy())
    for metric in METRICS.values():
        values = metric.per_sample(found)
        assert values.shape == (7,)
        assert ((values >= 0) & (values <= 1)).all()
        assert values.mean() == pytest.approx(metric(found))


def test_large_ties_are_as_exact_as_small_ones() -> None:
    """Two positives anywhere among a million equal candidates."""
    n = 1_000_000
    one = Rankings(["q"], ["q"], n, *(np.array(a) for a in ([0, 1], [0], [n], [2])))
    assert RecallAtK(10)(one) == pytest.approx(1 - (n - 10) * (n - 11) / (n * (n - 1)), rel=1e-6)
    places = np.arange(1, n + 1)
    expected = np.sum((1 + (places - 1) / (n - 1)) / places) / n
    assert MeanAveragePrecision()(one) == pytest.approx(expected, rel=1e-9)
    late = Rankings(["q"], ["q"], n, *(np.array(a) for a in ([0, 1], [n - 3], [2], [1])))
    assert MeanAveragePrecision()(late) == pytest.approx((1 / (n - 2) + 1 / (n - 1)) / 2, rel=1e-6)


def test_perfect_is_exactly_one() -> None:
    found = rank_one("11100")
    for metric in (RecallAtK(3), TrueRecallAtK(3), MeanAveragePrecision(), NDCG(), NDCG(2)):
        assert metric(found) == 1.0


def test_median_is_of_the_first_positive() -> None:
    found = rank([[3, 2, 1], [1, 2, 3], [1, 3, 2]], [[1, 0, 1], [1, 0, 0], [1, 0, 1]])
    assert MedianRank().per_sample(found).tolist() == [1, 3, 2]
    assert MedianRank()(found) == 2


def test_hubs_make_the_occurrences_skew() -> None:
    from scipy.stats import skew

    def found(occurrences: list[int], depth: int) -> Rankings:
        queries = sum(occurrences) // depth
        ids = [f"{n}" for n in range(queries)]
        levels = [np.arange(queries + 1), *([np.ones(queries, np.int64)] * 3)]
        return Rankings(ids, ids, len(occurrences), *levels, np.array(occurrences), depth)

    # x = 4, 0, 0, 0, 0: mean .8, third moment (3.2³ − 4·.8³) / 5, variance (3.2² + 4·.8²) / 5 = 2.56
    assert HubnessSkew()(found([4, 0, 0, 0, 0], 1)) == pytest.approx(((3.2**3 - 4 * 0.8**3) / 5) / 1.6**3)
    assert HubnessSkew()(found([2, 3, 1, 2, 4], 2)) == pytest.approx(skew([2, 3, 1, 2, 4]))
    assert HubnessSkew()(found([2, 2, 2], 1)) == 0
    with pytest.raises(DataError, match="was not counted"):
        HubnessSkew()(rank_one("10"))


def test_options_and_emptiness_are_refused() -> None:
    for make in (RecallAtK, TrueRecallAtK, NDCG):
        with pytest.raises(OptionError, match="k must be at least 1, got 0"):
            make(k=0)
    empty = Rankings([], [], 5, *(np.zeros(n, np.int64) for n in (1, 0, 0, 0)))
    for metric in (*METRICS.values(), MedianRank(), HubnessSkew()):
        with pytest.raises(DataError, match="there are no queries"):
            metric(empty)
