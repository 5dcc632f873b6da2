"""COCO's numbers on resampled sets of images, from stored matches: image n counts a given number of times.

Arrays have one row per place of a curve and one column per resampled set, so that all steps but the two running ones
(sums, and the best precision from here on) work on whole blocks; those go row by row.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness_dense.detections import Detections
from harness_dense.matching import AREAS, RECALLS, THRESHOLDS
from harness_dense.overlaps import Shape
from harness_dense.precision_recall import FEWER, Hits, list_hits
from harness_dense.weighted_curves import (
    BLOCK,
    add_up_rows,
    check_weights,
    count_passed,
    snap_to_hundredths,
)

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def resample_curves(
    detections: Detections, shape: Shape, weights: ArrayLike, sizes: bool = True
) -> dict[str, Floats]:
    """Return COCO's numbers for weights R×N of N images, R each; NaN where no object of a set counts.

    A number that the set itself lacks is left out, as are those by size without `sizes`. Raises DataError for weights
    of another shape, or that are negative or not finite.
    """
    columns = check_weights(detections, weights)
    sums = _Sums.start(columns.shape[1])
    hits, space = list_hits(detections, shape), _Space()
    for one in _sort_by_class(hits, detections, columns.dtype, len(AREAS) if sizes else 1):
        step = max(BLOCK // (one.longest + 1), 16)
        for start in range(0, columns.shape[1], step):
            sets = slice(start, start + step)
            one.add(np.ascontiguousarray(columns[:, sets]), sums, sets, space)
    known = (hits.counted.sum(axis=1) > 0) & (sizes | (np.arange(len(AREAS)) == 0))
    return sums.summarise(known)


class _Space:
    """Arrays that are used again and again: new ones cost more than what is computed in them."""

    def __init__(self) -> None:
        self._arrays: dict[str, NDArray[Any]] = {}

    def lend(self, name: str, shape: tuple[int, int], dtype: Any) -> NDArray[Any]:
        """Return the array of a name in a shape, with any content."""
        size = shape[0] * shape[1]
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.empty(size, dtype)
        return self._arrays[name][:size].reshape(shape)


@dataclass
class _Sums:
    """Sums over classes for R sets: of AP T×A×R, of recall A×R and 2×R, and the number of classes A×R."""

    ap: Floats
    recall: Floats
    recall_of_fewer: Floats
    classes: Floats

    @classmethod
    def start(cls, sets: int) -> _Sums:
        areas = len(AREAS)
        shapes = ((len(THRESHOLDS), areas, sets), (areas, sets), (len(FEWER), sets), (areas, sets))
        return cls(*(np.zeros(shape) for shape in shapes))

    def summarise(self, known: NDArray[np.bool_]) -> dict[str, Floats]:
        classes = np.where(self.classes > 0, self.classes, np.nan)
        ap, recall = self.ap / classes, self.recall / classes / len(THRESHOLDS)
        numbers = {"AP": ap[:, 0].mean(axis=0), "AP50": ap[0, 0], "AP75": ap[THRESHOLDS == 0.75, 0][0]}
        numbers |= {f"AP_{size}": ap[:, a].mean(axis=0) for a, size in enumerate(AREAS) if a}
        fewer = self.recall_of_fewer / classes[0] / len(THRESHOLDS)
        numbers |= {f"AR{most}": fewer[row] for row, most in enumerate(FEWER)}
        numbers |= {"AR100": recall[0]} | {f"AR_{size}": recall[a] for a, size in enumerate(AREAS) if a}
        size_of = {name: a for a, size in enumerate(AREAS) if a for name in (f"AP_{size}", f"AR_{size}")}
        return {name: values for name, values in numbers.items() if known[size_of.get(name, 0)]}


@dataclass(frozen=True)
class _Cell:
    """A curve of a class at one threshold: `rows` of the class's `right`, and the rows of `found` that they end at."""

    threshold: int
    area: int
    rows: slice
    found: Integers
    changes: Any
    """L×N, corrections of the number found in steps; None if there are none."""
    beyond: list[Integers]
    """Images of the hits beyond the best one and ten, which smaller recalls leave out."""


@dataclass(frozen=True)
class _Class:
    """What a class contributes, as sparse matrices of steps over images, and its curves.

    `true` 4×N are its true objects that count, by range of area; `found` 4 times L×N the found objects of a range, in
    steps up to each place at which a curve may have its best precision; `right` L×N the hits between such places.
    """

    true: Any
    found: list[Any]
    right: Any
    cells: list[_Cell]
    longest: int

    def add(self, weights: NDArray[np.floating], sums: _Sums, sets: slice, space: _Space) -> None:
        """Add what the class contributes to some of the sets, with the weights N×R of those."""
        true = np.asarray(self.true @ weights, np.float64)
        sums.classes[:, sets] += true > 0
        true[true == 0] = 1  # nothing is hit there either
        right = self.right @ weights
        found = [add_up_rows(steps @ weights) for steps in self.found]
        for cell in self.cells:
            so_far = add_up_rows(right[cell.rows])
            total = space.lend("total", so_far.shape, so_far.dtype)
            np.take(found[cell.area], cell.found, axis=0, out=total, mode="clip")
            if cell.changes is not None:
                total += add_up_rows(cell.changes @ weights)
            reached = so_far[-1] / true[cell.area]
            sums.recall[cell.area, sets] += reached
            if cell.area == 0:
                for row, images in enumerate(cell.beyond):
                    less = weights[images].sum(axis=0, dtype=np.float64) / true[0]
                    sums.recall_of_fewer[row, sets] += reached - less
            sums.ap[cell.threshold, cell.area, sets] += _average_precision(
                so_far, total, true[cell.area], space
            )


