"""The true classes of an image's pixels, and how pixels of the background are treated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Masks

UNKNOWN = 255


def read_classes(target: Any, name: str, classes: int) -> NDArray[np.uint8]:
    """Return the class of each pixel H×W, 255 for those not counted.

    Raises DataError, naming the sample, for a target that isn't semantic, and for a class out of range.
    """
    if not isinstance(target, Masks) or target.semantic is None:
        raise DataError(f"sample '{name}': it has no classes of pixels (Masks.semantic)")
    labels = np.asarray(target.semantic)
    wrong = (labels < 0) | ((labels >= classes) & (labels != UNKNOWN))
    if labels.ndim != 2 or wrong.any():
        found = f"the class {labels[wrong][0]}" if wrong.any() else f"classes of the shape {labels.shape}"
        raise DataError(f"sample '{name}': it has {found}; the data set has {classes} classes of pixels H×W")
    return labels.astype(np.uint8)
