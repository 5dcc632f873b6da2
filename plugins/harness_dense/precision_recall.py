"""Precision at COCO's 101 recalls from stored matches, in pycocotools' order of operations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_dense.detections import Detections
from harness_dense.matching import AREAS, AT_AREA, CELLS, RECALLS, THRESHOLDS, Matches, match_objects
from harness_dense.overlaps import Shape

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

FEWER: tuple[int, ...] = (1, 10)
"""Objects per image and class of the smaller average recalls."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The E places at which curves of precision over recall change, in cells of threshold, area and class.

    Cells are numbered (t·A + a)·C + c, and `cells` E rise. `places` E are positions among the D found objects of
    `Matches`, rising within a cell, and `images` E theirs. `hit` E tells whether the object hits: else it matches
    something that does not count, though its own area does. `change` E corrects the number of objects so far that
    count, which is that of the objects whose own area is in range: +1 for a hit outside, −1 for what does not count.
    `right` E are the hits so far, `total` E the objects so far that count. `starts` are where cells begin in E;
    `counted` A×C the numbers of true objects.
    """

    matches: Matches
    cells: Integers
    places: Integers
    images: Integers
    hit: NDArray[np.bool_]
    change: Integers
    right: Integers
    total: Integers
    starts: Integers
    counted: Integers


def list_hits(detections: Detections, shape: Shape = "boxes") -> Hits:
    """Return the places at which precision changes; they are computed once."""

    def make() -> Hits:
        matches, classes = match_objects(detections, shape), len(detections.class_names)
        counted = np.array(
            [np.bincount(detections.true_labels[c], minlength=classes) for c in matches.counted.T]
        )
        inside = matches.in_range[matches.places]
        label = matches.labels[matches.places]
        relevant = matches.hit | matches.spared & _set_bits(inside)
        relevant &= _set_bits((counted > 0).T[label])
        columns = [np.flatnonzero(relevant >> np.uint64(n) & np.uint64(1)) for n in range(len(CELLS))]
        m, bit = np.concatenate(columns), np.repeat(np.arange(len(CELLS)), [len(one) for one in columns])
        cells = bit * classes + label[m]
        hit = (matches.hit[m] >> bit.astype(np.uint64) & np.uint64(1)).astype(bool)
        starts = np.flatnonzero(np.diff(cells, prepend=-1))
        area, places = bit % len(AREAS), matches.places[m]
        change = hit.astype(np.int64) - inside[m, area]
        so_far = np.zeros((len(matches.labels) + 1, len(AREAS)), np.int64)
        np.cumsum(matches.in_range, axis=0, out=so_far[1:])
        before = np.searchsorted(matches.labels, np.arange(classes))[label[m]]
        total = so_far[places + 1, area] - so_far[before, area] + _sum_so_far(change, starts)
        return Hits(
            matches=matches,
            cells=cells,
            places=places,
            images=matches.images[places],
            hit=hit,
            change=change,
            right=_sum_so_far(hit, starts),
            total=total,
            starts=starts,
            counted=counted,
        )

    return detections.keep(f"hits_{shape}", make)


@dataclass(frozen=True, eq=False)
class PrecisionCurves:
    """Precision T×A×C×101 at the recalls, and the recalls that are reached: T×A×C, and 2×T×C by the best 1 and 10.

    −1 where a class has no true object that counts.
    """

    precision: Floats
    recall: Floats
    recall_of_fewer: Floats


def measure_curves(detections: Detections, shape: Shape = "boxes") -> PrecisionCurves:
    """Return precision and recall; they are computed once."""
    return detections.keep(f"curves_{shape}", lambda: _draw_curves(list_hits(detections, shape)))


def _draw_curves(hits: Hits) -> PrecisionCurves:
    matches, classes = hits.matches, hits.counted.shape[1]
    cell_shape = (len(THRESHOLDS), len(AREAS), classes)
    area = hits.cells // max(classes, 1) % len(AREAS)
    label = hits.cells % max(classes, 1)
    precision = hits.right / (hits.total + np.spacing(1))
    ends = np.append(hits.starts, len(precision))[1:]
    for start, end in zip(hits.starts.tolist(), ends.tolist()):
        backwards = precision[start:end][::-1]
        np.maximum.accumulate(backwards, out=backwards)

    present = hits.counted > 0
    recall = hits.right / hits.counted[area, label]
    passed = np.searchsorted(RECALLS, recall, side="right")
    before = np.append(0, passed[:-1])
    before[hits.starts] = 0
    found = np.broadcast_to(np.where(present, 0.0, -1.0), cell_shape)
    at_recalls = np.repeat(found[..., None], len(RECALLS), axis=-1)
    reached = np.where(present, np.zeros(cell_shape), -1.0)
    last = ends - 1
    reached.reshape(-1)[hits.cells[last]] = recall[last]
    how_many = np.zeros(reached.size, np.int64)
    how_many[hits.cells[last]] = passed[last]
    filled = np.arange(len(RECALLS)) < how_many[:, None]
    at_recalls.reshape(filled.shape)[filled] = np.repeat(precision, passed - before)

    fewer = np.full((len(FEWER), len(THRESHOLDS), classes), -1.0)
    whole = (area == 0) & hits.hit
    for row, most in enumerate(FEWER):
        chosen = hits.cells[whole & (matches.ranks[hits.places] < most)]
        counts = np.bincount(chosen, minlength=reached.size).reshape(cell_shape)[:, 0]
        fewer[row] = np.where(present[0], counts / np.maximum(hits.counted[0], 1), -1.0)
    return PrecisionCurves(at_recalls, reached, fewer)


def _sum_so_far(values: NDArray[Any], starts: Integers) -> Integers:
    """Return the sum of the values up to each place since its part began."""
    running = np.cumsum(values, dtype=np.int64)
    lengths = np.diff(np.append(starts, len(values)))
    return np.asarray(running - np.repeat(running[starts] - values[starts], lengths))


def _set_bits(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """Return sets of cells with all thresholds of the ranges of area that are set, from flags M×4."""
    table = np.array([sum(int(AT_AREA[a]) for a in range(4) if n >> a & 1) for n in range(16)], np.uint64)
    return np.asarray(table[flags @ np.array([1, 2, 4, 8])])
