"""TIDE's parts of a detector's errors, and what fixing each would gain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError, OptionError
from harness_dense.detections import Detections
from harness_dense.matching import Matches, match_objects
from harness_dense.overlaps import (
    Shape,
    check_masks,
    measure_box_overlaps,
    measure_mask_overlaps,
    pair_up,
    to_corner_and_size,
)
from harness_dense.weighted_curves import check_weights, measure_average_precision

PARTS: Final = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")
FOREGROUND, BACKGROUND = 0.5, 0.1

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]


class TideErrors:
    """How much AP at IoU .5 would rise if errors of one kind were fixed (TIDE, Bolya et al. 2020); not additive.

    A found object that hits nothing is `Loc` if it overlaps something of its class by .1 to .5, else `Cls` if it
    overlaps something of another class by .5, else `Dupe` if something of its class, else `Bkg` if it overlaps nothing
    by more than .1, else `Both`. `Miss` are the objects that nothing hits, and that no fix of `Loc` or `Cls` would
    hit. Fixed, a `Loc` or `Cls` with the best score of those at its object hits it, the others vanish, and missed
    objects are not asked for; a class of which all are missed counts as 1. Classes without objects are left out, of
    means and of what is found.

    Args:
        iou: overlap of "boxes" or of "masks".
    """

    higher_is_better = False
    unit = "fraction"
    bounds = (-1.0, 1.0)
    title: ClassVar[Mapping[str, str]] = {
        "Cls": "ΔAP of wrong classes",
        "Loc": "ΔAP of wrong places",
        "Both": "ΔAP of both wrong",
        "Dupe": "ΔAP of duplicates",
        "Bkg": "ΔAP of background",
        "Miss": "ΔAP of misses",
    }

    def __init__(self, iou: Shape = "boxes") -> None:
        if iou not in get_args(Shape):
            raise OptionError(f"tide-errors: iou must be 'boxes' or 'masks', got {iou!r}")
        self.iou: Shape = iou

    def __call__(self, detections: Detections) -> dict[str, float]:
        """Return ΔAP by part. Raises DataError if no object counts, or masks are missing."""
        values = self.resampled(detections, np.ones((1, len(detections))))
        if np.isnan(values["Miss"][0]):
            raise DataError("tide-errors: the images have no object that counts, so it is not defined")
        return {part: float(value[0]) for part, value in values.items()}

    def resampled(self, detections: Detections, weights: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return ΔAP on R sets in which image n counts `weights[r, n]` times; NaN if no object does."""
        check_masks(detections, self.iou, "tide-errors")
        columns = check_weights(detections, weights)
        errors = find_errors(detections, self.iou)
        matches = match_objects(detections, self.iou)
        sums = np.zeros((len(PARTS), columns.shape[1]))
        classes = np.zeros(columns.shape[1])
        for label in range(len(detections.class_names)):
            true = errors.true & (detections.true_labels == label)
            if not true.any():
                continue
            before = _measure_fixed(errors, matches, detections, label, None, columns)
            classes += ~np.isnan(before)
            for row, part in enumerate(PARTS):
                after = _measure_fixed(errors, matches, detections, label, part, columns)
                if part == "Miss":
                    after = np.where(np.isnan(after), 1.0, after)
                sums[row] += np.nan_to_num(after - before)
        gains = np.divide(sums, classes, out=np.full_like(sums, np.nan), where=classes > 0)
        return dict(zip(PARTS, gains))


class Errors(NamedTuple):
    """Kinds of error of the D found objects of `Matches`: indices of parts, −1 for hits, −2 for what does not count.

    `fixes` D is the row of the true object that each `Loc` and `Cls` would hit if it were fixed, −1 for all others.
    `true` G are the true objects that count, `missed` G those of `Miss`.
    """

    kinds: Integers
    fixes: Integers
    true: Flags
    missed: Flags


def find_errors(detections: Detections, shape: Shape = "boxes") -> Errors:
    """Return the kind of each error; they are found once."""
    return detections.keep(f"tide_{shape}", lambda: _find_errors(detections, shape))


def count_errors(detections: Detections, shape: Shape = "boxes") -> dict[str, int]:
    """Return the number of errors of each kind, of found objects and, for `Miss`, of true ones."""
    errors = find_errors(detections, shape)
    counts = {part: int((errors.kinds == row).sum()) for row, part in enumerate(PARTS)}
    return counts | {"Miss": int(errors.missed.sum())}


