"""COCO's matching of found to true objects, for all images, classes, thresholds and ranges of area at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from harness_dense.area_ranges import find_ranges
from harness_dense.detections import Detections
from harness_dense.overlaps import (
    OverlapPairs,
    Shape,
    find_areas,
    measure_box_overlaps,
    measure_mask_overlaps,
    pair_up,
    to_corner_and_size,
)

THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
RECALLS: Final = np.linspace(0.0, 1.0, 101)
MOST = 100
"""How many objects count per image and class, those with the highest scores."""
AREAS: Final = {
    "": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
"""COCO's ranges of area in pixels, bounds included."""

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bits = NDArray[np.uint64]


CELLS: Final = [(t, a) for t in range(len(THRESHOLDS)) for a in range(len(AREAS))]
"""Threshold and range of area of each bit in a set of 40."""
AT_AREA: Final = np.array(
    [sum(1 << n for n, cell in enumerate(CELLS) if cell[1] == a) for a in range(4)], np.uint64
)
"""The bits of each range of area."""
UP_TO: Final = np.array([(1 << len(AREAS) * t) - 1 for t in range(len(THRESHOLDS) + 1)], np.uint64)
"""The bits of the first t thresholds."""


@dataclass(frozen=True, eq=False)
class Matches:
    """D found objects in the order in which they count (class, falling score, image), and what M of them match.

    Objects beyond the hundred best of an image and class are left out. `rows` D are rows in the evidence, `ranks` D
    places in the object's image and class, `in_range` D×4 whether its area is in each range. `places` M are the
    positions, rising, of those that overlap enough to match; the bits of `hit` M tell at which thresholds and ranges
    they do (see `CELLS`), those of `spared` M where they match something that does not count (crowd, ignored, of
    another area). `counted` G×4 are the true objects that count, the bits of `taken` G tell where they are matched.
    """

    rows: Integers
    ranks: Integers
    images: Integers
    labels: Integers
    in_range: Flags
    places: Integers
    hit: Bits
    spared: Bits
    counted: Flags
    taken: Bits


def match_objects(detections: Detections, shape: Shape = "boxes") -> Matches:
    """Return the matches by the IoU of boxes or masks; they are computed once.

    A found object takes the best free true one, objects with higher scores first, those that count before others
    (Lin et al. 2014, as in pycocotools). Crowds may be taken many times.
    """
    return detections.keep(f"matches_{shape}", lambda: _match(detections, shape))


def _match(detections: Detections, shape: Shape) -> Matches:
    classes, images = max(len(detections.class_names), 1), len(detections)
    by_class = np.argsort(-detections.scores, kind="stable")
    by_class = by_class[_argsort_stably(detections.labels[by_class], classes)]
    image, label = detections.images[by_class], detections.labels[by_class]

    grouped = _argsort_stably(image, images)  # by image, class, falling score
    key = image[grouped] * classes + label[grouped]
    rank = _number_within(key)
    if (rank >= MOST).any():
        stay = np.zeros(len(grouped), bool)
        stay[grouped[rank < MOST]] = True
        by_class, image, label = by_class[stay], image[stay], label[stay]
        grouped = _argsort_stably(image, images)
        key, rank = key[rank < MOST], rank[rank < MOST]
    ranks = np.empty(len(grouped), np.int64)
    ranks[grouped] = rank

    pair_found, pair_true, iou = _pair_objects(detections, shape, by_class[grouped], key)
    lows, highs = np.array(list(find_ranges(detections).values())).T
    areas = detections.true_areas[:, None]
    counted = ~(detections.true_crowd | detections.true_ignored)[:, None] & (areas >= lows) & (areas <= highs)
    candidates, hit, spared, taken = _match_in_turns(
        pair_found, pair_true, iou, key, detections.true_crowd, counted
    )

    number = np.full(len(grouped), -1)
    number[grouped[candidates]] = np.arange(len(candidates))
    places = np.flatnonzero(number >= 0)
    found_areas = find_areas(detections, shape)[by_class][:, None]
    return Matches(
        rows=by_class,
        ranks=ranks,
        images=image,
        labels=label,
        in_range=(found_areas >= lows) & (found_areas <= highs),
        places=places,
        hit=hit[number[places]],
        spared=spared[number[places]],
        counted=counted,
        taken=taken,
    )


