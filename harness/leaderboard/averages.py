"""Mean and deviation of a few numbers, for which an array would cost more than the sum."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """Return the mean, rounded once at the end; infinite values give infinities or NaN, not errors."""
    return _total(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """Return the sample standard deviation (n − 1) of at least two numbers."""
    centre = mean(values)
    # not `** 2`: a float power that overflows raises, a product becomes infinite
    return math.sqrt(_total([(v - centre) * (v - centre) for v in values]) / (len(values) - 1))


def _total(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):  # infinities of both signs, or an overflow
        return sum(values)
