"""Resampled sets: the same for everyone, whole clusters, and intervals and tests that keep their level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics import (
    PerResample,
    StatisticsError,
    best_and_tied,
    draw_sample_weights,
    resampled_interval,
    resampled_p,
)


@given(st.lists(st.text(max_size=4), min_size=1, max_size=30, unique=True), st.randoms(use_true_random=False))
def test_weights_follow_from_the_names_and_not_from_their_order(ids, random):
    weights = draw_sample_weights(ids, resamples=20)
    assert weights.shape == (20, len(ids))
    assert (weights.sum(axis=1) == len(ids)).all()
    order = random.sample(range(len(ids)), len(ids))
    turned = draw_sample_weights([ids[n] for n in order], resamples=20)
    assert np.array_equal(turned, weights[:, order])


def test_other_samples_have_other_draws():
    assert not np.array_equal(draw_sample_weights("abcd"), draw_sample_weights("abce"))


def test_clusters_are_drawn_whole():
    weights = draw_sample_weights("abcdef", ["x", "x", "y", "y", "y", "z"], resamples=50)
    assert np.array_equal(weights[:, 0], weights[:, 1])
    assert np.array_equal(weights[:, 2], weights[:, 4])
    assert (weights[:, [0, 2, 5]].sum(axis=1) == 3).all()


def test_wrong_names_are_refused():
    with pytest.raises(StatisticsError, match="same id"):
        draw_sample_weights(["a", "a"])
    with pytest.raises(StatisticsError, match="2 ids and 1 clusters"):
        draw_sample_weights(["a", "b"], ["x"])


def test_draws_are_multinomial():
    weights = draw_sample_weights(range(50), resamples=4000).astype(float)
    assert weights.mean() == pytest.approx(1.0)
    assert weights.var(axis=0).mean() == pytest.approx(1 - 1 / 50, rel=0.02)


def test_intervals_and_tests_of_a_mean_keep_their_level():
    rng = np.random.default_rng(0)
    held = rejected = 0
    for trial in range(200):
        values = rng.normal(size=(2, 60))
        weights = draw_sample_weights([f"{trial}-{n}" for n in range(60)], resamples=400)
        a, b = (weights @ row / 60 for row in values)
        interval = resampled_interval(values[0].mean(), a, 60)
        assert interval is not None
        held += 0.0 in interval
        rejected += resampled_p(values[0].mean() - values[1].mean(), a - b) <= 0.05
    assert 180 <= held <= 199
    assert 2 <= rejected <= 22


def test_the_interval_is_reflected_at_the_number():
    """Draws that lie above the number, as average precision's do, move the interval below it."""
    found = resampled_interval(0.4707, np.linspace(0.4704, 0.4975, 1001), 100, 0.95)
    assert found is not None
    assert found.low == pytest.approx(2 * 0.4707 - (0.4704 + 0.975 * 0.0271))
    assert found.method == "bootstrap basic"
    assert resampled_interval(0.5, [0.4, np.nan], 100) is None
    assert resampled_interval(0.5, [0.4, 0.6], 1) is None


def test_ties_are_told_by_the_same_resampled_sets():
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 0.1, 1000)  # how hard the drawn images are for every model
    score = {
        "better": PerResample("ab", 0.52, 0.52 + shared + rng.normal(0, 0.001, 1000)),
        "worse": PerResample("ba", 0.50, 0.50 + shared + rng.normal(0, 0.001, 1000)),
        "close": PerResample("ab", 0.5195, 0.5195 + shared + rng.normal(0, 0.001, 1000)),
        "elsewhere": PerResample("ac", 0.40, 0.40 + shared),
        "undefined": PerResample("ab", 0.41, np.full(1000, np.nan)),
    }
    found = best_and_tied(score)
    assert found.best == "better"
    assert found.tied == ("close",)
    assert found.p_values["worse"] <= 0.01
    assert "different samples" in found.undecided["elsewhere"]
    assert "not defined" in found.undecided["undefined"]


def test_identical_draws_are_no_difference():
    assert resampled_p(0.0, np.zeros(100)) == 1.0


def test_very_many_samples_have_fewer_sets():
    assert [len(draw_sample_weights(range(n))) for n in (100, 250_000)] == [1000, 400]
