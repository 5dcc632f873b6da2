"""VOC's average precision against the devkit's program, written down one object at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_dense.detections import Detections
from harness_dense.voc_ap import VocAP

A, B = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0)
NOWHERE = (700.0, 700.0, 800.0, 800.0)
Make = Callable[..., Detections]


def devkit(evidence: Detections, style: str) -> float:
    """VOCevaldet.m: corners are pixels, counted from 1, so that widths are larger by 1."""
    means = []
    for label in range(len(evidence.class_names)):
        difficult = evidence.true_ignored | evidence.true_crowd
        positives = int(((evidence.true_labels == label) & ~difficult).sum())
        if not positives:
            continue
        taken: set[int] = set()
        outcomes = []
        rows = [row for row in np.argsort(-evidence.scores, kind="stable") if evidence.labels[row] == label]
        for row in rows:
            first = np.array([1.0, 1.0, 0.0, 0.0])  # outer edges as pixels
            box, best, which = evidence.boxes[row] + first, -np.inf, -1
            same = (evidence.true_images == evidence.images[row]) & (evidence.true_labels == label)
            for true in np.flatnonzero(same):
                other = evidence.true_boxes[true] + first
                width = min(box[2], other[2]) - max(box[0], other[0]) + 1
                height = min(box[3], other[3]) - max(box[1], other[1]) + 1
                if width > 0 and height > 0:
                    area, others = ((b[2] - b[0] + 1) * (b[3] - b[1] + 1) for b in (box, other))
                    overlap = width * height / (area + others - width * height)
                    if overlap > best:
                        best, which = overlap, int(true)
            if best < 0.5:
                outcomes.append(False)
            elif not difficult[which]:
                outcomes.append(which not in taken)
                taken.add(which)
        hits = np.cumsum(outcomes)
        recall = hits / positives
        precision = hits / np.arange(1, len(hits) + 1)
        if style == "2007":
            at = [max(precision[recall >= t / 10], default=0.0) for t in range(11)]
            means.append(sum(at) / 11)
        else:
            steps = np.diff(recall, prepend=0.0)
            means.append(sum(step * max(precision[n:]) for n, step in enumerate(steps)))
    return float(np.mean(means)) if means else float("nan")


@pytest.mark.parametrize(("style", "expected"), [("2007", 0.848485), ("area", 0.833333)])
def test_case_3_of_the_reference(style: Any, expected: float, by_hand: Make) -> None:
    for second in (NOWHERE, A):
        evidence = by_hand(([(A, 0.9), (second, 0.8), (B, 0.7)], [(A,), (B,)]))
        assert VocAP(style)(evidence) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), style=st.sampled_from(["2007", "area"]))
def test_value_is_the_devkits(seed: int, style: Any, draw_set: Make) -> None:
    evidence = draw_set(seed, images=5)
    expected = devkit(evidence, style)
    if np.isnan(expected):
        with pytest.raises(DataError, match="not defined"):
            VocAP(style)(evidence)
    else:
        assert VocAP(style)(evidence) == pytest.approx(expected, abs=1e-12)


def test_the_best_true_object_counts_even_if_taken(by_hand: Make) -> None:
    """COCO gives the second one the other object, which it overlaps less."""
    from harness_dense.coco_ap import CocoAP

    near = (30.0, 0.0, 130.0, 100.0)
    both = (10.0, 0.0, 110.0, 100.0)
    evidence = by_hand(([(A, 0.9), (both, 0.8)], [(A,), (near,)]))
    assert VocAP()(evidence) == 0.5
    assert CocoAP()(evidence)["AP50"] == pytest.approx(1)


def test_difficult_objects_count_neither_way(by_hand: Make) -> None:
    evidence = by_hand(([(A, 0.9), (B, 0.8)], [(A,), (B,)]))
    assert VocAP()(replace(evidence, true_ignored=[True, False])) == 1.0


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), style=st.sampled_from(["2007", "area"]))
def test_weights_are_a_set_with_repeated_images(seed: int, style: Any, draw_set: Make) -> None:
    evidence = draw_set(seed, distinct=True)
    counts = np.random.default_rng(seed).multinomial(8, np.ones(8) / 8)
    copies = np.repeat(np.arange(8), counts)
    repeated = evidence.select(copies, [f"{n}" for n in range(8)])
    value = VocAP(style).resampled(evidence, counts[None])[0]
    assert value == pytest.approx(devkit(repeated, style), abs=1e-12, nan_ok=True)
    tenths = VocAP(style).resampled(evidence, counts[None] * 0.1)[0]
    assert tenths == pytest.approx(value, abs=1e-12, nan_ok=True)


def test_styles() -> None:
    assert VocAP("2007").title != VocAP("area").title
    with pytest.raises(OptionError, match="style must be"):
        VocAP("2012")  # type: ignore[arg-type]
