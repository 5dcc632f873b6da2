"""Mean and deviation of a few numbers; an array of each few would cost more than the sum."""

from __future__ import annotations

import math
from collections.abc import Sequence


def mean(values: Sequence[float]) -> float:
    """The mean, rounded once at the end; infinite numbers keep their meaning."""
    return _total(values) / len(values)


def deviation(values: Sequence[float]) -> float:
    """The standard deviation of a sample (n − 1), of at least two numbers."""
    centre = mean(values)
    # multiplied, since a power beyond the largest number raises where a product is infinite
    return math.sqrt(_total([(v - centre) * (v - centre) for v in values]) / (len(values) - 1))


def _total(values: Sequence[float]) -> float:
    try:
        return math.fsum(values)
    except (ValueError, OverflowError):  # infinities of both signs, or beyond the largest number
        return sum(values)