def _sort_by_class(hits: Hits, detections: Detections, dtype: np.dtype[Any], ranges: int) -> Iterator[_Class]:
    """Yield the classes that have an object that counts, with the first so many ranges of area."""
    matches, classes, images = hits.matches, len(detections.class_names), len(detections)
    kinds = len(THRESHOLDS) * len(AREAS)
    same_cell = np.diff(hits.cells, append=-1) == 0
    # where only a hit follows, precision is better after it
    is_end = ~(np.append(hits.hit[1:], False) & (np.diff(hits.total, append=0) == 1) & same_cell)
    key = hits.cells % max(classes, 1) * kinds + hits.cells // max(classes, 1)
    order = np.argsort(key, kind="stable")
    bounds = np.searchsorted(key[order], np.arange(classes * kinds + 1))
    firsts = np.searchsorted(matches.labels, np.arange(classes + 1))
    true_images, true_order = detections.true_images, np.argsort(detections.true_labels, kind="stable")
    true_bounds = np.searchsorted(detections.true_labels[true_order], np.arange(classes + 1))

    def write(values: NDArray[Any], of: Integers, ends: Integers) -> Any:
        from scipy.sparse import csr_matrix

        return csr_matrix((values.astype(dtype), of, np.append(0, ends)), shape=(len(ends), images))

    for label in range(classes):
        own = true_order[true_bounds[label] : true_bounds[label + 1]]
        rows, areas = np.nonzero(matches.counted[own])
        by_area = np.argsort(areas, kind="stable")
        ends = np.cumsum(np.bincount(areas, minlength=len(AREAS)))
        if not len(rows):
            continue
        true = write(np.ones(len(rows)), true_images[own[rows[by_area]]], ends)
        whole = order[bounds[label * kinds] : bounds[(label + 1) * kinds]]
        area_of = hits.cells[whole] // classes % len(AREAS)
        whole, area_of = whole[area_of < ranges], area_of[area_of < ranges]
        stops = np.flatnonzero(is_end[whole]) + 1
        found, at = [], []
        for area in range(ranges):
            at.append(np.unique(hits.places[whole[(area_of == area) & is_end[whole]]]))
            inside = firsts[label] + np.flatnonzero(matches.in_range[firsts[label] : firsts[label + 1], area])
            upto = np.searchsorted(inside, at[area], side="right")
            inside = inside[: upto[-1] if len(upto) else 0]
            found.append(write(np.ones(len(inside)), matches.images[inside], upto))
        cells, begun = [], 0
        for n in range(kinds):
            cell = order[bounds[label * kinds + n] : bounds[label * kinds + n + 1]]
            threshold, area = divmod(n, len(AREAS))
            if not len(cell) or area >= ranges:
                continue
            ends = np.flatnonzero(is_end[cell])
            change, hit, ranks = hits.change[cell], hits.hit[cell], matches.ranks[hits.places[cell]]
            changes = write(change, hits.images[cell], ends + 1) if change.any() else None
            cells.append(
                _Cell(
                    threshold=threshold,
                    area=area,
                    rows=slice(begun, begun + len(ends)),
                    found=np.searchsorted(at[area], hits.places[cell[ends]]),
                    changes=changes,
                    beyond=[hits.images[cell[hit & (ranks >= most)]] for most in FEWER],
                )
            )
            begun += len(ends)
        longest = max((cell.rows.stop - cell.rows.start for cell in cells), default=0)
        yield _Class(true, found, write(hits.hit[whole], hits.images[whole], stops), cells, longest)


def _average_precision(
    right: NDArray[np.floating], total: NDArray[np.floating], true: Floats, space: _Space
) -> Floats:
    """Return the AP of curves, R, from the hits and the objects so far, L×R; `total` is overwritten."""
    np.maximum(total, np.finfo(np.float32).tiny, out=total)  # where it is 0, so is `right`
    precision = space.lend("precision", total.shape, np.float64)
    np.divide(right, total, out=precision, dtype=np.float64)
    for below, row in pairwise(precision[::-1]):
        np.maximum(below, row, out=row)
    recall = space.lend("recall", total.shape, np.float64)
    np.divide(right, true, out=recall)
    if right.dtype == np.float64:  # weights that are no integers
        recall[:] = snap_to_hundredths(recall)
    lent = (space.lend(name, total.shape, np.float64) for name in ("passed", "threshold"))
    passed = count_passed(recall, *lent)
    gained = np.subtract(passed[1:], passed[:-1], out=recall[1:])
    return np.asarray(np.einsum("ij,ij->j", gained, precision[1:]) + passed[0] * precision[0]) / len(RECALLS)
