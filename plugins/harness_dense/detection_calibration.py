"""Calibration of a detector's scores: whether they are the precision that they promise."""

from __future__ import annotations

from typing import NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError, OptionError
from harness_dense.detections import Detections
from harness_dense.matching import match_objects
from harness_dense.overlaps import Shape, check_masks
from harness_dense.weighted_curves import check_weights

Floats = NDArray[np.float64]


class DetectionCalibration:
    """Detection ECE (Küppers et al. 2020, of scores alone): mean over found objects of |precision − score| per bin.

    Precision is that at IoU .5, of the hundred best objects of an image and class; what matches crowds or ignored
    objects does not count. Bins of scores have equal width, and each counts by its objects.

    Args:
        bins: number of bins, at least 1.
        iou: overlap of "boxes" or of "masks".
    """

    title = "Detection ECE"
    higher_is_better = False
    unit = "fraction"
    bounds = (0.0, 1.0)

    def __init__(self, bins: int = 10, iou: Shape = "boxes") -> None:
        if bins < 1:
            raise OptionError(f"detection-calibration: bins must be at least 1, got {bins}")
        if iou not in get_args(Shape):
            raise OptionError(f"detection-calibration: iou must be 'boxes' or 'masks', got {iou!r}")
        self.bins, self.iou = bins, iou

    def __call__(self, detections: Detections) -> float:
        """Return the error. Raises DataError if nothing is found, or scores are no probabilities."""
        value = float(self.resampled(detections, np.ones((1, len(detections))))[0])
        if np.isnan(value):
            raise DataError("detection-calibration: nothing that counts was found, so it is not defined")
        return value

    def resampled(self, detections: Detections, weights: ArrayLike) -> Floats:
        """Return the error on R sets in which image n counts `weights[r, n]` times; NaN if nothing is found."""
        columns = check_weights(detections, weights)
        bins = sum_by_score(detections, self.bins, self.iou)
        found, scores, right = (columns.T @ part for part in bins)
        total = found.sum(axis=1)
        gaps: Floats = np.abs(right - scores).sum(axis=1)
        errors: Floats = np.divide(gaps, total, out=np.full(len(total), np.nan), where=total > 0)
        return errors


class ScoreBins(NamedTuple):
    """Found objects, sum of their scores, and hits, of N images in B bins of scores: N×B each."""

    found: Floats
    scores: Floats
    right: Floats


def sum_by_score(detections: Detections, bins: int = 10, shape: Shape = "boxes") -> ScoreBins:
    """Return what each image adds to bins of scores of equal width; precision of a bin is its hits by its count.

    Raises DataError, naming the image, for scores outside [0, 1], and if masks are missing.
    """
    check_masks(detections, shape, "detection-calibration")
    outside = (detections.scores < 0) | (detections.scores > 1)
    if outside.any():
        row = int(outside.argmax())
        image = detections.ids[int(detections.images[row])]
        raise DataError(
            f"detection-calibration: image '{image}' has a score of {detections.scores[row]:g}: expected [0, 1]"
        )
    matches = match_objects(detections, shape)
    hit, counts = np.zeros(len(matches.rows), bool), np.ones(len(matches.rows), bool)
    hit[matches.places] = (matches.hit & np.uint64(1)) > 0
    counts[matches.places] = (matches.spared & np.uint64(1)) == 0
    scores = detections.scores[matches.rows]
    place = matches.images * bins + np.minimum((scores * bins).astype(np.int64), bins - 1)
    size, shape_of = len(detections) * bins, (len(detections), bins)
    columns = (np.ones(len(scores)), scores, hit.astype(float))
    found, summed, right = (
        np.bincount(place[counts], column[counts], size).astype(float).reshape(shape_of) for column in columns
    )
    return ScoreBins(found, summed, right)
