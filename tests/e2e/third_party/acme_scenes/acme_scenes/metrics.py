"""Metrics of their evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from acme_scenes import evidence
from acme_scenes.evidence import Detections

if TYPE_CHECKING:
    from acme_scenes.evidence import Descriptions


class BoxRecall:
    """Share of the true boxes that a box of their label overlaps.

    Args:
        overlap: intersection over union from which a box counts as found.
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, overlap: float = 0.5) -> None:
        self.overlap = overlap

    def __call__(self, detections: Detections) -> float:
        """Over all images together."""
        hits = [
            any(
                label == other and _iou(box, mine) >= self.overlap
                for mine, other in zip(found["boxes"], found["labels"], strict=True)
            )
            for found, target in zip(detections.found, detections.targets, strict=True)
            for box, label in zip(target.boxes, target.labels, strict=True)
        ]
        return float(np.mean(hits))


def _iou(one: Any, other: Any) -> float:
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.clip(sides, 0, None)))
    return shared / float(np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared)


class ExactCaption:
    """Share of images of which one of the captions was said."""

    reads = (evidence.Descriptions,)
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __call__(self, descriptions: Descriptions) -> float:
        """The mean of `per_sample`."""
        return float(self.per_sample(descriptions).mean())

    def per_sample(self, descriptions: Descriptions) -> np.ndarray[Any, Any]:
        """1 where a caption was met, else 0."""
        pairs = zip(descriptions.said, descriptions.targets, strict=True)
        return np.array([float(said in captions) for said, captions in pairs])
