"""Average precision where each image counts a number of times, for many sets of such weights at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError
from harness_dense.detections import Detections

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

Points = Literal[11, 101, "all"]
"""Recalls at which precision is averaged: 0, .1 … 1; 0, .01 … 1; or all, which is the area under the curve."""

BLOCK = 2**20
"""About how many numbers an array of places and sets holds."""


def check_weights(detections: Detections, weights: ArrayLike) -> NDArray[np.floating]:
    """Return weights R×N of images as N×R; as float32, which is faster, if sums of them over objects are exact.

    Raises DataError, unless they are one per image, finite and not negative.
    """
    weights = np.asarray(weights)
    if weights.ndim != 2 or weights.shape[1] != len(detections):
        raise DataError(f"weights must be R×{len(detections)}, one per image, got the shape {weights.shape}")
    columns = np.ascontiguousarray(weights.T, np.float64)
    if not (np.isfinite(columns).all() and (columns >= 0).all()):
        raise DataError("weights of images must be finite and not negative")
    whole = np.array_equal(columns, np.floor(columns))
    exact = whole and bool(np.all(np.diff(detections.offsets) @ columns < 2**24))
    return columns.astype(np.float32) if exact else columns


def add_up(
    values: NDArray[Any], images: Integers, ends: Integers, weights: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Return the sums of values M, weighted by their images', over the first ends[i] of them: a row for each i."""
    from scipy.sparse import csr_matrix

    shape = (len(ends), len(weights))
    steps = csr_matrix((values.astype(weights.dtype), images, np.append(0, ends)), shape=shape)
    return add_up_rows(steps @ weights)


def add_up_rows(rows: NDArray[Any]) -> NDArray[Any]:
    """Return the rows, each of which is made the sum of those up to it."""
    for above, row in pairwise(rows):
        np.add(above, row, out=row)
    return rows


def measure_average_precision(
    hit: NDArray[np.bool_],
    images: Integers,
    true_images: Integers,
    weights: NDArray[np.floating],
    points: Points,
) -> Floats:
    """Return the average precision of one class for weights N×R of images, R; NaN without true objects.

    Precision at a recall is the best at that recall or beyond.

    Args:
        hit: whether each found object hits, M in falling order of scores.
        images: their images, M.
        true_images: the images of the true objects, G.
    """
    step = max(BLOCK // (int(hit.sum()) + 1), 1)
    parts = [weights[:, start : start + step] for start in range(0, weights.shape[1], step)]
    return np.concatenate(
        [_average_block(hit, images, true_images, np.ascontiguousarray(p), points) for p in parts]
    )


def _average_block(
    hit: NDArray[np.bool_],
    images: Integers,
    true_images: Integers,
    weights: NDArray[np.floating],
    points: Points,
) -> Floats:
    true = weights[true_images].sum(axis=0, dtype=np.float64)
    places = np.flatnonzero(hit)
    if not len(places):
        return np.where(true > 0, 0.0, np.nan)
    ends = np.flatnonzero(
        hit & ~np.append(hit[1:], False)
    )  # where only a hit follows, precision is better after it
    right = add_up(np.ones(len(places)), images[places], np.searchsorted(places, ends, side="right"), weights)
    total = add_up(np.ones(len(hit)), images, ends + 1, weights)
    np.maximum(total, np.finfo(np.float32).tiny, out=total)  # where it is 0, so is `right`
    best = np.divide(right, total, dtype=np.float64)
    for below, row in pairwise(best[::-1]):
        np.maximum(below, row, out=row)
    recall: Floats = np.divide(right, np.where(true > 0, true, 1.0), dtype=np.float64)
    if points != "all" and right.dtype == np.float64:
        recall = snap_to_hundredths(recall)
    if points == "all":
        passed, count = recall, 1
    elif points == 101:
        passed, count = count_passed(recall), points
    else:
        passed, count = np.searchsorted(np.arange(11) / 10, recall, side="right").astype(float), points
    gained = np.diff(passed, axis=0, prepend=0.0)
    return np.where(true > 0, np.einsum("ij,ij->j", best, gained) / count, np.nan)


def count_passed(recall: Floats, last: Floats | None = None, threshold: Floats | None = None) -> Floats:
    """Return how many of COCO's 101 recalls are at most each recall: what `searchsorted` finds, but faster.

    It is exact. The result is `last`, if that is given; `threshold` is overwritten.
    """
    last = np.multiply(recall, 100, out=last)
    last += 1e-9
    np.floor(last, out=last)
    last += recall >= np.multiply(
        last, 0.01, out=threshold
    )  # `linspace` makes the same products, to the last bit
    return last


def snap_to_hundredths(recall: Floats) -> Floats:
    """Return recalls, those that only rounding of weights that are no integers keeps from a hundredth set to it."""
    hundredths = np.rint(recall * 100)
    return np.where(np.abs(recall * 100 - hundredths) < 1e-9, hundredths / 100, recall)
