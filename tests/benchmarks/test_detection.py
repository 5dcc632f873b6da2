"""COCO's numbers against the fastest kept library, and a thousand resampled sets against one evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness_dense.coco_ap import CocoAP
from harness_dense.detections import Detections
from harness_dense.matching import match_objects

CLASSES, THERE, FOUND = 80, 7, 30


def draw(images: int) -> dict[str, Any]:
    """Columns of images with 7 objects and 30 found, most of them near one; nearer ones have higher scores."""
    rng = np.random.default_rng(0)
    count, true_count = images * FOUND, images * THERE
    corner = rng.uniform(0, 380, (true_count, 2))
    true_boxes = np.concatenate(
        [corner, corner + np.exp(rng.uniform(np.log(8), np.log(250), (true_count, 2)))], 1
    )
    true_labels = rng.integers(0, CLASSES, true_count)
    source = np.repeat(np.arange(images), FOUND) * THERE + rng.integers(0, THERE, count)
    near = true_boxes[source]
    boxes = near + rng.normal(0, 0.06, (count, 4)) * np.tile(near[:, 2:] - near[:, :2], 2)
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 2)
    columns: dict[str, Any] = {
        "ids": [f"{n}" for n in range(images)],
        "class_names": [f"c{n}" for n in range(CLASSES)],
        "sizes": np.full((images, 2), 640),
        "offsets": np.arange(images + 1) * FOUND,
        "boxes": boxes,
        "scores": rng.random(count),
        "labels": np.where(rng.random(count) < 0.7, true_labels[source], rng.integers(0, CLASSES, count)),
        "true_offsets": np.arange(images + 1) * THERE,
        "true_boxes": true_boxes,
        "true_labels": true_labels,
        "true_crowd": np.zeros(true_count, bool),
        "true_ignored": np.zeros(true_count, bool),
        "true_areas": np.prod(true_boxes[:, 2:] - true_boxes[:, :2], axis=1),
    }
    matches = match_objects(Detections(**columns))
    quality = np.zeros(count)
    quality[matches.rows[matches.places]] = [int(bits).bit_count() / 8 for bits in matches.hit]
    columns["scores"] = 1 / (1 + np.exp(1.5 - quality - rng.normal(0, 1, count)))
    return columns


def hotcoco_evaluation(columns: dict[str, Any], images: int) -> list[float]:
    """The library's fastest way from the same arrays to COCO's numbers."""
    import hotcoco

    def corner(boxes: np.ndarray) -> np.ndarray:
        return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)

    truth = hotcoco.COCO.from_arrays(
        [{"id": n + 1, "height": 640, "width": 640} for n in range(images)],
        [{"id": n + 1, "name": name} for n, name in enumerate(columns["class_names"])],
        np.repeat(np.arange(images), THERE) + 1,
        columns["true_labels"] + 1,
        corner(columns["true_boxes"]),
        area=columns["true_areas"],
    )
    image = np.repeat(np.arange(images), FOUND) + 1
    said = np.c_[image, corner(columns["boxes"]), columns["scores"], columns["labels"] + 1]
    evaluation = hotcoco.COCOeval(truth, truth.load_res(said), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.summarize()
    return [float(value) for value in evaluation.stats]


def test_evaluation_is_as_fast_as_the_fastest_library(measuring: bool, ratio: Callable[..., float]) -> None:
    """hotcoco 1.3, which is faster than faster-coco-eval 1.8; from the same arrays, evidence included."""
    images = 1000 if measuring else 50
    columns = draw(images)
    assert list(CocoAP()(Detections(**columns)).values()) == hotcoco_evaluation(columns, images)
    if measuring:
        found = ratio(lambda: CocoAP()(Detections(**columns)), lambda: hotcoco_evaluation(columns, images), 7)
        assert found < 1


def test_thousand_resampled_sets_cost_less_than_ten_evaluations(
    measuring: bool, ratio: Callable[..., float]
) -> None:
    """AP, AP50, AP75 and recalls; with the numbers by size it takes twice as long."""
    images, sets = (1000, 1000) if measuring else (50, 20)
    evidence, metric = Detections(**draw(images)), CocoAP(sizes=False)
    weights = np.random.default_rng(1).multinomial(images, np.full(images, 1 / images), sets)
    values = metric.resampled(evidence, weights)
    assert all(abs(values[name].mean() - number) < 0.1 for name, number in metric(evidence).items())
    if measuring:
        found = ratio(lambda: metric.resampled(evidence, weights), lambda: CocoAP()(replace(evidence)), 5)
        assert found < 10
