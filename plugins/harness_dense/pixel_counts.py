"""Counting of an image's pixels: by true and predicted class, in the bands along boundaries, and by confidence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_dense.segmentations import BINS, Segmentations

UNCOUNTED = 255
"""True class of pixels that don't count."""

BAND = 0.02
"""Width of the bands along boundaries, as a share of the image's diagonal (Cheng et al. 2021)."""

Labels = NDArray[np.integer[Any]]


class PixelCounts:
    """Collects the evidence `Segmentations` image by image.

    Args:
        class_names: the data set's classes.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = list(class_names)
        self._ids: list[str] = []
        self._groups: list[str] = []
        self._entries: list[tuple[Labels, Labels, Labels]] = []
        self._bands: list[tuple[Labels, Labels]] = []
        self._confidences: list[NDArray[np.float64]] = []
        self._uncounted: list[int] = []

    def add(
        self, id: str, truth: Labels, predicted: Labels, confidence: NDArray[Any], group: str | None = None
    ) -> None:
        """Count one image: true and predicted classes H×W, and the probabilities of the predicted ones.

        Raises DataError, naming the image, for maps of other sizes, classes out of range, and confidences that are
        not finite.
        """
        classes = len(self.class_names)
        if truth.shape != predicted.shape or truth.shape != confidence.shape or truth.ndim != 2:
            sizes = [list(a.shape) for a in (truth, predicted, confidence)]
            raise DataError(f"image '{id}': classes, predictions and confidences of the sizes {sizes}")
        counted = truth != UNCOUNTED
        true, said = truth[counted].astype(np.int64), predicted[counted].astype(np.int64)
        for what, values in (("true", true), ("predicted", said)):
            if len(values) and not 0 <= values.min() <= values.max() < classes:
                odd = values.max() if values.max() >= classes else values.min()
                raise DataError(f"image '{id}': {what} class {odd} is none of the {classes}")
        sure = confidence[counted].astype(np.float64)
        if not np.isfinite(sure).all():
            raise DataError(f"image '{id}': confidences are not finite")
        table = np.bincount(true * classes + said, minlength=classes * classes)
        present = np.flatnonzero(table)
        self._ids.append(id)
        self._groups.append(id if group is None else group)
        self._entries.append((present // classes, present % classes, table[present]))
        self._bands.append(count_bands(truth, predicted, counted, classes))
        self._confidences.append(_bin_confidences(sure, true == said))
        self._uncounted.append(int(np.count_nonzero(~counted)))

    def collect(self) -> Segmentations:
        """Return the evidence of all images. Raises DataError if none was added."""
        if not self._ids:
            raise DataError("segmentations: there are no images")
        ends = np.cumsum([len(counts) for *_, counts in self._entries])
        truths, predictions, counts = (np.concatenate(column) for column in zip(*self._entries, strict=True))
        common, union = (np.stack(column) for column in zip(*self._bands, strict=True))
        groups = self._groups if len(set(self._groups)) < len(self._ids) else ()
        return Segmentations(
            self._ids, self.class_names, np.append(0, ends), truths, predictions, counts, common, union,
            np.stack(self._confidences), np.array(self._uncounted), groups,
        )  # fmt: skip


def measure_band_width(height: int, width: int) -> int:
    """Return the width of the bands along boundaries in pixels: 2 % of the diagonal, at least one."""
    return max(1, round(BAND * math.hypot(height, width)))


def count_bands(
    truth: Labels, predicted: Labels, counted: NDArray[np.bool_], classes: int
) -> tuple[Labels, Labels]:
    """Return, for each class, the pixels in the inner bands of both its regions, and in either; C each.

    A region's band are its pixels within d of another class or of the image's edge (chessboard distance, as the
    erosion of Cheng et al.'s "Boundary IoU", CVPR 2021). Pixels without a true class make no boundary.
    """
    wide = measure_band_width(*truth.shape)
    mine, said = (_find_band(map_, counted, wide) for map_ in (truth, predicted))
    both = mine & said & (truth == predicted)
    common, of_truth, of_said = (
        np.bincount(map_[where].astype(np.int64), minlength=classes)
        for map_, where in ((truth, both), (truth, mine), (predicted, said))
    )
    return common, of_truth + of_said - common


def _find_band(labels: Labels, counted: NDArray[np.bool_], wide: int) -> NDArray[np.bool_]:
    """Return which counted pixels have another class, or the outside, within `wide` pixels."""
    from scipy.ndimage import maximum_filter, minimum_filter

    side, outside = 2 * wide + 1, np.int64(1 << 40)
    high, low = (np.where(counted, labels.astype(np.int64), fill) for fill in (-1, outside - 1))
    highest = maximum_filter(high, side, mode="constant", cval=outside)
    lowest = minimum_filter(low, side, mode="constant", cval=-outside)
    return np.asarray(counted & (highest != lowest))


def _bin_confidences(sure: NDArray[np.float64], right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return pixels, summed confidence and right pixels per bin of equal width, B×3."""
    bins = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    columns = (None, sure, right.astype(np.float64))
    return np.stack([np.bincount(bins, weights, minlength=BINS) for weights in columns], axis=1)
