"""Shots: how many are drawn, base and new classes, and the base class of methods that learn from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError

POOL = 16
"""Samples drawn per class: fewer shots are the first of them, so one set of embeddings serves every number of shots."""


class FromShots:
    """Base of methods that learn from shots."""

    needs_shots = True

    def fingerprint(self) -> str:
        """Return the version of the random draws of shots and of training, with the fingerprint of other bases."""
        return " ".join(filter(None, ["learning-1", getattr(super(), "fingerprint", str)()]))


def split_base_and_new(count: int) -> tuple[list[int], list[int]]:
    """Return the labels of the base classes (the first ⌈n/2⌉) and of the new ones.

    Source: Zhou et al., CoCoOp, CVPR 2022, section 4.1, and its code.
    """
    if count < 2:
        raise DataError(f"base-to-new needs at least two classes, found {count}")
    half = (count + 1) // 2
    return list(range(half)), list(range(half, count))


def relabel_rows(
    targets: NDArray[Any], classes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of samples of `classes`, and their labels, renumbered from 0 in the order of `classes`."""
    targets = np.asarray(targets)
    if targets.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place = np.full(max(int(targets.max()), *classes) + 1, -1, np.int64)
    place[list(classes)] = np.arange(len(classes))
    rows = np.flatnonzero(place[targets] >= 0)
    return rows, place[targets[rows]]


def harmonic_mean(a: float, b: float) -> float:
    """Return 2ab/(a+b), or 0 if either is 0."""
    return 0.0 if a <= 0 or b <= 0 else 2 * a * b / (a + b)
