"""What plots are drawn from: precision over recall, and confusions of classes, as curves of a record."""

from __future__ import annotations

import numpy as np

from harness_dense.detections import Detections
from harness_dense.matching import RECALLS, THRESHOLDS
from harness_dense.overlaps import Shape
from harness_dense.precision_recall import measure_curves

Columns = dict[str, list[float]]

MOST_CLASSES = 200
"""Of more classes, only the means are kept."""


def measure_precision_curves(evidence: Detections) -> dict[str, Columns]:
    """Return precision at COCO's 101 recalls as `precision-recall`, and of masks as `mask-precision-recall`.

    `precision_50` to `precision_95` are means over classes with objects at each IoU, whose mean is AP;
    `precision_50 NAME` is that of one class. None without objects.
    """
    if not len(evidence.true_labels):
        return {}
    found = {"precision-recall": _measure_columns(evidence, "boxes")}
    if evidence.masks is not None and evidence.true_masks is not None:
        found["mask-precision-recall"] = _measure_columns(evidence, "masks")
    return {name: columns for name, columns in found.items() if columns}


def _measure_columns(evidence: Detections, shape: Shape) -> Columns:
    precision = measure_curves(evidence, shape).precision[:, 0]  # T×C×101, −1 for classes without objects
    present = np.flatnonzero(precision[0, :, 0] >= 0)
    if not len(present):
        return {}
    columns = {"recall": RECALLS.tolist()}
    for threshold, at in zip(THRESHOLDS.tolist(), precision):
        columns[f"precision_{threshold * 100:.0f}"] = at[present].mean(axis=0).tolist()
    for c in present.tolist() if len(present) <= MOST_CLASSES else ():
        columns[f"precision_50 {evidence.class_names[c]}"] = precision[0, c].tolist()
    return columns
