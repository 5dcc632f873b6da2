"""A fixed random part of a split."""

import pickle
from typing import Any

import numpy as np
import pytest

from harness.inference.split_subsets import draw_subset


def test_a_part_keeps_order_samples_and_everything_else(toys: Any) -> None:
    split = toys.Split(0)
    split.class_names = ("a", "b")
    part = draw_subset(split, 4, 7)
    assert len(part) == len(part.ids) == len(part.targets) == 4
    places = [split.ids.index(i) for i in part.ids]
    assert places == sorted(set(places))
    np.testing.assert_array_equal(part.targets, split.targets[places])
    assert [part[n].id for n in range(4)] == list(part.ids)
    assert [part[n].label for n in range(4)] == part.targets.tolist()
    assert part.class_names == ("a", "b")  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        part.templates  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(IndexError):
        part[4]


def test_the_draw_depends_on_the_seed_alone_and_is_spread(toys: Any) -> None:
    split = toys.Split(0)
    assert draw_subset(split, 4, 7).ids == draw_subset(split, 4, 7).ids
    drawn = [tuple(draw_subset(split, 4, s).ids) for s in range(400)]
    assert len(set(drawn)) > 100
    counts = [sum(i in d for d in drawn) for i in split.ids]
    # each of 10 samples in 4 of 10 draws: mean 160, five standard deviations are 49
    assert all(111 < c < 209 for c in counts)


def test_smaller_limits_are_inside_larger_ones(toys: Any) -> None:
    split = toys.Split(0)
    for small, large in ((2, 5), (5, 9)):
        assert set(draw_subset(split, small, 3).ids) <= set(draw_subset(split, large, 3).ids)


def test_parts_travel_to_other_processes(toys: Any) -> None:
    from types import SimpleNamespace

    split: Any = SimpleNamespace(ids=["a", "b", "c"], targets=np.arange(3), extra=1)
    part = pickle.loads(pickle.dumps(limited_of(split)))
    assert part.extra == 1
    assert len(part) == 2


def limited_of(split: Any) -> Any:
    from harness.inference.split_subsets import SplitSubset

    return SplitSubset(split, np.array([0, 2]))
