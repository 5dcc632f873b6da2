"""COCO's average precision and recall of detectors, with boxes or masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError, OptionError
from harness_dense.area_ranges import check_bounds, with_bounds
from harness_dense.detections import Detections
from harness_dense.matching import AREAS, THRESHOLDS
from harness_dense.overlaps import Shape, check_masks
from harness_dense.precision_recall import FEWER, PrecisionCurves, measure_curves

SIZES = tuple(AREAS)[1:]


class CocoAP:
    """COCO's twelve numbers (Lin et al. 2014), equal to pycocotools' to the last digit.

    AP is the mean over classes, over IoU .50 to .95 in steps of .05, and over 101 recalls, of the best precision at
    that recall or beyond; AP50 and AP75 at one IoU; AR1, AR10 and AR100 the mean recall with so many objects per
    image and class. `_small`, `_medium` and `_large` are of objects under 32², up to 96² and over 96² pixels. A number
    is left out if no class has such objects. Classes without any are left out of means.

    Args:
        iou: overlap of "boxes" or of "masks".
        sizes: whether numbers by size of the objects are among them; resampling takes half the time without.
        areas: pixels up to which objects are small and medium, for images of another size than COCO's; by default
            1024 and 9216.
    """

    higher_is_better = True
    unit = "fraction"
    bounds = (0.0, 1.0)
    title: ClassVar[Mapping[str, str]] = {
        "AP": "AP",
        "AP50": "AP at IoU .5",
        "AP75": "AP at IoU .75",
        "AR1": "Recall with 1 object",
        "AR10": "Recall with 10 objects",
        "AR100": "Recall with 100 objects",
        **{f"AP_{size}": f"AP of {size} objects" for size in SIZES},
        **{f"AR_{size}": f"Recall of {size} objects" for size in SIZES},
    }

    def __init__(self, iou: Shape = "boxes", sizes: bool = True, areas: list[float] | None = None) -> None:
        if iou not in get_args(Shape):
            raise OptionError(f"coco-ap: iou must be 'boxes' or 'masks', got {iou!r}")
        self.iou: Shape = iou
        self.sizes = sizes
        self.areas = check_bounds("coco-ap", areas)

    def __call__(self, detections: Detections) -> dict[str, float]:
        """Return the numbers by name. Raises DataError if no object counts, or masks are missing."""
        self._check(detections)
        numbers = average_curves(measure_curves(with_bounds(detections, self.areas), self.iou))
        return {name: value for name, value in numbers.items() if self.sizes or "_" not in name}

    def resampled(self, detections: Detections, weights: ArrayLike) -> dict[str, NDArray[np.float64]]:
        """Return the numbers on R sets in which image n counts `weights[r, n]` times; NaN where one is not defined.

        Matches stay as they are, so that it is what a set with repeated images has, up to rounding.
        """
        from harness_dense.resampled_ap import resample_curves

        self._check(detections)
        evidence = with_bounds(detections, self.areas)
        return resample_curves(evidence, self.iou, weights, self.sizes)

    def _check(self, detections: Detections) -> None:
        check_masks(detections, self.iou, "coco-ap")
        if (detections.true_crowd | detections.true_ignored).all():
            raise DataError("coco-ap: the images have no object that counts, so it is not defined")


def average_curves(curves: PrecisionCurves) -> dict[str, float]:
    """Return COCO's numbers from curves, as pycocotools averages them."""
    precision = curves.precision.transpose(0, 3, 2, 1)  # T×101×C×A
    means = {
        "AP": precision[..., 0],
        "AP50": precision[:1, ..., 0],
        "AP75": precision[THRESHOLDS == 0.75, ..., 0],
        **{f"AP_{size}": precision[..., a] for a, size in enumerate(SIZES, 1)},
        **{f"AR{most}": curves.recall_of_fewer[row] for row, most in enumerate(FEWER)},
        "AR100": curves.recall[:, 0],
        **{f"AR_{size}": curves.recall[:, a] for a, size in enumerate(SIZES, 1)},
    }
    known = {name: values[values > -1] for name, values in means.items()}
    return {name: float(np.mean(values)) for name, values in known.items() if len(values)}


def list_class_ap(detections: Detections, shape: Shape = "boxes") -> dict[str, float]:
    """Return the AP of each class that has an object that counts."""
    precision = measure_curves(detections, shape).precision[:, 0]
    means = precision.mean(axis=(0, 2))
    known = precision.min(axis=(0, 2)) > -1
    return {name: float(means[c]) for c, name in enumerate(detections.class_names) if known[c]}
