"""Pascal VOC's average precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError, OptionError
from harness_dense.detections import Detections
from harness_dense.overlaps import measure_box_overlaps, pair_up, to_corner_and_size
from harness_dense.weighted_curves import Points, check_weights, measure_average_precision

Style = Literal["2007", "area"]

Integers = NDArray[np.int64]


class VocAP:
    """Pascal VOC's mean average precision (Everingham et al. 2010), with the devkit's matching at IoU .5.

    A found object belongs to the true one that it overlaps most, even if a better-scored one has taken that already:
    then it is false. What belongs to an ignored (difficult) one does not count. The devkit's widths, which it makes
    larger by 1 since its corners are pixels, are those between outer edges, as kept here. Classes without objects are
    left out of the mean.

    Args:
        style: "2007" averages precision at 11 recalls, "area" is that under the curve (from 2010 on).
    """

    higher_is_better = True
    unit = "fraction"
    bounds = (0.0, 1.0)
    _titles: ClassVar[Mapping[str, str]] = {"2007": "VOC AP (11 points)", "area": "VOC AP (area)"}

    def __init__(self, style: Style = "area") -> None:
        if style not in get_args(Style):
            raise OptionError(f"voc-ap: style must be '2007' or 'area', got {style!r}")
        self.style: Style = style
        self.title = self._titles[style]

    def __call__(self, detections: Detections) -> float:
        """Return the mean over classes. Raises DataError if there is no object that counts."""
        value = float(self.resampled(detections, np.ones((1, len(detections))))[0])
        if np.isnan(value):
            raise DataError("voc-ap: the images have no object that counts, so it is not defined")
        return value

    def resampled(self, detections: Detections, weights: ArrayLike) -> NDArray[np.float64]:
        """Return the number on R sets in which image n counts `weights[r, n]` times; NaN if no object does."""
        columns = check_weights(detections, weights)
        found = detections.keep("voc", lambda: _match_as_devkit(detections))
        counts = ~(detections.true_ignored | detections.true_crowd)
        sums, classes = np.zeros(columns.shape[1]), np.zeros(columns.shape[1])
        for label in range(len(detections.class_names)):
            true = detections.true_images[counts & (detections.true_labels == label)]
            own = found.labels == label
            if len(true):
                points: Points = 11 if self.style == "2007" else "all"
                images = detections.images[found.rows[own]]
                ap = measure_average_precision(found.hit[own], images, true, columns, points)
                classes += ~np.isnan(ap)
                sums += np.nan_to_num(ap)
        return np.divide(sums, classes, out=np.full_like(sums, np.nan), where=classes > 0)


class _DevkitMatches(NamedTuple):
    """The found objects that count, by class and falling score, and whether they hit."""

    rows: Integers
    labels: Integers
    hit: NDArray[np.bool_]


def _match_as_devkit(detections: Detections) -> _DevkitMatches:
    order = np.lexsort(
        (-detections.scores, detections.labels)
    )  # stable: equal scores stay in the images' order
    classes = max(len(detections.class_names), 1)
    keys = detections.images[order] * classes + detections.labels[order]
    true_keys = detections.true_images * classes + detections.true_labels
    true_order = np.argsort(true_keys, kind="stable")
    found, place = pair_up(keys, true_keys[true_order])
    true = true_order[place]
    boxes, true_boxes = (to_corner_and_size(b) for b in (detections.boxes, detections.true_boxes))
    no_crowd = np.zeros(len(found), bool)
    iou = measure_box_overlaps(boxes[order[found]], true_boxes[true], no_crowd)

    best_first = np.lexsort((-iou, found))
    best = best_first[np.flatnonzero(np.diff(found, prepend=-1))]
    best = best[iou[best] >= 0.5]
    claims, claimed = found[best], true[best]
    counts = ~(detections.true_ignored | detections.true_crowd)[claimed]
    hit, kept = np.zeros((2, len(order)), bool)
    kept[:] = True
    kept[claims[~counts]] = False
    claims, claimed = claims[counts], claimed[counts]
    hit[claims[np.unique(claimed, return_index=True)[1]]] = True
    return _DevkitMatches(order[kept], detections.labels[order][kept], hit[kept])
