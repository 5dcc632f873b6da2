"""The best and what is tied with it: error rate under selection, invariants, reasons, speed."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.statistics import BestSet, PerSample, PerSeed, best_and_tied, mcnemar_test, sample_interval


def test_two_models_is_the_plain_test() -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.random(500) < 0.8).astype(float), (rng.random(500) < 0.7).astype(float)
    ids = [str(i) for i in range(500)]
    result = best_and_tied({"a": PerSample(ids, a), "b": PerSample(ids, b)})
    assert result.best == "a"
    assert result.p_values == {"b": mcnemar_test(a, b).p_value}
    assert result.tied == ()


@pytest.mark.parametrize("kind", ["accuracy", "continuous", "seeds"])
def test_the_winner_of_equal_models_rarely_looks_better(kind: str) -> None:
    # Eight equal models; an error is any of them called worse than the best.
    rng = np.random.default_rng(1)
    runs, models, level = {"accuracy": 600, "continuous": 120, "seeds": 1500}[kind], 8, 0.05
    ids = [str(i) for i in range(200)]
    errors = 0
    for _ in range(runs):
        if kind == "seeds":
            scores = {str(m): PerSeed(range(5), rng.normal(size=5)) for m in range(models)}
        elif kind == "accuracy":
            scores = {str(m): PerSample(ids, rng.random(200) < 0.7) for m in range(models)}
        else:
            scores = {str(m): PerSample(ids, rng.normal(size=200)) for m in range(models)}
        errors += len(best_and_tied(scores, level=level).tied) < models - 1
    assert stats.binomtest(errors, runs, level, alternative="greater").pvalue > 1e-3


def test_a_clearly_worse_model_is_found_with_every_kind_of_value() -> None:
    rng = np.random.default_rng(2)
    ids = [f"s{i}" for i in range(2000)]
    accuracy = {n: PerSample(ids, rng.random(2000) < p) for n, p in {"good": 0.8, "bad": 0.7}.items()}
    seeds = {n: PerSample(ids, rng.random((3, 2000)) < p) for n, p in {"good": 0.8, "bad": 0.75}.items()}
    loss = {n: PerSample(ids, rng.exponential(p, 2000)) for n, p in {"good": 1.0, "bad": 1.5}.items()}
    fid = {n: PerSeed([0, 1, 2, 3], p + rng.normal(0, 0.1, 4)) for n, p in {"good": 9.0, "bad": 12.0}.items()}
    for scores, higher in ((accuracy, True), (seeds, True), (loss, False), (fid, False)):
        result = best_and_tied(scores, higher)
        assert (result.best, result.tied, dict(result.undecided)) == ("good", (), {})
        assert result.p_values["bad"] < 0.01


columns = st.integers(1, 12).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([0.0, 1 / 3, 0.5, 1.0]), min_size=n, max_size=n), min_size=1, max_size=6
    )
)


@given(columns, st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_order_of_models_and_samples_is_without_influence(rows: list[list[float]], random: object) -> None:
    ids = [f"s{i}" for i in range(len(rows[0]))]
    scores = {f"m{i}": PerSample(ids, row) for i, row in enumerate(rows)}
    names = list(scores)
    random.shuffle(names)
    shuffled = {}
    for name in names:
        order = list(range(len(ids)))
        random.shuffle(order)
        shuffled[name] = PerSample([ids[i] for i in order], [scores[name].values[i] for i in order])
    assert best_and_tied(shuffled) == best_and_tied(scores)


@given(columns)
@settings(max_examples=100, deadline=None)
def test_identical_predictions_are_always_tied(rows: list[list[float]]) -> None:
    ids = [f"s{i}" for i in range(len(rows[0]))]
    scores = {f"m{i}": PerSample(ids, row) for i, row in enumerate(rows)}
    twins = {f"{name} again": PerSample(ids[::-1], score.values[::-1]) for name, score in scores.items()}
    result = best_and_tied({**scores, **twins})
    winners = {result.best, *result.tied}
    for name in scores:
        assert (name in winners) == (f"{name} again" in winners)
    assert f"{result.best} again" in result.tied


def test_identical_predictions_of_many_samples_are_tied_among_stronger_models() -> None:
    rng = np.random.default_rng(3)
    ids = [str(i) for i in range(1000)]
    common = rng.normal(size=1000)
    scores = {f"weak{i}": PerSample(ids, common) for i in range(3)}
    scores["strong"] = PerSample(ids, common + rng.normal(0.1, 1, 1000))
    result = best_and_tied(scores)
    assert result.best == "strong"
    assert len({result.p_values[f"weak{i}"] for i in range(3)}) == 1


def test_seeds_in_any_order_and_in_long_form_are_the_same() -> None:
    rng = np.random.default_rng(4)
    ids = [f"s{i}" for i in range(50)]
    a, b = rng.random((2, 3, 50))
    wide = best_and_tied({"a": PerSample(ids, a), "b": PerSample(ids, b)})
    turned = best_and_tied({"b": PerSample(ids, b[[2, 0, 1]]), "a": PerSample(ids, a[::-1])})
    long = best_and_tied({"a": PerSample(ids * 3, a.ravel()), "b": PerSample(ids, b)})
    assert wide == turned == long


def test_adding_a_model_never_changes_an_interval() -> None:
    # Intervals are functions of one model's values; nothing is kept between calls.
    rng = np.random.default_rng(5)
    first, second = rng.normal(size=(2, 300))
    alone = sample_interval(first)
    sample_interval(second)
    best_and_tied(
        {
            "a": PerSample(list(map(str, range(300))), first),
            "b": PerSample(list(map(str, range(300))), second),
        }
    )
    assert sample_interval(first) == alone


def test_what_can_not_be_compared_is_said() -> None:
    result = best_and_tied(
        {
            "best": PerSample(["a", "b", "c"], [1, 1, 1]),
            "same": PerSample(["c", "a", "b"], [1, 1, 0]),
            "fewer": PerSample(["a", "b"], [0, 1]),
            "holes": PerSample(["a", "b", "c"], [1, math.nan, 1]),
            "uneven": PerSample(["a", "b", "c", "c"], [1, 1, 1, 1]),
            "seeds": PerSeed([0, 1, 2], [0.5, 0.5, 0.6]),
        }
    )
    assert result.best == "best"
    assert result.tied == ("same",)
    assert set(result.p_values) == {"same"}
    assert "1 only on the other, 2 shared" in result.undecided["fewer"]
    assert result.undecided["holes"] == "1 of 3 values are missing"
    assert "does not occur as often" in result.undecided["uneven"]
    assert result.undecided["seeds"] == "it has values by seed, best by sample"


def test_seeds_that_do_not_vary_decide_nothing() -> None:
    result = best_and_tied({"a": PerSeed([0, 1], [0.9, 0.9]), "b": PerSeed([0, 1], [0.8, 0.8])})
    assert (result.best, result.tied) == ("a", ())
    assert "no variation" in result.undecided["b"]
    one = best_and_tied({"a": PerSeed([0], [0.9]), "b": PerSeed([0], [0.9])})
    assert "1 seed(s)" in one.undecided["b"]
    other = best_and_tied({"a": PerSeed([0, 1], [0.9, 0.8]), "b": PerSeed([0, 2], [0.8, 0.7])})
    assert "different seeds" in other.undecided["b"]


def test_nothing_to_compare() -> None:
    assert best_and_tied({}).best is None
    only = best_and_tied({"a": PerSample(["x"], [math.nan]), "b": PerSample(["x"], [0.0])})
    assert (only.best, only.tied) == ("b", ())


@pytest.mark.parametrize("kind", ["accuracy", "continuous"])
def test_ties_are_linear_in_the_models(kind: str, effort: Callable[[Callable[[], object]], int]) -> None:
    rng = np.random.default_rng(6)
    ids = [f"image {i}" for i in range(1000)]
    scores = {
        str(m): PerSample(ids, rng.normal(size=1000) if kind == "continuous" else rng.integers(0, 2, 1000))
        for m in range(20)
    }
    few = dict(list(scores.items())[:5])
    found: list[BestSet] = []
    best_and_tied(few)  # scipy's import is not what is counted
    less = effort(lambda: best_and_tied(few))
    more = effort(lambda: found.append(best_and_tied(scores)))
    assert len(found[0].p_values) == 19
    # four tests against nineteen, and not every pair of models (10 against 190)
    assert more < 5 * less
