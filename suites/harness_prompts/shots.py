"""Few-shot samples and class splits: the same draw for every model and method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, derive_seed

POOL = 16
"""Samples per class that are drawn at once: fewer shots are the first of them, so one set of embeddings serves all."""


def draw_shots(targets: NDArray[Any], per_class: int, *axes: object) -> list[NDArray[np.int64]]:
    """For each label 0…max, rows of up to `per_class` of its samples in a random order that `axes` alone decide.

    A draw of K is the beginning of a draw of more from the same axes. A class with fewer samples
    gives all it has, each once.
    """
    targets = np.asarray(targets)
    order = np.random.default_rng(derive_seed("shots", *axes)).permutation(len(targets))
    labels = targets[order]
    return [order[labels == c][:per_class].astype(np.int64) for c in range(int(targets.max()) + 1)]


def base_and_new(count: int) -> tuple[list[int], list[int]]:
    """Labels of the base classes (the first ⌈n/2⌉) and of the new ones.

    Source: Zhou et al., CoCoOp, CVPR 2022, section 4.1, and its code.
    """
    if count < 2:
        raise DataError(f"base-to-new needs at least two classes, found {count}")
    half = (count + 1) // 2
    return list(range(half)), list(range(half, count))


def relabelled(targets: NDArray[Any], classes: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
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
