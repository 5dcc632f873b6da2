"""Standing among others: closed forms, counts by hand, and what holds of any numbers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.statistics.standing import choose_around, find_standing

numbers = st.lists(st.integers(-5, 5).map(float) | st.just(float("nan")), max_size=30)


def test_of_1_to_n_the_share_below_k_is_known():
    for n, k in ((100, 84), (7, 1), (1552, 1289)):
        found = find_standing(float(k), np.arange(1, n + 1))
        assert (found.worse, found.equal, found.better) == (k - 1, 1, n - k)
        assert found.share == pytest.approx((k - 1) / n)
        # between k+1 and k−1, which stand at those places
        assert found.above == (k if k < n else None)
        assert found.below == (k - 2 if k > 1 else None)
    lower = find_standing(84.0, np.arange(1, 101), higher_is_better=False)
    assert (lower.worse, lower.better, lower.above, lower.below) == (16, 83, 82, 84)


def test_values_that_differ_in_their_last_digits_are_equal():
    single = float(np.float32(0.9))
    assert find_standing(single, [0.9, 0.8999, 0.9001]).equal == 1
    assert find_standing(69.752 / 100, [34876 / 50000]).equal == 1
    # of 8, the best, three quartiles and the worst; the 0.9 is the nearest that is no worse, 0.8 that is
    assert choose_around([single], [0.1, 0.2, 0.9, 0.95, 0.99, 0.995, 0.999, 0.8], 1) == [6, 4, 2, 7, 0]


@given(st.integers(-6, 6).map(float), numbers)
def test_counts_and_neighbours_are_those_of_a_plain_search(value, others):
    found = find_standing(value, others)
    known = [v for v in others if v == v]
    assert (found.worse, found.equal, found.better) == (
        sum(v < value for v in known),
        known.count(value),
        sum(v > value for v in known),
    )
    assert found.count == len(known)
    above = None if found.above is None else others[found.above]
    below = None if found.below is None else others[found.below]
    assert above == min((v for v in known if v > value), default=None)
    assert below == max((v for v in known if v < value), default=None)
    mirrored = find_standing(-value, [-v for v in others], higher_is_better=False)
    assert mirrored == found


@given(st.lists(st.integers(-6, 6).map(float), max_size=4), numbers, st.integers(0, 3))
def test_those_around_each_value_and_the_quartiles_are_chosen_best_first(values, others, nearest):
    chosen = choose_around(values, others, nearest)
    shown = [others[n] for n in chosen]
    known = sorted((v for v in others if v == v), reverse=True)
    assert len(set(chosen)) == len(chosen)
    assert shown == sorted(shown, reverse=True)
    assert not any(v != v for v in shown)
    for value in values:
        worse = [v for v in known if v < value][:nearest]
        better = [v for v in known if v >= value][-nearest:] if nearest else []
        for wanted in (better, worse):
            assert [shown.count(v) >= wanted.count(v) for v in set(wanted)] == [True] * len(set(wanted))
    if known:
        assert {known[0], known[-1], known[round((len(known) - 1) / 2)]} <= set(shown)
        assert len(chosen) <= 5 + 2 * nearest * len(values)
    else:
        assert chosen == []
