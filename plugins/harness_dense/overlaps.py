"""Intersections over unions of found and true objects of one image and class, to COCO's last digit."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_dense.detections import Detections
from harness_dense.mask_codes import measure_areas, write_codes

Shape = Literal["boxes", "masks"]

Integers = NDArray[np.int64]


class OverlapPairs(NamedTuple):
    """Pairs of a found and a true object: `found` and `true` are rows, `iou` their intersection over union."""

    found: Integers
    true: Integers
    iou: NDArray[np.float64]


def check_masks(detections: Detections, shape: Shape, metric: str) -> None:
    """Raise DataError, naming the metric, if masks are asked for and objects have none."""
    if shape == "masks":
        for side, masks in (("found", detections.masks), ("true", detections.true_masks)):
            if masks is None and len(detections.scores if side == "found" else detections.true_labels):
                raise DataError(
                    f"{metric}: masks are asked for, and the {side} objects have none: use iou='boxes'"
                )


def to_corner_and_size(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return boxes M×4 (left, top, right, bottom) as left, top, width, height."""
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def find_areas(detections: Detections, shape: Shape) -> NDArray[np.float64]:
    """Return the areas of found objects in pixels, P."""
    if shape == "boxes":
        sides = detections.boxes[:, 2:] - detections.boxes[:, :2]
        return np.asarray(sides[:, 0] * sides[:, 1])
    sizes = detections.sizes[detections.images].tolist()
    return measure_areas([{"size": size, "counts": one} for one, size in zip(detections.masks or (), sizes)])


def pair_up(found: Integers, true: Integers) -> tuple[Integers, Integers]:
    """Return all pairs of positions in two arrays, the second rising, whose values are equal, by the first position."""
    first, end = (np.searchsorted(true, found, side=side) for side in ("left", "right"))
    counts = end - first
    ends = np.cumsum(counts)
    rows = np.repeat(np.arange(len(found)), counts)
    return rows, np.arange(len(rows)) + np.repeat(first - ends + counts, counts)


def measure_box_overlaps(
    found: NDArray[np.float64], true: NDArray[np.float64], crowd: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the IoU of M pairs of boxes (left, top, width, height), in pycocotools' order of operations.

    With a crowd it is the intersection over the area of the found box.
    """
    sides = np.minimum(found[:, 2:] + found[:, :2], true[:, 2:] + true[:, :2])
    sides -= np.maximum(found[:, :2], true[:, :2])
    shared = sides[:, 0] * sides[:, 1]
    area = found[:, 2] * found[:, 3]
    union = np.where(crowd, area, area + true[:, 2] * true[:, 3] - shared)
    meet = (sides > 0).all(axis=1)
    return np.asarray(np.divide(shared, union, out=np.zeros(len(found)), where=meet))


def measure_mask_overlaps(
    detections: Detections, found: Integers, true: Integers, groups: Integers
) -> NDArray[np.float64]:
    """Return the IoU of pairs of masks: all pairs of a group of one image, one group after another, by found object.

    With a crowd it is the intersection over the area of the found mask.
    """
    from hotcoco import mask

    if detections.masks is None or detections.true_masks is None or not len(found):
        return np.zeros(len(found))
    images, overlaps = detections.true_images, []
    for rows in np.split(np.arange(len(found)), np.flatnonzero(np.diff(groups)) + 1):
        size = detections.sizes[images[true[rows[0]]]]
        columns = true[rows[found[rows] == found[rows[0]]]]
        left = write_codes([detections.masks[row] for row in dict.fromkeys(found[rows].tolist())], size)
        right = write_codes([detections.true_masks[row] for row in columns], size)
        overlaps.append(np.asarray(mask.iou(left, right, detections.true_crowd[columns].tolist())).ravel())
    return np.concatenate(overlaps)
