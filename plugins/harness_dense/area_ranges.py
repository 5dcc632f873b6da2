"""Which objects are small, medium and large: by COCO's bounds, or by others for images of another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from harness import OptionError
from harness_dense.detections import Detections

COCO_BOUNDS: Final = (32.0**2, 96.0**2)
"""Pixels up to which objects are small and medium, bounds included."""

ALL = 1e10


def find_ranges(detections: Detections) -> Mapping[str, tuple[float, float]]:
    """Return the ranges of area in pixels by which the evidence's objects are counted; "" is that of all."""
    return detections.keep("area_ranges", lambda: make_ranges(COCO_BOUNDS))


def make_ranges(bounds: Sequence[float]) -> Mapping[str, tuple[float, float]]:
    """Return the ranges of area of two bounds in pixels."""
    small, medium = bounds
    return {"": (0.0, ALL), "small": (0.0, small), "medium": (small, medium), "large": (medium, ALL)}


def check_bounds(metric: str, bounds: Sequence[float] | None) -> tuple[float, float]:
    """Return two bounds, by default COCO's. Raises OptionError, naming the metric, for others than two that rise."""
    if bounds is None:
        return COCO_BOUNDS
    if len(bounds) != 2 or not 0 < bounds[0] < bounds[1]:
        raise OptionError(
            f"{metric}: areas must be two rising numbers of pixels, such as [1024, 9216], not {list(bounds)}"
        )
    return float(bounds[0]), float(bounds[1])


def with_bounds(detections: Detections, bounds: tuple[float, float]) -> Detections:
    """Return the evidence with its objects counted by other bounds; it is made once."""
    if bounds == COCO_BOUNDS:
        return detections

    def make() -> Detections:
        changed = replace(detections)
        changed.keep("area_ranges", lambda: make_ranges(bounds))
        return changed

    return detections.keep(f"areas_to_{bounds[0]:g}_{bounds[1]:g}", make)
