"""ImageHits, misses and false alarms of each image at one score and one overlap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness_dense.detections import Detections

OVERLAP = 0.5
"""Least intersection over union of a hit."""

HIT, FALSE_ALARM, SPARED, HIDDEN = 1, 0, -1, -2
"""What a found object is: `SPARED` lies on a crowd or on what counts neither way, `HIDDEN` has too low a score."""


@dataclass(frozen=True)
class ImageHits:
    """`found` P: one of `HIT`, `FALSE_ALARM`, `SPARED`, `HIDDEN`; `missed` G, whether a true object is not found."""

    found: NDArray[np.int8]
    missed: NDArray[np.bool_]


def count_hits(detections: Detections, score: float) -> ImageHits:
    """Match objects of at least a score with the true ones of their class, by boxes, those with high scores first.

    Each takes the free true object that it overlaps most, by at least half.
    """
    found = np.full(len(detections.scores), HIDDEN, np.int8)
    spared = detections.true_crowd | detections.true_ignored
    missed = ~spared
    for n in range(len(detections)):
        true = np.arange(detections.true_offsets[n], detections.true_offsets[n + 1])
        rows = np.arange(detections.offsets[n], detections.offsets[n + 1])
        rows = rows[detections.scores[rows] >= score]
        for row in rows[np.argsort(-detections.scores[rows], kind="stable")]:
            same = true[detections.true_labels[true] == detections.labels[row]]
            shared, union = _overlap(detections.boxes[row], detections.true_boxes[same])
            iou = shared / np.maximum(union, 1e-12)
            free = missed[same]
            found[row] = FALSE_ALARM
            if (free & (iou >= OVERLAP)).any():
                missed[same[np.argmax(np.where(free, iou, -1))]] = False
                found[row] = HIT
            elif (spared[same] & _lies_on(detections, row, same, shared, iou)).any():
                found[row] = SPARED
    return ImageHits(found, missed)


def sum_by_image(values: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many of the objects of each image are marked."""
    return np.diff(np.append(0, np.cumsum(values))[offsets])


def _lies_on(
    detections: Detections,
    row: int,
    same: NDArray[np.int64],
    shared: NDArray[np.float64],
    iou: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Return on which true objects a found one lies: with half of its own area on a crowd, by IoU on others."""
    sides = detections.boxes[row, 2:] - detections.boxes[row, :2]
    own = shared / max(float(sides[0] * sides[1]), 1e-12)
    return np.asarray(np.where(detections.true_crowd[same], own, iou) >= OVERLAP)


def _overlap(
    box: NDArray[np.float64], others: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas of intersection and union of a box and M others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    return shared, np.prod(box[2:] - box[:2]) + np.prod(others[:, 2:] - others[:, :2], axis=1) - shared
