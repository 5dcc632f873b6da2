"""What the outlines of the twelve object classes have in common: a table of attributes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_embedded.shapes import CLASSES

ATTRIBUTES = (
    "has curved edges",
    "has straight edges",
    "has a corner of less than 80 degrees",
    "has a right-angled corner",
    "has no notch",
    "has a hole",
    "its left mirrors its right",
    "its upper half mirrors its lower half",
    "is longer than wide by a fifth, or wider than long",
    "ends in a point above its middle",
)
"""Names of the attributes, true of an object that stands upright."""

UNSEEN = ("circle", "arrow", "moon", "tree")
"""Classes without training images, for zero-shot recognition by attributes."""

_TABLE = {
    "circle":   "1 0 0 0 1 0 1 1 0 0",
    "square":   "0 1 0 1 1 0 1 1 0 0",
    "triangle": "0 1 1 0 1 0 1 0 0 1",
    "star":     "0 1 1 0 0 0 1 0 0 1",
    "cross":    "0 1 0 1 0 0 1 1 0 0",
    "ring":     "1 0 0 0 1 1 1 1 0 0",
    "heart":    "1 0 1 0 0 0 1 0 0 0",
    "arrow":    "0 1 1 1 0 0 0 1 1 0",
    "moon":     "1 0 1 0 0 0 0 0 0 0",
    "house":    "0 1 1 1 0 0 1 0 0 1",
    "tree":     "0 1 1 1 0 0 1 0 1 1",
    "fish":     "1 1 1 0 0 0 0 1 1 0",
}  # fmt: skip


def list_class_attributes() -> NDArray[np.int64]:
    """Return which class (rows, as in `CLASSES`) has which attribute (columns, as in `ATTRIBUTES`): 1 or 0."""
    return np.array([_TABLE[name].split() for name in CLASSES], np.int64)
