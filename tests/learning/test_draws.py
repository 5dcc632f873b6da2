"""Draws of samples: nested, per class, and decided by ids, seed and split alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DataError, OptionError
from harness.learning.draws import (
    class_weights,
    describe_short_draw,
    draw_shots,
    epoch_order,
    hold_out,
    plan_rows,
    rank_for_draw,
    rows_of_epoch,
)
from harness.learning.recipe import Recipe, steps_for

labels = st.lists(st.integers(-1, 4), min_size=0, max_size=60)


def names(count: int) -> list[str]:
    return [f"folder/{n}.png" for n in range(count)]


@given(labels, st.integers(0, 9), st.integers(0, 9), st.integers(0, 3))
@settings(max_examples=60)
def test_shots(targets: list[int], few: int, more: int, seed: int) -> None:
    """So many of each class, all of a class with fewer, and few are the first of many."""
    ids = names(len(targets))
    drawn = draw_shots(ids, targets, few, seed, "train", classes=6)
    many = draw_shots(ids, targets, few + more, seed, "train", classes=6)
    rest = draw_shots(ids, targets, more, seed, "train", classes=6, skip=few)
    assert len(drawn) == 6
    for c, rows in enumerate(drawn):
        assert len(set(rows.tolist())) == len(rows) == min(few, targets.count(c))
        assert all(targets[row] == c for row in rows)
        assert many[c].tolist() == [*rows.tolist(), *rest[c].tolist()]


@given(labels, st.randoms(use_true_random=False), st.integers(1, 5))
@settings(max_examples=60)
def test_neither_the_order_nor_other_samples_change_a_draw(
    targets: list[int], random: object, few: int
) -> None:
    ids = names(len(targets))
    drawn = [[ids[r] for r in rows] for rows in draw_shots(ids, targets, few, 0, "train", classes=5)]
    order = list(range(len(ids)))
    random.shuffle(order)  # type: ignore[attr-defined]
    moved = [ids[r] for r in order]
    again = draw_shots(moved, [targets[r] for r in order], few, 0, "train", classes=5)
    assert [[moved[r] for r in rows] for rows in again] == drawn
    # without the samples of class 0 and without those that were not drawn, the others are drawn as before
    left = [r for r in range(len(ids)) if targets[r] != 0 and (targets[r] < 0 or ids[r] in drawn[targets[r]])]
    part = draw_shots([ids[r] for r in left], [targets[r] for r in left], few, 0, "train", classes=5)
    assert [[ids[left[r]] for r in rows] for rows in part[1:]] == drawn[1:]


def test_a_draw_is_decided_by_seed_and_split() -> None:
    ids, targets = names(40), [0] * 40
    draws = {
        tuple(draw_shots(ids, targets, 8, seed, split)[0].tolist())
        for seed in (0, 1, "0x")
        for split in ("a", "b")
    }
    assert len(draws) == 6
    assert (
        draw_shots(ids, targets, 8, 0, "a")[0].tolist() == draw_shots(ids, targets, 8, "0", "a")[0].tolist()
    )


def test_the_draw_of_published_tables() -> None:
    """These very samples: with another draw all few-shot numbers move."""
    assert rank_for_draw(names(6), 0, "shots", "train").tolist() == [5, 0, 3, 1, 2, 4]


def test_equal_ids_are_drawn_once_each() -> None:
    assert sorted(rank_for_draw(["a", "b", "a", "a"], 0).tolist()) == [0, 1, 2, 3]


def test_what_can_not_be_drawn() -> None:
    with pytest.raises(DataError, match="several labels"):
        draw_shots(names(2), [[0, 1], [1, 1]], 1, 0, "train")
    with pytest.raises(DataError, match="2 samples and 3 labels"):
        draw_shots(names(2), [0, 1, 1], 1, 0, "train")
    with pytest.raises(OptionError, match="between 0 and 1, not 1"):
        hold_out(names(3), range(3), 1, 0, "train")
    with pytest.raises(DataError, match="1 samples are too few to hold 50% out"):
        hold_out(names(3), [2], 0.5, 0, "train")


@given(st.integers(2, 50), st.floats(0.01, 0.6))
def test_hold_out(count: int, share: float) -> None:
    rows = np.arange(0, 2 * count, 2)
    kept, held = hold_out(names(2 * count), rows, share, 0, "train")
    assert sorted([*kept.tolist(), *held.tolist()]) == rows.tolist()
    assert len(held) == max(1, round(share * count))
    assert kept.tolist() == sorted(kept.tolist())


@given(st.integers(1, 40), st.integers(1, 50), st.sampled_from(["keep", "drop", "even"]))
def test_epochs(count: int, batch: int, last: str) -> None:
    recipe = Recipe(5, batch, last=last)  # type: ignore[arg-type]
    rows = rows_of_epoch(count, recipe, 3, 1)
    assert [len(r) for r in rows] == recipe.batch_sizes(count)
    assert len(rows) == recipe.batches_per_epoch(count)
    together = np.concatenate(rows)
    assert together.tolist() == epoch_order(count, 3, 1)[: len(together)].tolist()
    sizes = {len(r) for r in rows}
    match last:
        case "keep":
            assert len(together) == count
            assert all(len(r) == batch for r in rows[:-1])
        case "drop":
            assert sizes == {min(batch, count)}
        case _:
            assert len(together) == count
            assert max(sizes) - min(sizes) <= 1
            assert max(sizes) <= batch
            assert [r.tolist() for r in torch.from_numpy(together).tensor_split(len(rows))] == [
                r.tolist() for r in rows
            ]
    planned = list(plan_rows(count, recipe, 3, 2))
    assert [step for step, _, _ in planned] == [2, 3, 4]
    for step, epoch, found in planned:
        assert epoch == step // len(rows)
        assert found.tolist() == rows_of_epoch(count, recipe, 3, epoch)[step % len(rows)].tolist()


def test_steps_of_epochs() -> None:
    assert steps_for(100, 32, 2, None) == 8
    assert steps_for(100, 32, 2, None, "drop") == 6
    assert steps_for(100, 32, 0.01, None) == 1
    assert steps_for(100, 32, 2, 5) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -1}, "steps must be at least 0"),
        ({"batch": 0}, "batch must be at least 1"),
        ({"rate": 0}, "rate must be above 0"),
        ({"patience": 0}, "patience must be at least 1"),
        ({"ema": 2}, "ema must be from 0 to 1"),
        ({"ema": 0.9, "ema_warmup": 0.0}, "ema_warmup must be above 0"),
        ({"ema_warmup": 0.7}, "ema_warmup needs ema"),
        ({"schedule": "cosin"}, "schedule can't be 'cosin'; did you mean 'cosine'"),
        ({"precision": "half"}, "precision can't be 'half'"),
        ({"last": "odd"}, "last can't be 'odd'"),
    ],
)
def test_recipes_that_make_no_sense(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Recipe(**{"steps": 1, **options})  # type: ignore[arg-type]


def test_class_weights() -> None:
    assert class_weights(torch.tensor([0, 0, 0, 2]), 3).tolist() == pytest.approx([4 / 9, 1, 4 / 3])


def test_a_draw_of_less_than_was_asked_for_is_told() -> None:
    drawn = draw_shots([str(n) for n in range(6)], [0, 0, 0, 1, 1, 2], 2, 0, "train")
    told = describe_short_draw(drawn, 2, "train")
    assert told == (
        "1 of 3 classes have fewer than 2 samples to draw from 'train' (the fewest: 1); all of theirs are taken"
    )
    assert describe_short_draw(drawn, 1, "train") is None