def _argsort_stably(values: Integers, below: int) -> Integers:
    """Return the stable order of integers from 0 to below another; numpy's radix sort takes those of 16 bits."""
    return np.argsort(values.astype(np.uint16) if below <= 2**16 else values, kind="stable")


def _number_within(key: Integers) -> Integers:
    """Return the place of each item among those of its key, which stand together."""
    starts = np.flatnonzero(np.diff(key, prepend=-1))
    return np.arange(len(key)) - np.repeat(starts, np.diff(np.append(starts, len(key))))


def _pair_objects(detections: Detections, shape: Shape, rows: Integers, key: Integers) -> OverlapPairs:
    """Return the pairs of one image and class that overlap enough to match: positions in `rows`, and true rows."""
    classes, images = max(len(detections.class_names), 1), detections.true_images
    by_label = _argsort_stably(detections.true_labels, classes)
    order = by_label[_argsort_stably(images[by_label], len(detections))]
    found, place = pair_up(key, images[order] * classes + detections.true_labels[order])
    true = order[place]
    if shape == "boxes":
        boxes, true_boxes = (to_corner_and_size(b) for b in (detections.boxes, detections.true_boxes))
        iou = measure_box_overlaps(boxes[rows[found]], true_boxes[true], detections.true_crowd[true])
    else:
        iou = measure_mask_overlaps(detections, rows[found], true, key[found])
    near = iou >= THRESHOLDS[0]
    return OverlapPairs(found[near], true[near], iou[near])


def _match_in_turns(
    found: Integers, true: Integers, iou: NDArray[np.float64], key: Integers, crowd: Flags, counted: Flags
) -> tuple[Integers, Bits, Bits, Bits]:
    """Match pairs, the found objects of an image and class in turn; images and classes at the same time.

    Args:
        found: position of each pair's found object, rising; those of one image and class by falling score.
        true: row of each pair's true object, those of one found object in their order.
        key: image and class of each found object.

    Returns the found objects M; where each matches something that counts, and something that does not, M bits each;
    and where true objects are matched, G bits.
    """
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    counts = np.diff(np.append(starts, len(found)))
    candidates = found[starts]
    several = np.flatnonzero(np.repeat(counts > 1, counts))
    last_is_best = several[np.lexsort((several, iou[several], found[several]))]
    true[several], iou[several] = true[last_is_best], iou[last_is_best]

    every = UP_TO[-1]
    enough = UP_TO[np.searchsorted(THRESHOLDS, iou, side="right")]
    counts_at = np.where(counted, AT_AREA, np.uint64(0)).sum(axis=1, dtype=np.uint64)
    free = np.full(len(counted), every)
    hit, spared = np.zeros((2, len(candidates)), np.uint64)
    turns = _number_within(key[candidates])
    by_turn = np.argsort(turns, kind="stable")
    for turn in np.split(by_turn, np.cumsum(np.bincount(turns))[:-1]) if len(turns) else ():
        for outcome, flip in ((hit, np.uint64(0)), (spared, every)):
            for place in range(1, int(counts[turn].max()) + 1):
                own = turn[counts[turn] >= place]
                pair = starts[own] + counts[own] - place
                which = true[pair]
                takes = enough[pair] & free[which] & (counts_at[which] ^ flip) & ~(hit[own] | spared[own])
                outcome[own] |= takes
                free[which] &= ~np.where(crowd[which], np.uint64(0), takes)
    return candidates, hit, spared, every & ~free