def _find_errors(detections: Detections, shape: Shape) -> Errors:
    matches = match_objects(detections, shape)
    true = matches.counted[:, 0]
    used = (matches.taken & np.uint64(1)).astype(bool)
    kinds = np.full(len(matches.rows), PARTS.index("Bkg"))
    kinds[matches.places[(matches.spared & np.uint64(1)) > 0]] = -2
    kinds[matches.places[(matches.hit & np.uint64(1)) > 0]] = -1

    wrong = np.flatnonzero(kinds >= 0)
    wrong = wrong[np.argsort(matches.images[wrong], kind="stable")]
    there = np.flatnonzero(true)
    found, place = pair_up(matches.images[wrong], detections.true_images[there])
    object_of, which = wrong[found], there[place]
    if shape == "boxes":
        boxes, true_boxes = (to_corner_and_size(b) for b in (detections.boxes, detections.true_boxes))
        iou = measure_box_overlaps(
            boxes[matches.rows[object_of]], true_boxes[which], np.zeros(len(which), bool)
        )
    else:
        iou = measure_mask_overlaps(detections, matches.rows[object_of], which, matches.images[object_of])
    same = matches.labels[object_of] == detections.true_labels[which]

    own, own_at = _find_best(object_of, np.where(same, iou, 0.0), which, len(kinds))
    other, other_at = _find_best(object_of, np.where(same, 0.0, iou), which, len(kinds))
    rules = {
        "Loc": (own >= BACKGROUND) & (own < FOREGROUND),
        "Cls": other >= FOREGROUND,
        "Dupe": own >= FOREGROUND,
        "Bkg": np.maximum(own, other) <= BACKGROUND,
    }
    is_wrong = kinds >= 0
    named = np.select(list(rules.values()), [PARTS.index(part) for part in rules], PARTS.index("Both"))
    kinds[is_wrong] = named[is_wrong]

    fixes = np.full(len(kinds), -1)
    for part, at in (("Loc", own_at), ("Cls", other_at)):
        chosen = kinds == PARTS.index(part)
        fixes[chosen] = at[chosen]
    usable = np.unique(fixes[fixes >= 0])
    fixes[fixes >= 0] = np.where(used[fixes[fixes >= 0]], -1, fixes[fixes >= 0])
    fixable = np.flatnonzero(fixes >= 0)
    by_score = fixable[np.argsort(-detections.scores[matches.rows[fixable]], kind="stable")]
    best = by_score[np.unique(fixes[by_score], return_index=True)[1]]
    only_best = np.full(len(kinds), -1)
    only_best[best] = fixes[best]
    missed = true & ~used
    missed[usable] = False
    return Errors(kinds, only_best, true, missed)


def _find_best(
    found: Integers, iou: NDArray[np.float64], true: Integers, count: int
) -> tuple[NDArray[np.float64], Integers]:
    """Return the largest IoU of each of `count` found objects, and the true object, the first of equal ones."""
    best, at = np.zeros(count), np.full(count, -1)
    order = np.lexsort((-iou, found))
    first = order[np.flatnonzero(np.diff(found[order], prepend=-1))]
    best[found[first]], at[found[first]] = iou[first], true[first]
    return best, at


def _measure_fixed(
    errors: Errors,
    matches: Matches,
    detections: Detections,
    label: int,
    part: str | None,
    weights: NDArray[np.floating],
) -> NDArray[np.float64]:
    """Return the AP at IoU .5 of a class, for each set, with the errors of one part fixed (None: with all)."""
    kinds, labels = errors.kinds, matches.labels
    true = errors.true & (detections.true_labels == label)
    number = -3 if part is None else PARTS.index(part)
    counted = (labels == label) & (kinds != -2) & (kinds != number)
    hit = kinds == -1
    if part == "Miss":
        true &= ~errors.missed
    elif part in ("Loc", "Cls"):
        fixed = (kinds == number) & (errors.fixes >= 0)
        fixed[fixed] = detections.true_labels[errors.fixes[fixed]] == label
        counted, hit = counted | fixed, hit | fixed
    places = np.flatnonzero(counted)
    places = places[np.argsort(-detections.scores[matches.rows[places]], kind="stable")]
    true_images = detections.true_images[true]
    return measure_average_precision(hit[places], matches.images[places], true_images, weights, 101)
