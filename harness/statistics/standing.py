"""Where a value stands among others: the share that is worse, and the nearest on either side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.checks import Floats

SAME = 1e-6
"""Relative difference up to which two values are equal: one may be rounded, or a mean in single precision."""


@dataclass(frozen=True)
class Standing:
    """How many of the others are worse, equal and better, and the places of the nearest better and worse one.

    Of equal neighbours, the first in the given order is named.
    """

    worse: int
    equal: int
    better: int
    above: int | None
    below: int | None

    @property
    def count(self) -> int:
        """The number of the others."""
        return self.worse + self.equal + self.better

    @property
    def share(self) -> float:
        """The share of the others that are worse; equal ones are not."""
        return self.worse / self.count if self.count else float("nan")


def find_standing(value: float, others: ArrayLike, higher_is_better: bool = True) -> Standing:
    """Return where `value` stands among `others` (N; NaN for those that have none, which don't count)."""
    gains = _orient(others, higher_is_better)
    own = value if higher_is_better else -value
    equal = np.abs(gains - own) <= SAME * abs(own)
    better, worse = np.flatnonzero((gains > own) & ~equal), np.flatnonzero((gains < own) & ~equal)
    return Standing(
        len(worse),
        int(equal.sum()),
        len(better),
        int(better[np.argmin(gains[better])]) if len(better) else None,
        int(worse[np.argmax(gains[worse])]) if len(worse) else None,
    )


def choose_around(
    values: Sequence[float], others: ArrayLike, nearest: int, higher_is_better: bool = True
) -> list[int]:
    """Return the places of those of `others` that show where `values` stand, the best first.

    They are the `nearest` ones better than, or equal to, each value and as many that are worse, and the best,
    the quartiles and the worst of all. NaN are never chosen.
    """
    gains = _orient(others, higher_is_better)
    # best first; of equal ones, the first given
    order = np.argsort(-gains, kind="stable")
    order = order[: int(np.isfinite(gains).sum())]
    if not len(order):
        return []
    last = len(order) - 1
    chosen = {round(last * share) for share in (0.0, 0.25, 0.5, 0.75, 1.0)}
    for value in values:
        own = value if higher_is_better else -value
        if own == own:
            place = int((gains[order] >= own - SAME * abs(own)).sum())
            chosen |= set(range(max(0, place - nearest), min(len(order), place + nearest)))
    return [int(order[n]) for n in sorted(chosen)]


def _orient(values: ArrayLike, higher_is_better: bool) -> Floats:
    """Return the values with a sign by which more is better."""
    found: NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    return found if higher_is_better else -found
