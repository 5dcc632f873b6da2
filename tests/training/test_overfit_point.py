"""The overfit point: planted minima, and what holds for all curves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness_training.overfit_point import average_neighbours, find_overfit_point

LOSSES = st.floats(0.001, 1000, allow_nan=False)
CURVES = st.integers(1, 30).flatmap(
    lambda n: st.tuples(st.lists(LOSSES, min_size=n, max_size=n), st.lists(LOSSES, min_size=n, max_size=n))
)


@given(st.integers(5, 60), st.data(), st.floats(0.1, 10))
def test_the_turn_of_a_planted_curve_is_found(n, data, low):
    """Held-out loss falls to evaluation k and rises by 30 % a step; the training loss falls all the time."""
    reach = max(1, round(n / 20))
    k = data.draw(st.integers(2 * reach, n - 2 - reach) | st.just(0))
    held = low * (1 + 0.3 * np.abs(np.arange(n) - k))
    train = np.linspace(2, 1, n)
    assert find_overfit_point(held, train) == k
    assert find_overfit_point(held, train[::-1]) is None  # a training that fails


@given(st.lists(LOSSES, min_size=1, max_size=30), LOSSES)
def test_a_loss_that_falls_or_rises_too_little_is_no_overfitting(values, low):
    falling = np.sort(values)[::-1]
    train = np.linspace(2, 1, len(values))
    assert find_overfit_point(falling, train) is None
    barely = low * (1 + 0.049 * np.linspace(0, 1, len(values)))
    assert find_overfit_point(barely, train) is None
    assert find_overfit_point(barely, train, rise=0.02, window=1) == (0 if len(values) > 1 else None)


@given(CURVES, st.sampled_from([1, 3, 5, None]))
def test_it_is_what_the_definition_says(curves, window):
    """Against the definition, written as sums over lists."""
    held, train = curves
    last = len(held) - 1
    reach = max(1, round(len(held) / 20)) if window is None else window // 2

    def mean(values, i, near):
        chosen = values[max(0, i - near) : i + near + 1]
        return np.mean(chosen)

    def even(values, i):
        return mean(values, i, min(reach, i, last - i))

    first = min(range(last + 1), key=lambda i: even(held, i))
    overfits = any(
        mean(held, j, reach) >= 1.05 * even(held, first) and mean(train, j, reach) < even(train, first)
        for j in range(first + 1, last + 1)
    )
    assert find_overfit_point(held, train, window=window) == (first if overfits else None)


@pytest.mark.parametrize("evaluations", [10, 30, 100, 300])
def test_noise_alone_is_seldom_taken_for_overfitting(evaluations):
    """A held-out loss that falls to a floor, with noise of 2 %, and one that turns at 40 % of the training."""
    rng = np.random.default_rng(0)
    t = np.linspace(0, 1, evaluations)
    train = 2 - t
    flagged, misses = 0, []
    for noise in np.exp(0.02 * rng.normal(size=(100, evaluations))):
        flagged += find_overfit_point((1 + np.exp(-6 * t)) * noise, train) is not None
        found = find_overfit_point((1 + 1.6 * (t - 0.4) ** 2) * noise, train)
        assert found is not None
        misses.append(abs(found / (evaluations - 1) - 0.4))
    assert flagged <= 5
    assert np.mean(misses) < 0.07


@given(CURVES, st.sampled_from([0.25, 4.0, 1024.0]), st.sampled_from([0.5, 8.0]))
def test_units_of_the_losses_do_not_matter(curves, a, b):
    held, train = map(np.array, curves)
    assert find_overfit_point(a * held, b * train) == find_overfit_point(held, train)


@given(CURVES, st.sampled_from([np.nan, np.inf]), st.data())
def test_evaluations_without_a_finite_loss_are_left_out(curves, gap, data):
    held, train = map(list, curves)
    at = data.draw(st.integers(0, len(held)))
    found = find_overfit_point(held, train)
    for spoilt, whole in ((held, train), (train, held)):
        with_gap = [*spoilt[:at], gap, *spoilt[at:]], [*whole[:at], 1.0, *whole[at:]]
        held_too, train_too = with_gap if spoilt is held else with_gap[::-1]
        expected = found if found is None or found < at else found + 1
        assert find_overfit_point(held_too, train_too) == expected
    assert find_overfit_point([gap] * 3, [1.0] * 3) is None


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.integers(0, 4))
def test_means_of_neighbours_keep_lines_order_and_range(values, reach):
    line = np.arange(len(values)) * 0.5 + 3
    np.testing.assert_allclose(average_neighbours(line, reach, balanced=True), line)
    inner = slice(reach, max(reach, len(values) - reach))
    for balanced in (False, True):
        smooth = average_neighbours(np.sort(values), reach, balanced)
        assert (np.diff(smooth) >= -1e-9).all()
        assert smooth.min() >= min(values) - 1e-9
        assert smooth.max() <= max(values) + 1e-9
        if len(values) > 2 * reach:
            expected = np.convolve(values, np.ones(2 * reach + 1) / (2 * reach + 1), "valid")
            found = average_neighbours(np.array(values), reach, balanced)[inner]
            np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_single_dip_of_noise_is_smoothed_away():
    held = [2.0, 1.0, 1.8, 1.6, 1.4, 1.2, 1.3, 1.5, 1.8]
    assert find_overfit_point(held, np.linspace(2, 1, 9), window=1) == 1
    assert find_overfit_point(held, np.linspace(2, 1, 9)) == 5


def test_bad_input_gets_a_clear_line():
    with pytest.raises(HarnessError, match=r"\(2,\) and training loss \(3,\) differ"):
        find_overfit_point([1, 2], [1, 2, 3])
    with pytest.raises(HarnessError, match="odd window, got 2"):
        find_overfit_point([1, 2], [1, 2], window=2)
    with pytest.raises(HarnessError, match="rise of at least 0"):
        find_overfit_point([1, 2], [1, 2], rise=-1)
