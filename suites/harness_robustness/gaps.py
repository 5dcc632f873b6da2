"""The accuracy gap between a reference set and a shift over the same classes."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness import DataError


def accuracy_gap(
    reference: ArrayLike,
    shift: ArrayLike,
    reference_classes: Collection[object] | None = None,
    shift_classes: Collection[object] | None = None,
) -> NDArray[np.float64]:
    """Return Δ = acc(reference restricted to the shift's classes) − acc(shift), a fraction.

    Positive means a loss under shift. Raises DataError if both class collections are given and differ as
    sets: a gap between 1000 and 200 classes also measures that 200 are easier.
    """
    if reference_classes is not None and shift_classes is not None:
        ours, theirs = set(reference_classes), set(shift_classes)
        if ours != theirs:
            raise DataError(
                f"gap: reference and shift must have the same classes, but {len(ours)} and {len(theirs)} "
                f"are given and {len(ours ^ theirs)} are in one only; restrict the reference first"
            )
    return np.asarray(reference, dtype=np.float64) - np.asarray(shift, dtype=np.float64)
