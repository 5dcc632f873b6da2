"""Sets of detections, drawn and by hand, and pycocotools as the referee."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from harness import Boxes
from harness_dense.detections import Detections
from harness_dense.gathering import FoundArrays, gather_detections
from harness_dense.mask_codes import encode_masks, fill_boxes

SIDE = 42
SIZES = ("small", "medium", "large")
NUMBERS = ("AP", "AP50", "AP75", *(f"AP_{size}" for size in SIZES), "AR1", "AR10", "AR100")
NUMBERS += tuple(f"AR_{size}" for size in SIZES)

Box = tuple[float, float, float, float]
Item = tuple[Any, ...]


def draw_set(
    seed: int, images: int = 8, most: int = 6, classes: int = 3, distinct: bool = False
) -> Detections:
    """Boxes of whole pixels with masks, many of them close to true ones; crowds, ignored ones, empty images.

    Scores have one decimal, so that many are equal, unless they are `distinct`.
    """
    rng = np.random.default_rng(seed)

    def draw(count: int) -> np.ndarray:
        boxes = np.sort(rng.integers(0, SIDE - 2, (count, 2, 2)), axis=1).reshape(count, 4).astype(float)
        boxes[:, 2:] += 1
        return boxes

    there, found = rng.integers(0, most, images), rng.integers(0, most + 2, images)
    true_boxes, boxes = draw(there.sum()), draw(found.sum())
    true_labels, labels = (rng.integers(0, classes, count) for count in (there.sum(), found.sum()))
    true_images = np.repeat(np.arange(images), there)
    for row, image in enumerate(np.repeat(np.arange(images), found)):
        candidates = np.flatnonzero(true_images == image)
        if len(candidates) and rng.random() < 0.8:
            near = rng.choice(candidates)
            moved = np.clip(true_boxes[near] + rng.integers(-2, 3, 4), 0, SIDE - 1)
            boxes[row] = [*moved[:2], *np.maximum(moved[2:], moved[:2] + 1)]
            labels[row] = true_labels[near]
    count = len(true_labels)
    areas = np.where(
        rng.random(count) < 0.5,
        np.prod(true_boxes[:, 2:] - true_boxes[:, :2], axis=1),
        rng.choice([5.0, 1023, 1024, 1025, 9216, 9217], count),  # bounds of the ranges, too
    )
    scores = rng.permutation(len(labels)) / len(labels) if distinct else np.round(rng.random(len(labels)), 1)
    return Detections(
        ids=[f"{n}" for n in range(images)],
        class_names=[f"c{n}" for n in range(classes)],
        sizes=np.full((images, 2), SIDE),
        offsets=np.append(0, np.cumsum(found)),
        boxes=boxes,
        scores=scores,
        labels=labels,
        true_offsets=np.append(0, np.cumsum(there)),
        true_boxes=true_boxes,
        true_labels=true_labels,
        true_crowd=rng.random(count) < 0.15,
        true_ignored=rng.random(count) < 0.1,
        true_areas=areas,
        masks=encode_masks(fill_boxes(boxes, SIDE)),
        true_masks=encode_masks(fill_boxes(true_boxes, SIDE)),
    )


def referee(evidence: Detections, shape: str = "boxes") -> dict[str, float]:
    """The twelve numbers of pycocotools; categories have gaps, ignored objects are too large for any range."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def corner(box: Any) -> list[float]:
        return [float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1])]

    def outline(image: int, mask: bytes) -> dict[str, Any]:
        return {"segmentation": {"size": evidence.sizes[image].tolist(), "counts": mask}}

    images = [{"id": n + 1, "height": int(h), "width": int(w)} for n, (h, w) in enumerate(evidence.sizes)]
    categories = [{"id": 7 * n + 3} for n in range(len(evidence.class_names))]
    there, found = [], []
    for row, image in enumerate(evidence.true_images.tolist()):
        area = 1e11 if evidence.true_ignored[row] else float(evidence.true_areas[row])
        one = {"id": row + 1, "image_id": image + 1, "category_id": 7 * int(evidence.true_labels[row]) + 3}
        one |= {
            "bbox": corner(evidence.true_boxes[row]),
            "area": area,
            "iscrowd": int(evidence.true_crowd[row]),
        }
        there.append(one | (outline(image, evidence.true_masks[row]) if evidence.true_masks else {}))
    for row, image in enumerate(evidence.images.tolist()):
        one = {"image_id": image + 1, "category_id": 7 * int(evidence.labels[row]) + 3}
        one |= {"score": float(evidence.scores[row])}
        with_masks = shape == "masks" and evidence.masks is not None
        found.append(
            one
            | (outline(image, evidence.masks[row]) if with_masks else {"bbox": corner(evidence.boxes[row])})
        )
    with contextlib.redirect_stdout(io.StringIO()):
        truth, said = COCO(), COCO()
        truth.dataset = {"images": images, "categories": categories, "annotations": there}
        truth.createIndex()
        said.dataset = {"images": images, "categories": categories, "annotations": []}
        said.createIndex()
        evaluation = COCOeval(
            truth, truth.loadRes(found) if found else said, {"boxes": "bbox", "masks": "segm"}[shape]
        )
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {name: float(value) for name, value in zip(NUMBERS, evaluation.stats) if value > -1}


def by_hand(
    *images: tuple[Sequence[Item], Sequence[Item]], classes: int = 1, crowd: Sequence[Box] = ()
) -> Detections:
    """Evidence of images of 1000×1000 pixels: (box, score[, label]) found and (box[, label]) there, in each."""
    found, truths = [], []
    for said, there in images:
        labels = [one[2] if len(one) > 2 else 0 for one in said]
        found.append(FoundArrays([one[0] for one in said], [one[1] for one in said], labels))
        boxes = np.array([one[0] for one in there], float).reshape(-1, 4)
        true_labels = np.array([one[1] if len(one) > 1 else 0 for one in there], int)
        truths.append(Boxes(boxes, true_labels, crowd=np.array([one[0] in crowd for one in there], bool)))
    ids = [f"{n}" for n in range(len(images))]
    return gather_detections(
        ids, [f"c{n}" for n in range(classes)], [[1000, 1000]] * len(images), found, truths
    )


@pytest.fixture(name="draw_set", scope="session")
def draw_set_fixture() -> Callable[..., Detections]:
    return draw_set


@pytest.fixture(name="referee", scope="session")
def referee_fixture() -> Callable[..., dict[str, float]]:
    return referee


@pytest.fixture(name="by_hand", scope="session")
def by_hand_fixture() -> Callable[..., Detections]:
    return by_hand
