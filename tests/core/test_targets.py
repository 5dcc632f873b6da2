"""Kinds of target: samples of several images and texts, planning, parts of a split, and who takes labels alone."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import harness
from harness import TARGET_KINDS, Answers, Boxes, DataError, Masks, Sample
from harness.contract.targets import require_labels
from harness.inference.split_subsets import draw_subset
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite

ONE, OTHER, THIRD = (np.full((2, 2, 3), n, np.uint8) for n in range(3))


def test_one_image_and_text_are_all_of_them() -> None:
    sample = Sample("a", ONE, 1, "a text")
    assert sample.images == (ONE,)
    assert sample.texts == ("a text",)
    assert (Sample("a").images, Sample("a").texts, Sample("a").target) == ((), (), None)


def test_the_first_of_several_is_the_image() -> None:
    sample = Sample("a", images=(ONE, OTHER), texts=["which?", "left"])
    assert sample.image is ONE
    assert sample.text == "which?"


def test_copies_with_another_image_stay_consistent() -> None:
    assert replace(Sample("a", ONE), image=OTHER).images == (OTHER,)
    assert replace(pickle.loads(pickle.dumps(Sample("a", ONE))), image=OTHER).images == (OTHER,)
    several = Sample("a", images=(ONE, OTHER))
    assert replace(several, image=None, images=(THIRD,)).image is THIRD
    for change in ({"image": THIRD}, {"images": (THIRD, ONE)}):
        with pytest.raises(DataError, match="sample 'a': `image` is not the first of `images`: replace both"):
            replace(several, **change)
    with pytest.raises(DataError, match="replace both"):
        replace(Sample("a", ONE), images=(OTHER,))


def boxes(n: int) -> Boxes:
    return Boxes(np.tile(np.array([[0.0, 0.0, 1.0, 2.0]]), (n, 1)), np.zeros(n, np.int64))


class Lazy:
    """Masks that are read when they are asked for."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Masks:
        self.read.append(index)
        return Masks(semantic=np.full((2, 2), index))


@pytest.mark.parametrize(
    "targets",
    [
        np.arange(10),
        np.eye(10, 3, dtype=np.int64),
        [boxes(n) for n in range(10)],
        [[f"caption {m}" for m in range(n + 1)] for n in range(10)],
        tuple(Answers((str(n),)) for n in range(10)),
    ],
)
def test_a_part_cuts_targets_of_every_kind(toys: Any, targets: Any) -> None:
    split = toys.Split(0)
    split.targets = targets
    part = draw_subset(split, 4, 7)
    places = [split.ids.index(i) for i in part.ids]
    assert len(part.targets) == 4
    assert all(np.all(part.targets[n] == targets[place]) for n, place in enumerate(places))


def test_a_part_reads_lazy_targets_when_they_are_asked_for(toys: Any) -> None:
    split = toys.Split(0)
    split.targets = lazy = Lazy()
    part = draw_subset(split, 4, 7)
    assert len(part.targets) == 4
    assert lazy.read == []
    assert part.targets[1].semantic.max() == split.ids.index(part.ids[1])
    assert len(list(part.targets)) == 4


def reason(toys: Any, kind: str, taken: Any = None) -> str | None:
    """Why a data set of a kind is skipped by a protocol that takes some."""
    harness.register("datasets", "theirs", type("Theirs", (toys.Data,), {"target_kind": kind}))
    more = {} if taken is None else {"target_kinds": taken}
    harness.register("protocols", "takes", type("Takes", (toys.Protocol,), more))
    content = {"name": "s", "protocol": "takes", "models": ["toy"], "datasets": ["theirs"], "metrics": []}
    (planned,) = make_plan(parse_suite(content))
    return planned.reason


def test_planning_skips_data_sets_of_other_kinds(toys: Any) -> None:
    assert reason(toys, "label") is None
    said = reason(toys, "boxes")
    assert said == "the data set 'theirs' has boxes; protocol 'takes' takes one label per sample"
    assert reason(toys, "boxes", ("boxes", "masks")) is None
    said = reason(toys, "captions", ("boxes", "masks"))
    assert said == "the data set 'theirs' has captions; protocol 'takes' takes boxes or masks"
    assert reason(toys, "none", tuple(TARGET_KINDS)) is None
    said = reason(toys, "box")
    assert said == "the data set's target_kind is 'box'; did you mean 'boxes'?"


@pytest.mark.parametrize(
    ("targets", "found"),
    [
        (np.eye(3, dtype=np.int64), "several labels"),
        ([boxes(1)], "targets of the type Boxes"),
        ([["a caption"], ["two", "captions"]], "targets of the type list"),
    ],
)
def test_classification_takes_one_label_each(targets: Any, found: str) -> None:
    with pytest.raises(DataError, match=f"^coco: its samples have {found}, here they need one label each$"):
        require_labels(targets, "coco")
    require_labels(np.arange(3), "digits")
    require_labels([0, 1], "digits")
    require_labels([], "digits")
