"""Metrics of regions over a set of images: IoU, Dice, accuracies, boundaries, calibration.

All are ratios of sums over the set's pixels, so a class counts as often as it has pixels, wherever they are. Classes
that are neither there nor predicted have no value, and means leave them out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness_dense.segmentations import Segmentations

Floats = NDArray[np.float64]


def divide(above: Floats, below: Floats) -> Floats:
    """Return the quotient, NaN where there is nothing to divide by."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below > 0, above / np.where(below > 0, below, 1), np.nan)


def mean_present(values: Floats) -> Floats:
    """Return the mean over the last axis without NaN; NaN where nothing is left."""
    there = ~np.isnan(values)
    return divide(np.where(there, values, 0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))


class _RegionMetric(ABC):
    """A fraction from sums over the images of a set, also of resampled ones."""

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    @abstractmethod
    def _sums(self, evidence: Segmentations) -> tuple[Floats, ...]:
        """Return what is summed over images, N×… each."""

    @abstractmethod
    def _measure(self, *sums: Floats) -> Floats:
        """Return the number of each row of sums."""

    def __call__(self, evidence: Segmentations) -> float:
        """Return the fraction over all images."""
        return float(self._measure(*(column.sum(axis=0)[None] for column in self._sums(evidence)))[0])

    def resampled(self, evidence: Segmentations, weights: NDArray[Any]) -> Floats:
        """Return the fraction over R sets in which image n counts weights[r, n] times, R."""
        columns = self._sums(evidence)
        return self._measure(
            *(np.tensordot(weights.astype(np.float64), column, axes=1) for column in columns)
        )


class _ClassMetric(_RegionMetric):
    """A metric of right, true and predicted pixels by class."""

    def _sums(self, evidence: Segmentations) -> tuple[Floats, ...]:
        return evidence.sum_by_class()


class MeanIoU:
    """Mean over classes of intersection over union, with one confusion matrix over the data set, or per image.

    IoU = right / (true + predicted − right) pixels of a class. Over the set it is what VOC, Cityscapes and ADE20K
    report. Over images, each image's mean over its own classes is averaged: small regions count as much as large ones.
    The two are different numbers. The background counts if the data set has it as a class.

    Args:
        over: "set" or "images".
    """

    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, over: Literal["set", "images"] = "set") -> None:
        self.over = over

    @property
    def title(self) -> str:
        """Its name in tables, which says over what it is."""
        return "Mean IoU" if self.over == "set" else "Mean IoU per image"

    def __call__(self, evidence: Segmentations) -> float:
        """Return the mean IoU as a fraction."""
        return float(self.resampled(evidence, np.ones((1, len(evidence))))[0])

    def resampled(self, evidence: Segmentations, weights: NDArray[Any]) -> Floats:
        """Return the mean IoU over R sets in which image n counts weights[r, n] times, R."""
        columns, w = evidence.sum_by_class(), weights.astype(np.float64)
        if self.over == "set":
            return mean_present(intersect_over_union(*(w @ column for column in columns)))
        own = mean_present(intersect_over_union(*columns))
        has = ~np.isnan(own)
        return divide(w @ np.where(has, own, 0), w @ has)


def intersect_over_union(right: Floats, true: Floats, predicted: Floats) -> Floats:
    """Return IoU of each class."""
    return divide(right, true + predicted - right)


class PixelAccuracy(_ClassMetric):
    """Share of counted pixels whose class is right."""

    title = "Pixel accuracy"

    def _measure(self, *sums: Floats) -> Floats:
        right, true, _ = sums
        return divide(right.sum(axis=-1), true.sum(axis=-1))


class ClassAccuracy(_ClassMetric):
    """Mean over classes of the share of their pixels that is right."""

    title = "Class accuracy"

    def _measure(self, *sums: Floats) -> Floats:
        right, true, _ = sums
        return mean_present(divide(right, true))


class FrequencyWeightedIoU(_ClassMetric):
    """Mean of the classes' IoU, weighted by their true pixels (Long et al. 2015)."""

    title = "Frequency-weighted IoU"

    def _measure(self, *sums: Floats) -> Floats:
        right, true, predicted = sums
        iou = np.nan_to_num(intersect_over_union(right, true, predicted))
        return divide((true * iou).sum(axis=-1), true.sum(axis=-1))


class Dice(_ClassMetric):
    """Mean over classes of Dice's coefficient, 2 · right / (true + predicted), over the data set."""

    title = "Dice"

    def _measure(self, *sums: Floats) -> Floats:
        right, true, predicted = sums
        return mean_present(divide(2 * right, true + predicted))


class BoundaryIoU(_RegionMetric):
    """Mean over classes of the IoU of the bands along the insides of boundaries (Cheng et al., CVPR 2021).

    A band is 2 % of the image's diagonal wide, at least a pixel. The image's edge counts as a boundary.
    """

    title = "Boundary IoU"

    def _sums(self, evidence: Segmentations) -> tuple[Floats, ...]:
        return evidence.band_common.astype(np.float64), evidence.band_union.astype(np.float64)

    def _measure(self, *sums: Floats) -> Floats:
        common, union = sums
        return mean_present(divide(common, union))


class PixelCalibration(_RegionMetric):
    """Expected calibration error of pixels: mean gap of confidence and accuracy over 15 bins of equal width."""

    higher_is_better = False
    title = "Calibration error of pixels"

    def _sums(self, evidence: Segmentations) -> tuple[Floats, ...]:
        return (evidence.confidences,)

    def _measure(self, *sums: Floats) -> Floats:
        pixels, sure, right = np.moveaxis(sums[0], -1, 0)
        return divide(np.abs(sure - right).sum(axis=-1), pixels.sum(axis=-1))


class ClassIoU:
    """IoU of each class over the data set, by its name."""

    title = "IoU"
    higher_is_better = True
    unit = "fraction"

    def __call__(self, evidence: Segmentations) -> dict[str, float]:
        """Return IoU by class name, without classes that are neither there nor predicted."""
        values = intersect_over_union(*(column.sum(axis=0) for column in evidence.sum_by_class()))
        return {
            name: float(value)
            for name, value in zip(evidence.class_names, values, strict=True)
            if not np.isnan(value)
        }

    def resampled(self, evidence: Segmentations, weights: NDArray[Any]) -> dict[str, Floats]:
        """Return the same over R sets in which image n counts weights[r, n] times, R each."""
        w = weights.astype(np.float64)
        values = intersect_over_union(*(w @ column for column in evidence.sum_by_class()))
        pairs = zip(evidence.class_names, values.T, strict=True)
        return {name: column for name, column in pairs if not np.isnan(column).all()}
