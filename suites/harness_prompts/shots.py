"""What learning from a few shots is made of: how many are drawn, and which classes they are of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError

POOL = 16
"""Samples per class that are drawn at once: fewer shots are the first of them, so one set of embeddings serves all."""


class FromShots:
    """What methods that learn from shots share."""

    needs_shots = True

    def fingerprint(self) -> str:
        """Return the version of the draws, of shots and in training, and what another base adds."""
        return " ".join(filter(None, ["learning-1", getattr(super(), "fingerprint", str)()]))


def split_base_and_new(count: int) -> tuple[list[int], list[int]]:
    """Labels of the base classes (the first ⌈n/2⌉) and of the new ones.

    Source: Zhou et al., CoCoOp, CVPR 2022, section 4.1, and its code.
    """
    if count < 2:
        raise DataError(f"base-to-new needs at least two classes, found {count}")
    half = (count + 1) // 2
    return list(range(half)), list(range(half, count))


def relabel_rows(
    targets: NDArray[Any], classes: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the samples of `classes`, and their labels counted from 0 in the order of `classes`."""
    targets = np.asarray(targets)
    if targets.size == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    place = np.full(max(int(targets.max()), *classes) + 1, -1, np.int64)
    place[list(classes)] = np.arange(len(classes))
    rows = np.flatnonzero(place[targets] >= 0)
    return rows, place[targets[rows]]


def harmonic_mean(a: float, b: float) -> float:
    """2ab/(a+b); 0 when either is 0."""
    return 0.0 if a <= 0 or b <= 0 else 2 * a * b / (a + b)
