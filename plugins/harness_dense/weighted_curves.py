"""Average precision where each image counts a number of times, for many sets of such weights at once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_dense.detections import Detections

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

Points = Literal[11, 101, "all"]
"""Recalls at which precision is averaged: 0, .1 … 1; 0, .01 … 1; or all, which is the area under the curve."""

BLOCK = 2**20
"""About how many numbers an array of places and sets holds."""


def check_weights(detections: Detections, weights: NDArray[np.generic]) -> Floats:
    """Return weights R×N of images as N×R floats. Raises DataError unless they are some, finite and not negative."""
    if weights.ndim != 2 or weights.shape[1] != len(detections):
        raise DataError(f"weights must be R×{len(detections)}, one per image, got the shape {weights.shape}")
    columns = np.ascontiguousarray(weights.T, np.float64)
    if not (np.isfinite(columns).all() and (columns >= 0).all()):
        raise DataError("weights of images must be finite and not negative")
    return columns


def narrow_weights(columns: Floats, objects: Integers) -> NDArray[np.floating]:
    """Return weights N×R as float32, which is faster, if they are integers whose sums it holds exactly."""
    exact = np.array_equal(columns, np.floor(columns)) and bool(np.all(objects @ columns < 2**24))
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
    hit: NDArray[np.bool_], images: Integers, true_images: Integers, weights: Floats, points: Points
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
        [_measure(hit, images, true_images, np.ascontiguousarray(p), points) for p in parts]
    )


def _measure(
    hit: NDArray[np.bool_], images: Integers, true_images: Integers, weights: Floats, points: Points
) -> Floats:
    true = weights[true_images].sum(axis=0)
    places = np.flatnonzero(hit)
    if not len(places):
        return np.where(true > 0, 0.0, np.nan)
    right = add_up(np.ones(len(places)), images[places], np.arange(1, len(places) + 1), weights)
    total = add_up(np.ones(len(hit)), images, places + 1, weights)
    precision = right / np.maximum(total, np.finfo(np.float32).tiny)  # where it is 0, so is `right`
    best = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
    recall = right / np.where(true > 0, true, 1.0)
    if points == "all":
        gained, count = np.diff(recall, axis=0, prepend=0.0), 1
    else:
        grid = np.arange(11) / 10 if points == 11 else np.linspace(0.0, 1.0, 101)
        passed = np.searchsorted(grid, recall, side="right")
        gained, count = np.diff(passed, axis=0, prepend=0), points
    return np.where(true > 0, (best * gained).sum(axis=0) / count, np.nan)
