"""TIDE's parts: the reference's case 10, hotcoco's own, and what the parts add up to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_dense.coco_ap import CocoAP
from harness_dense.detections import Detections
from harness_dense.matching import match_objects
from harness_dense.tide import PARTS, TideErrors, count_errors, find_errors

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
NOWHERE = (700.0, 700.0, 800.0, 800.0)
THIRD = (50.0, 0.0, 150.0, 100.0)  # IoU 1/3 with A
Make = Callable[..., Detections]

CASES: dict[str, tuple[Any, str, float]] = {
    "wrong class": (([(A, 0.9, 1)], [(A, 0)]), "Cls", 1.0),
    "IoU 1/3": (([(THIRD, 0.9, 0)], [(A, 0)]), "Loc", 1.0),
    "wrong class and IoU 1/3": (([(THIRD, 0.9, 1)], [(A, 0)]), "Both", 0.0),
    "found again": (([(A, 0.9, 0), (A, 0.8, 0), (B, 0.7, 0)], [(A, 0), (B, 0)]), "Dupe", 0.165017),
    "false above right": (([(NOWHERE, 0.9, 0), (A, 0.8, 0)], [(A, 0)]), "Bkg", 0.5),
    "one of two found": (([(A, 0.9, 0)], [(A, 0), (B, 0)]), "Miss", 0.495050),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_of_the_reference(case: str, by_hand: Make) -> None:
    image, part, expected = CASES[case]
    evidence = by_hand(image, classes=2)
    errors, counts = TideErrors()(evidence), count_errors(evidence)
    assert errors[part] == pytest.approx(expected, abs=1e-6)
    assert counts[part] == 1
    others = [p for p in PARTS if p != part and not (part == "Both" and p == "Miss")]
    assert [counts[p] for p in others] == [0] * len(others)
    assert [errors[p] for p in others] == pytest.approx([0] * len(others))


def test_only_the_best_of_several_errors_at_an_object_is_fixed(by_hand: Make) -> None:
    image = ([(THIRD, 0.9, 0), ((-50.0, 0.0, 50.0, 100.0), 0.8, 0), (A, 0.7, 1)], [(A, 0)])
    evidence = by_hand(image, classes=2)
    assert count_errors(evidence) == {"Cls": 1, "Loc": 2, "Both": 0, "Dupe": 0, "Bkg": 0, "Miss": 0}
    errors = TideErrors()(evidence)
    assert errors["Loc"] == pytest.approx(1)
    assert errors["Cls"] == 0  # a `Loc` with a better score has the object


def test_a_class_of_which_all_are_missed_counts_as_one(by_hand: Make) -> None:
    evidence = by_hand(([(A, 0.9, 0)], [(A, 0), (B, 1)]), classes=2)
    assert TideErrors()(evidence)["Miss"] == pytest.approx(0.5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.sampled_from(["boxes", "masks"]))
def test_each_object_has_one_kind(seed: int, shape: Any, draw_set: Make) -> None:
    """Hits are those of AP50; what does not count is none of the errors."""
    evidence = draw_set(seed)
    errors, matches = find_errors(evidence, shape), match_objects(evidence, shape)
    hits = int((matches.hit & np.uint64(1)).sum())
    spared = int((matches.spared & np.uint64(1)).sum())
    assert [(errors.kinds == kind).sum() for kind in (-1, -2)] == [hits, spared]
    assert (errors.kinds >= 0).sum() == len(evidence.scores) - hits - spared
    fixed = errors.fixes[errors.fixes >= 0]
    assert len(np.unique(fixed)) == len(fixed)
    assert hits + len(fixed) + errors.missed.sum() == errors.true.sum()


def corners(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(1, 3))
def test_parts_are_hotcocos(seed: int, classes: int, draw_set: Make) -> None:
    """Where nothing is ignored, no IoU is exactly .5 (tidecv's `Loc`, the paper's `Dupe`), all scores differ.

    ΔAP of one class only: like tidecv, hotcoco counts classes that are only predicted, and those all missed, as 0.
    """
    import hotcoco

    drawn = draw_set(seed, classes=classes, distinct=True)
    nothing = np.zeros(len(drawn.true_labels), bool)
    boxes = drawn.boxes + np.random.default_rng(seed).uniform(0, 1e-3, drawn.boxes.shape)
    evidence = replace(
        drawn, boxes=boxes, true_crowd=nothing, true_ignored=nothing, masks=None, true_masks=None
    )
    if not len(nothing) or not len(evidence.scores):
        return
    truth = hotcoco.COCO.from_arrays(
        [{"id": n + 1, "width": 42, "height": 42} for n in range(len(evidence))],
        [{"id": n + 1, "name": name} for n, name in enumerate(evidence.class_names)],
        evidence.true_images + 1,
        evidence.true_labels + 1,
        corners(evidence.true_boxes),
        area=evidence.true_areas,
    )
    rows = np.c_[evidence.images + 1, corners(boxes), evidence.scores, evidence.labels + 1]
    evaluation = hotcoco.COCOeval(truth, truth.load_res(rows), "bbox")
    evaluation.evaluate()
    theirs = evaluation.tide_errors()
    assert {part: theirs["counts"][part] for part in PARTS} == count_errors(evidence)
    if classes == 1:
        ours = TideErrors()(evidence)
        for part in PARTS[:-1]:
            assert ours[part] == pytest.approx(theirs["delta_ap"][part], abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_weights_are_a_set_with_repeated_images(seed: int, draw_set: Make) -> None:
    evidence = draw_set(seed, distinct=True)
    counts = np.random.default_rng(seed).multinomial(8, np.ones(8) / 8)
    copies = np.repeat(np.arange(8), counts)
    repeated = evidence.select(copies, [f"{n}" for n in range(8)])
    values = TideErrors().resampled(evidence, counts[None])
    try:
        expected = TideErrors()(repeated)
    except DataError:
        expected = dict.fromkeys(PARTS, np.nan)
    assert {part: value[0] for part, value in values.items()} == pytest.approx(
        expected, abs=1e-12, nan_ok=True
    )


def test_fixing_all_but_the_missed_starts_from_ap50(by_hand: Make) -> None:
    image = ([(NOWHERE, 0.9, 0), (A, 0.8, 0)], [(A, 0)])
    assert CocoAP()(by_hand(image))["AP50"] + TideErrors()(by_hand(image))["Bkg"] == pytest.approx(1)


def test_options() -> None:
    with pytest.raises(OptionError, match="iou must be"):
        TideErrors("bbox")  # type: ignore[arg-type]
