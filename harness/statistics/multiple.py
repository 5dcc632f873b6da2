"""Correct p-values for multiple comparison."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from harness.statistics.checks import Floats, StatisticsError, check_vector


def holm(p_values: ArrayLike, family: int | None = None) -> Floats:
    """Return Holm's step-down adjusted p-values, K, in the order given (Holm 1979, Scand. J. Stat. 6:65).

    `family` is the number of hypotheses from which the K were picked (default: K). Factors then fall from
    `family` by one per step, which never yields less than Holm over all of them.
    """
    p = check_vector(p_values, "p-values")
    size = len(p) if family is None else family
    if size < len(p) or np.any((p < 0) | (p > 1)):
        raise StatisticsError(f"Holm: expected at most {size} p-values between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (size - np.arange(len(p))))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
