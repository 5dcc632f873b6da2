"""Counts of true and predicted classes as a record keeps them and the plot `confusion` reads them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def list_pairs(counts: NDArray[np.integer], nothing: bool = False) -> dict[str, list[float]]:
    """Return the entries of a confusion matrix that are not zero as the columns `target`, `prediction` and `count`.

    With `nothing`, the last row and column of counts stand for no object, which is written as −1.
    """
    targets, predictions = np.nonzero(counts)
    columns = {"target": targets, "prediction": predictions, "count": counts[targets, predictions]}
    if nothing:
        last = len(counts) - 1
        for side in ("target", "prediction"):
            columns[side] = np.where(columns[side] == last, -1, columns[side])
    return {name: values.astype(float).tolist() for name, values in columns.items()}
