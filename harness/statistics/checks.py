"""Checks of arrays and levels, and the error that they raise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.errors import HarnessError

Floats = NDArray[np.float64]


class StatisticsError(HarnessError):
    """The numbers do not allow the statistic; the text says why."""


def check_level(level: float) -> float:
    """Return `level` as a float. Raises StatisticsError unless it is strictly between 0 and 1."""
    if not 0.0 < level < 1.0:
        raise StatisticsError(f"level: expected a number between 0 and 1 such as 0.95, got {level!r}")
    return float(level)


def check_vector(values: ArrayLike, name: str = "values") -> Floats:
    """Return `values` as a float64 vector. Raises StatisticsError if it is not 1-D or not all finite."""
    return _check_finite(np.asarray(values, dtype=np.float64), 1, name)


def check_matrix(values: ArrayLike, name: str = "values") -> Floats:
    """Return `values` as a float64 matrix. Raises StatisticsError if it is not 2-D or not all finite."""
    return _check_finite(np.asarray(values, dtype=np.float64), 2, name)


def _check_finite(array: Floats, dimensions: int, name: str) -> Floats:
    if array.ndim != dimensions:
        raise StatisticsError(f"{name}: expected {dimensions} dimension(s), got the shape {array.shape}")
    missing = int(array.size - np.count_nonzero(np.isfinite(array)))
    if missing:
        raise StatisticsError(f"{name}: {missing} of {array.size} values are not finite numbers")
    return array


def check_same_length(a: NDArray[Any], b: NDArray[Any]) -> None:
    """Raise StatisticsError unless `a` and `b` have the same length (align them by id first)."""
    if len(a) != len(b):
        raise StatisticsError(f"paired values: {len(a)} on one side, {len(b)} on the other")


def is_binary(values: NDArray[Any]) -> bool:
    """Return whether every value is 0 or 1, as for a proportion."""
    return bool(np.all((values == 0) | (values == 1)))
