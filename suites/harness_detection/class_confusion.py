"""Which classes objects are taken for: true by found class, with a row and a column for nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_dense.detections import Detections
from harness_dense.overlaps import measure_box_overlaps, to_corner_and_size
from harness_detection.hit_counts import FALSE_ALARM, HIT, OVERLAP, ImageHits


def count_class_pairs(detections: Detections, hits: ImageHits) -> NDArray[np.int64]:
    """Return how many objects of each true class (rows) were found as each class (columns), (C + 1)×(C + 1).

    The diagonal are the hits. A false alarm that overlaps a missed object of another class by half or more is taken for
    a confusion: those with high scores first, each with the free object that it overlaps most. The others are in the
    last row, as found where nothing is; missed objects that are left are in the last column.
    """
    classes = len(detections.class_names)
    counts = np.zeros((classes + 1, classes + 1), np.int64)
    np.add.at(counts, (found := detections.labels[hits.found == HIT], found), 1)
    free = hits.missed.copy()
    boxes, true_boxes = (to_corner_and_size(b) for b in (detections.boxes, detections.true_boxes))
    for n in range(len(detections)):
        true = np.arange(detections.true_offsets[n], detections.true_offsets[n + 1])
        rows = np.arange(detections.offsets[n], detections.offsets[n + 1])
        rows = rows[hits.found[rows] == FALSE_ALARM]
        for row in rows[np.argsort(-detections.scores[rows], kind="stable")]:
            left = true[free[true]]
            iou = measure_box_overlaps(boxes[[row] * len(left)], true_boxes[left], np.zeros(len(left), bool))
            near = len(left) > 0 and iou.max() >= OVERLAP
            truth = classes
            if near:
                taken = left[np.argmax(iou)]
                free[taken] = False
                truth = detections.true_labels[taken]
            counts[truth, detections.labels[row]] += 1
    np.add.at(counts[:, classes], detections.true_labels[free], 1)
    return counts
