"""The evidence `Detections`: kept whole, in the order of ids, and refused where it can't be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch

from harness import Boxes, DataError
from harness_dense.coco_ap import CocoAP
from harness_dense.contracts import Found
from harness_dense.detection_calibration import DetectionCalibration
from harness_dense.detections import Detections, order_ids
from harness_dense.gathering import FoundArrays, gather_detections, to_arrays
from harness_dense.mask_codes import encode_masks, fill_boxes, measure_areas, write_codes
from harness_dense.tide import TideErrors
from harness_dense.voc_ap import VocAP

Make = Callable[..., Detections]


def same(first: Detections, second: Detections) -> bool:
    pairs = [(getattr(first, f.name), getattr(second, f.name)) for f in fields(Detections)]
    return all(
        np.array_equal(a, b) if isinstance(a, np.ndarray) else list(a or ()) == list(b or ())
        for a, b in pairs
    )


def test_packing_keeps_everything(draw_set: Make) -> None:
    evidence = replace(draw_set(2), groups=["film"] * 8)
    packed = evidence.pack()
    json.dumps({name: part for name, part in packed.items() if not isinstance(part, np.ndarray)})
    assert same(Detections.unpack(packed), evidence)
    without = replace(evidence, masks=None, true_masks=None)
    assert Detections.unpack(without.pack()).masks is None


def test_images_stand_in_the_order_of_their_ids(draw_set: Make) -> None:
    evidence = draw_set(4, images=12)
    assert same(evidence.shuffled(1), evidence)
    assert evidence.ids[-1] == "11"
    assert order_ids(["10", "9", "b"]).tolist() == [0, 1, 2]
    assert order_ids(["10", "9"]).tolist() == [1, 0]


def test_columns_cannot_be_changed(draw_set: Make) -> None:
    with pytest.raises(ValueError, match="read-only"):
        draw_set(1).scores[0] = 2


def test_gathered_from_single_images() -> None:
    filled = fill_boxes(np.array([[2.0, 2, 6, 8]]), 10)
    found = Found(
        torch.tensor([[1.0, 1, 5, 7]]), torch.tensor([0.5]), torch.tensor([1]), torch.from_numpy(filled)
    )
    codes = write_codes(encode_masks(filled), (10, 10))
    nothing = FoundArrays([], [], [], [])
    truths = [
        Boxes(np.array([[2.0, 2, 6, 8]]), np.array([0]), masks=codes),
        Boxes(np.zeros((0, 4)), np.zeros(0, int)),
    ]
    evidence = gather_detections(
        ["b", "a"], ["x", "y"], [[10, 10], [10, 10]], [to_arrays(found), nothing], truths
    )
    assert evidence.ids == ("a", "b")
    assert evidence.offsets.tolist() == evidence.true_offsets.tolist() == [0, 0, 1]
    assert evidence.boxes.tolist() == [[1, 1, 5, 7]]
    assert evidence.masks == evidence.true_masks == [codes[0]["counts"]]
    assert evidence.true_areas.tolist() == [24]


def test_areas_are_those_given_else_of_masks_else_of_boxes() -> None:
    box = np.array([[0.0, 0, 5, 4]])
    codes = write_codes(encode_masks(fill_boxes(np.array([[0.0, 0, 3, 3]]), 10)), (10, 10))
    for truth, area in (
        (Boxes(box, np.array([0]), areas=np.array([7.0]), masks=codes), 7),
        (Boxes(box, np.array([0]), masks=codes), 9),
        (Boxes(box, np.array([0])), 20),
    ):
        evidence = gather_detections(["a"], ["x"], [[10, 10]], [FoundArrays([], [], [])], [truth])
        assert evidence.true_areas.tolist() == [area]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"ids": ["a", "a"]}, "two images have the id 'a'"),
        ({"scores": [0.5, np.nan]}, "image 'b': found object 0 has a score that is not finite"),
        (
            {"boxes": [[0, 0, 1, 1], [0, 0, np.inf, 1]]},
            "image 'b': found object 0 has a box that is not finite",
        ),
        ({"true_boxes": [[5, 0, 1, 1]]}, "image 'a': true object 0 has a box that ends before it begins"),
        ({"labels": [0, 2]}, "image 'b': found object 0 is of a class that is none of the 2"),
        ({"true_crowd": []}, "0 true_crowd where 1 are expected"),
        ({"offsets": [0, 2, 1]}, "offsets must rise from 0 to 2"),
        ({"masks": [b""]}, "1 masks where 2 are expected"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], says: str) -> None:
    columns: dict[str, Any] = {
        "ids": ["a", "b"],
        "class_names": ["x", "y"],
        "sizes": [[10, 10]] * 2,
        "offsets": [0, 1, 2],
        "boxes": [[0, 0, 1, 1]] * 2,
        "scores": [0.5, 0.5],
        "labels": [0, 1],
        "true_offsets": [0, 1, 1],
        "true_boxes": [[0, 0, 1, 1]],
        "true_labels": [1],
        "true_crowd": [False],
        "true_ignored": [False],
        "true_areas": [1.0],
    }
    assert len(Detections(**columns)) == 2
    with pytest.raises(DataError, match=says):
        Detections(**columns | changes)


def test_a_mask_of_another_size() -> None:
    codes = write_codes(encode_masks(np.ones((1, 4, 5), bool)), (4, 5))
    truth = Boxes(np.array([[0.0, 0, 5, 4]]), np.array([0]), masks=codes)
    with pytest.raises(DataError, match="image 'a': the mask of true object 0 is 4×5, the image 5×4"):
        gather_detections(["a"], ["x"], [[5, 4]], [FoundArrays([], [], [])], [truth])


def test_codes_are_pycocotools() -> None:
    from pycocotools import mask

    masks = np.random.default_rng(0).random((5, 13, 17)) < 0.5
    codes = write_codes(encode_masks(masks), (13, 17))
    assert measure_areas(codes).tolist() == masks.sum(axis=(1, 2)).tolist()
    np.testing.assert_array_equal(mask.decode(codes).transpose(2, 0, 1), masks)


@pytest.mark.parametrize(
    "metric", [CocoAP(), CocoAP("masks"), VocAP(), TideErrors(), TideErrors("masks"), DetectionCalibration()]
)
@pytest.mark.parametrize("true", [0, 1])
@pytest.mark.parametrize("crowd", [False, True])
@pytest.mark.parametrize("found", [0, 2])
def test_numbers_of_nearly_nothing(metric: Any, true: int, crowd: bool, found: int) -> None:
    """Without objects that count, or found ones, metrics have a number or one line."""
    box, code = np.array([[1.0, 1, 5, 5]]), encode_masks(fill_boxes(np.array([[1.0, 1, 5, 5]]), 8))
    truth = Boxes(
        np.repeat(box, true, axis=0), np.zeros(true, int), crowd=np.full(true, crowd),
        masks=[{"size": [8, 8], "counts": code[0]}] * true,
    )  # fmt: skip
    arrays = FoundArrays(np.repeat(box, found, axis=0), [0.9] * found, [0] * found, code * found)
    evidence = gather_detections(["a"], ["x", "y"], [(8, 8)], [arrays], [truth])
    calibrates = isinstance(metric, DetectionCalibration)
    if (found and not (true and crowd)) if calibrates else (true and not crowd):
        value = metric(evidence)
        assert np.isfinite(list(value.values()) if isinstance(value, dict) else value).all()
    else:
        with pytest.raises(DataError, match="not defined"):
            metric(evidence)
