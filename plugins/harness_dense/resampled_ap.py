"""COCO's numbers on resampled sets of images, from stored matches: image n counts a given number of times.

Arrays have one row per place of a curve and one column per resampled set, so that all steps but the two running ones
(sums, and the best precision from here on) work on whole blocks; those go row by row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_dense.detections import Detections
from harness_dense.matching import AREAS, RECALLS, THRESHOLDS, match_objects
from harness_dense.overlaps import Shape
from harness_dense.precision_recall import FEWER, Hits, list_hits

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

BLOCK = 2**20
"""About how many numbers an array of places and sets holds."""


def resample_curves(detections: Detections, shape: Shape, weights: NDArray[np.generic]) -> dict[str, Floats]:
    """Return COCO's numbers for weights R×N of N images, R each; NaN where no object of a set counts.

    A number that the set itself lacks is left out. Raises DataError for weights of another shape, or that are
    negative or not finite.
    """
    columns = _narrow(check_weights(detections, weights), np.diff(detections.offsets))
    sums = _Sums.start(columns.shape[1])
    hits = list_hits(detections, shape)
    by_class = _ByClass.sort(hits, detections)
    space = _Space()
    for label in range(len(detections.class_names)):
        step = max(BLOCK // (by_class.count_most(label) + 1), 16)
        for start in range(0, columns.shape[1], step):
            block = slice(start, start + step)
            by_class.add(label, np.ascontiguousarray(columns[:, block]), sums, block, space)
    counted = match_objects(detections, shape).counted.any(axis=0)
    return sums.summarise([bool(any_of_area) for any_of_area in counted])


def check_weights(detections: Detections, weights: NDArray[np.generic]) -> Floats:
    """Return weights R×N of images as N×R floats. Raises DataError unless they are some, finite and not negative."""
    if weights.ndim != 2 or weights.shape[1] != len(detections):
        raise DataError(f"weights must be R×{len(detections)}, one per image, got the shape {weights.shape}")
    columns = np.ascontiguousarray(weights.T, np.float64)
    if not (np.isfinite(columns).all() and (columns >= 0).all()):
        raise DataError("weights of images must be finite and not negative")
    return columns


def _narrow(columns: Floats, objects: Integers) -> NDArray[np.floating]:
    """Return weights N×R as float32, which is faster, if they are integers whose sums it holds exactly."""
    exact = (columns == np.floor(columns)).all() and (objects @ columns < 2**24).all()
    return columns.astype(np.float32) if exact else columns


def _add_up_rows(rows: NDArray[np.floating]) -> None:
    """Make each row the sum of those up to it."""
    for above, row in zip(rows, rows[1:]):
        np.add(above, row, out=row)


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

    def summarise(self, known: list[bool]) -> dict[str, Floats]:
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
class _ByClass:
    """The places of `Hits` by class, threshold and range of area, and the true objects by class and range."""

    hits: Hits
    order: Integers
    """Places by class, and in the order of cells within one."""
    bounds: Integers
    """Where each class, threshold and range begins in `order`, and the end."""
    found_bounds: Integers
    """Where each class begins among the found objects."""
    true_images: list[list[Integers]]
    """Images of the true objects that count, by class and range."""

    @classmethod
    def sort(cls, hits: Hits, detections: Detections) -> _ByClass:
        classes, cells = len(detections.class_names), len(THRESHOLDS) * len(AREAS)
        key = hits.cells % classes * cells + hits.cells // classes
        order = np.argsort(key, kind="stable")
        images, labels = detections.true_images, detections.true_labels
        by_label = np.argsort(labels, kind="stable")
        parts = np.split(by_label, np.searchsorted(labels[by_label], np.arange(1, classes)))
        counted = hits.matches.counted
        true = [[images[part[counted[part, a]]] for a in range(len(AREAS))] for part in parts]
        return cls(
            hits=hits,
            order=order,
            bounds=np.searchsorted(key[order], np.arange(classes * cells + 1)),
            found_bounds=np.searchsorted(hits.matches.labels, np.arange(classes)),
            true_images=true,
        )

    def count_most(self, label: int) -> int:
        """Return the number of places of a class in the largest cell."""
        cells = len(THRESHOLDS) * len(AREAS)
        return int(np.diff(self.bounds[label * cells : (label + 1) * cells + 1]).max())

    def add(self, label: int, weights: NDArray[np.floating], sums: _Sums, sets: slice, space: _Space) -> None:
        """Add what a class contributes to some of the sets, with the weights N×R of those."""
        for area, true_images in enumerate(self.true_images[label]):
            if not len(true_images):
                continue
            true = weights[true_images].sum(axis=0, dtype=np.float64)
            sums.classes[area, sets] += true > 0
            true[true == 0] = 1  # nothing is hit there either
            firsts = label * len(THRESHOLDS) * len(AREAS) + area + len(AREAS) * np.arange(len(THRESHOLDS))
            cells = [self.order[self.bounds[cell] : self.bounds[cell + 1]] for cell in firsts]
            where = [self.hits.places[cell] for cell in cells]
            at = np.unique(np.concatenate(where))
            if len(at):
                so_far = self._count_found(label, area, at, weights)
                for t, (cell, places) in enumerate(zip(cells, where)):
                    if len(cell):
                        total = space.lend("total", (len(cell), weights.shape[1]), weights.dtype)
                        np.take(so_far, np.searchsorted(at, places), axis=0, out=total, mode="clip")
                        self._add_cell(cell, weights, total, true, sums, (t, area, sets), space)

    def _count_found(
        self, label: int, area: int, at: Integers, weights: NDArray[np.floating]
    ) -> NDArray[np.floating]:
        """Return how many objects of a class and range are found up to each position of `at`, by set."""
        from scipy.sparse import csr_matrix

        matches, start = self.hits.matches, self.found_bounds[label]
        positions = start + np.flatnonzero(matches.in_range[start : at[-1] + 1, area])
        ends = np.searchsorted(positions, at, side="right")
        images, shape = matches.images[positions], (len(at), len(weights))
        steps = csr_matrix((np.ones(len(images), weights.dtype), images, np.append(0, ends)), shape=shape)
        so_far: NDArray[np.floating] = steps @ weights
        _add_up_rows(so_far)
        return so_far

    def _add_cell(
        self,
        cell: Integers,
        weights: NDArray[np.floating],
        total: NDArray[np.floating],
        true: Floats,
        sums: _Sums,
        where: tuple[int, int, slice],
        space: _Space,
    ) -> None:
        t, area, sets = where
        hits = self.hits
        right = space.lend("right", total.shape, total.dtype)
        np.take(weights, hits.images[cell], axis=0, out=right, mode="clip")
        change = hits.change[cell]
        if change.any():
            rows = np.flatnonzero(change)
            changes = right[rows] * change[rows, None].astype(right.dtype)
            _add_up_rows(changes)
            for row, begin, stop in zip(changes, rows, np.append(rows[1:], len(total))):
                total[begin:stop] += row
        hit = hits.hit[cell]
        if not hit.all():
            right[~hit] = 0
        if area == 0:
            ranks = hits.matches.ranks[hits.places[cell]]
            for row, most in enumerate(FEWER):
                sums.recall_of_fewer[row, sets] -= right[ranks >= most].sum(axis=0, dtype=np.float64) / true
        _add_up_rows(right)
        reached = right[-1] / true
        sums.recall[area, sets] += reached
        if area == 0:
            sums.recall_of_fewer[:, sets] += reached
        np.maximum(total, np.finfo(np.float32).tiny, out=total)  # where it is 0, so is `right`
        precision = space.lend("precision", total.shape, np.float64)
        np.divide(right, total, out=precision, dtype=np.float64)
        for below, row in zip(precision[::-1], precision[-2::-1]):
            np.maximum(below, row, out=row)
        recall = space.lend("recall", total.shape, np.float64)
        np.divide(right, true, out=recall)
        passed = _count_passed(recall, space)
        gained = np.subtract(passed[1:], passed[:-1], out=recall[1:])
        gained *= precision[1:]
        sums.ap[t, area, sets] += (gained.sum(axis=0) + passed[0] * precision[0]) / len(RECALLS)


def _count_passed(recall: Floats, space: _Space) -> Floats:
    """Return how many of the 101 recalls are at most each recall, exactly: what `searchsorted` finds, but faster."""
    last: Floats = space.lend("last", recall.shape, np.float64)
    np.multiply(recall, 100, out=last)
    last += 1e-9
    np.floor(last, out=last)
    threshold = space.lend("threshold", recall.shape, np.float64)
    np.multiply(last, 0.01, out=threshold)  # `RECALLS` are these products, to the last bit
    last += np.greater_equal(recall, threshold, out=space.lend("reached", recall.shape, bool))
    return last
