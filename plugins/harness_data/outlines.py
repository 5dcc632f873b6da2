"""Outlines of objects as COCO writes them (polygons, run-length encodings), checked, and made pixels by pycocotools."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, overload

import numpy as np

OVERHANG = 1.0
"""Pixels by which boxes and polygons may reach over the image's edge, as tools that round to whole pixels write them."""

FEWEST = 6
"""Numbers of the smallest polygon; pycocotools would take four for a box."""

ZERO, LAST = ord("0"), ord("0") + 63
"""The characters of compressed run lengths."""


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number, and no bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def find_outline_fault(outline: Any, size: tuple[int, int]) -> str | None:
    """Return what is wrong with an outline in an image of that width and height, or None."""
    if isinstance(outline, dict):
        return _find_run_fault(outline, size)
    if not isinstance(outline, list) or not outline:
        return (
            f"its outline should be a list of polygons or a run-length encoding, found {str(outline)[:40]!r}"
        )
    ends = np.asarray(size, np.float64) + OVERHANG
    for polygon in outline:
        if not isinstance(polygon, list) or not set(map(type, polygon)) <= {int, float}:
            return f"a polygon should be a list of numbers, found {str(polygon)[:40]!r}"
        if len(polygon) < FEWEST or len(polygon) % 2:
            return f"a polygon needs three or more pairs of numbers, found {len(polygon)} numbers"
        points = np.asarray(polygon, np.float64).reshape(-1, 2)
        if not (inside := (points >= -OVERHANG) & (points <= ends)).all():
            wrong = points[~inside.all(axis=1)][0]
            return f"a polygon's point ({wrong[0]:g}, {wrong[1]:g}) lies outside the image of {size[0]}×{size[1]} pixels"
    return None


def _find_run_fault(outline: Mapping[str, Any], size: tuple[int, int]) -> str | None:
    """Check a run-length encoding, whose own check in pycocotools writes over memory before it reports."""
    stated, runs = outline.get("size"), outline.get("counts")
    if stated != [size[1], size[0]]:
        return f"its mask has the size {stated} (height, width), the image {[size[1], size[0]]}"
    counts = decode_runs(runs) if isinstance(runs, str) else runs
    if not isinstance(counts, list) or not all(
        isinstance(c, int) and not isinstance(c, bool) and c >= 0 for c in counts
    ):
        return f"its mask's counts should be run lengths, found {str(runs)[:40]!r}"
    if sum(counts) != size[0] * size[1]:
        return f"its mask's runs add up to {sum(counts)} pixels, the image has {size[0] * size[1]}"
    return None


def decode_runs(text: str) -> list[int] | None:
    """Return the run lengths of COCO's compressed text; None if it is none.

    Numbers are in groups of five bits from the low end, a sixth bit marks that more follow, and from the fourth
    number on each is the difference to the last but one.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text.encode(errors="replace"):
        if not ZERO <= character <= LAST:
            return None
        bits = character - ZERO
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    return None if shift else counts


def rasterise(outline: Any, size: tuple[int, int]) -> dict[str, Any]:
    """Return a checked outline as a run-length encoding `{"size": [height, width], "counts": bytes}`."""
    from pycocotools import mask

    width, height = size
    if isinstance(outline, list):
        found = mask.merge(mask.frPyObjects(outline, height, width))
    elif isinstance(outline["counts"], str):
        found = {"counts": outline["counts"].encode()}
    else:
        found = mask.frPyObjects(dict(outline), height, width)
    return {"size": [height, width], "counts": bytes(found["counts"])}


def outline_area(outline: Any, size: tuple[int, int]) -> float:
    """Return how many pixels a checked outline has."""
    from pycocotools import mask

    return float(mask.area(rasterise(outline, size)))


class RasterisedMasks(Sequence[Mapping[str, Any]]):
    """The masks of one image's objects as run-length encodings, made of their outlines on access."""

    def __init__(self, outlines: Sequence[Any], size: tuple[int, int]) -> None:
        """Take checked outlines in an image of that width and height."""
        self._outlines, self._size = list(outlines), size

    def __len__(self) -> int:
        return len(self._outlines)

    @overload
    def __getitem__(self, index: int) -> Mapping[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> Mapping[str, Any] | Sequence[Mapping[str, Any]]:
        if isinstance(index, slice):
            return [rasterise(outline, self._size) for outline in self._outlines[index]]
        return rasterise(self._outlines[index], self._size)
