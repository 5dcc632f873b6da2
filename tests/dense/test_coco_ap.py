"""COCO's numbers: pycocotools' to the last digit, the reference's cases 1 to 9, and resampled sets (11)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_dense.coco_ap import CocoAP, list_class_ap
from harness_dense.detections import Detections

A, B, C = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (400.0, 0.0, 500.0, 100.0)
NOWHERE = (700.0, 700.0, 800.0, 800.0)
Make = Callable[..., Detections]

CASES: dict[str, tuple[list[Any], float]] = {
    "1: a false one above a right one": ([([(NOWHERE, 0.9), (A, 0.8)], [(A,)])], 0.5),
    "2: right, false, one of two found": ([([(A, 0.9), (NOWHERE, 0.8)], [(A,), (B,)])], 51 / 101),
    "3: right, false, right": ([([(A, 0.9), (NOWHERE, 0.8), (B, 0.7)], [(A,), (B,)])], (51 + 100 / 3) / 101),
    "3: right, again, right": ([([(A, 0.9), (A, 0.8), (B, 0.7)], [(A,), (B,)])], (51 + 100 / 3) / 101),
    "4: IoU 75/125": ([([((25.0, 0.0, 125.0, 100.0), 0.9)], [(A,)])], 0.3),
    "5: seven of ten": (
        [([(A, 1 - n / 100)] if n < 7 else [], [(A,)]) for n in range(10)],
        70 / 101,
    ),
    "6: no object has the id 0, all found": ([([(A, 0.9)], [(A,)])], 1.0),
    "8: a false one in an empty image": ([([(A, 0.8)], [(A,)]), ([(A, 0.9)], [])], 0.5),
    "8: that image dropped": ([([(A, 0.8)], [(A,)])], 1.0),
    "9: right at rank 100": ([([(NOWHERE, 1 - n / 200) for n in range(99)] + [(A, 0.1)], [(A,)])], 0.01),
    "9: right at rank 101": ([([(NOWHERE, 1 - n / 200) for n in range(100)] + [(A, 0.1)], [(A,)])], 0.0),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_of_the_reference(case: str, by_hand: Make, referee: Callable[..., dict[str, float]]) -> None:
    images, expected = CASES[case]
    evidence = by_hand(*images)
    assert CocoAP()(evidence)["AP"] == pytest.approx(expected, abs=1e-12)
    assert CocoAP()(evidence) == referee(evidence)


def test_crowds_take_any_number_and_count_neither_way(by_hand: Make) -> None:
    """Case 7."""
    inside = [((10.0, 10.0, 60.0, 60.0), 0.9), ((30.0, 30.0, 90.0, 90.0), 0.8)]
    image = ([*inside, (B, 0.7)], [(A,), (B,)])
    assert CocoAP()(by_hand(image, crowd=[A]))["AP"] == pytest.approx(1, abs=1e-12)
    assert CocoAP()(by_hand(image))["AP"] == pytest.approx(17 / 101)  # precision 1/3 up to recall 1/2


def test_a_hundred_objects_per_image_and_class(by_hand: Make) -> None:
    """Two hundred objects of two classes all count."""
    boxes = [(5.0 * n, 0.0, 5.0 * n + 4, 50.0) for n in range(200)]
    image = (
        [(box, 0.9, n % 2) for n, box in enumerate(boxes)],
        [(box, n % 2) for n, box in enumerate(boxes)],
    )
    assert CocoAP()(by_hand(image, classes=2))["AR100"] == 1.0


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.sampled_from(["boxes", "masks"]), data=st.data())
def test_all_numbers_are_pycocotools(
    seed: int, shape: Any, data: st.DataObject, draw_set: Make, referee: Callable[..., dict[str, float]]
) -> None:
    images, most = data.draw(st.integers(1, 10)), data.draw(st.integers(1, 9))
    evidence = draw_set(seed, images=images, most=most, classes=data.draw(st.integers(1, 4)))
    if len(evidence.true_labels):
        assert CocoAP(shape)(evidence) == referee(evidence, shape)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), shape=st.sampled_from(["boxes", "masks"]))
def test_weights_are_a_set_with_repeated_images(seed: int, shape: Any, draw_set: Make) -> None:
    """Case 11: weights of 1 give the numbers themselves, others those of a set with copies of images.

    Their scale does not matter, though tenths are not exact.
    """
    evidence = draw_set(seed, distinct=True)
    metric, rng = CocoAP(shape), np.random.default_rng(seed)
    if not len(evidence.true_labels):
        return
    images = len(evidence)
    weights = rng.multinomial(images, np.ones(images) / images, 3)
    values = metric.resampled(evidence, np.concatenate([np.ones((1, images), int), weights]))
    own = metric(evidence)
    assert values.keys() == own.keys()
    for name, number in own.items():
        assert values[name][0] == pytest.approx(number, abs=1e-12)
    tenths = metric.resampled(evidence, weights * 0.1)
    for row, counts in enumerate(weights, 1):
        copies = np.repeat(np.arange(images), counts)
        repeated = evidence.select(copies, [f"{n}" for n in range(len(copies))])
        expected = metric(repeated) if len(repeated.true_labels) else {}
        for name in own:
            assert values[name][row] == pytest.approx(expected.get(name, np.nan), abs=1e-12, nan_ok=True)
            assert tenths[name][row - 1] == pytest.approx(values[name][row], abs=1e-12, nan_ok=True)


def test_blocks_of_sets_change_nothing(draw_set: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness_dense import resampled_ap

    evidence = draw_set(3)
    weights = np.random.default_rng(0).integers(0, 3, (50, len(evidence)))
    whole = CocoAP().resampled(evidence, weights)
    monkeypatch.setattr(resampled_ap, "BLOCK", 1)
    for name, values in CocoAP().resampled(draw_set(3), weights).items():
        np.testing.assert_array_equal(values, whole[name])


def test_without_sizes_the_others_are_the_same(draw_set: Make) -> None:
    evidence, weights = draw_set(3), np.random.default_rng(0).integers(0, 3, (5, 8))
    whole, some = CocoAP()(evidence), CocoAP(sizes=False)(evidence)
    assert list(some) == ["AP", "AP50", "AP75", "AR1", "AR10", "AR100"]
    assert some.items() <= whole.items()
    values = CocoAP(sizes=False).resampled(evidence, weights)
    assert values.keys() == some.keys()
    for name, numbers in values.items():
        np.testing.assert_array_equal(numbers, CocoAP().resampled(evidence, weights)[name])


def test_order_of_images_does_not_matter(draw_set: Make) -> None:
    evidence = draw_set(5)  # with equal scores
    assert CocoAP()(evidence) == CocoAP()(evidence.shuffled(1))


def test_ap_of_classes(by_hand: Make) -> None:
    evidence = by_hand(([(A, 0.9, 0), (B, 0.9, 2)], [(A, 0), (B, 1)]), classes=3)
    assert list_class_ap(evidence) == pytest.approx({"c0": 1, "c1": 0}, abs=1e-12)


@pytest.mark.parametrize(
    "weights", [np.ones((2, 3)), np.full((1, 8), -1.0), np.full((1, 8), np.nan), np.ones(8)]
)
def test_weights_that_make_no_sense(weights: Any, draw_set: Make) -> None:
    with pytest.raises(DataError, match="weights"):
        CocoAP().resampled(draw_set(1), weights)


def test_what_is_missing(draw_set: Make, by_hand: Make) -> None:
    with pytest.raises(DataError, match="the found objects have none"):
        CocoAP("masks")(replace(draw_set(1), masks=None))
    with pytest.raises(DataError, match="no object"):
        CocoAP()(by_hand(([(A, 0.9)], [])))
    with pytest.raises(OptionError, match="iou must be"):
        CocoAP("bbox")  # type: ignore[arg-type]
