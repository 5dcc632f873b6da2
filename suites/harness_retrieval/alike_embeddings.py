"""Embeddings that are equal up to rounding, as those of an image that a data set lists twice, or of tokens that are equal.

Networks round in another way for each size of a batch, so that without this the order of two such candidates would be
that of their rounding errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from harness.inference.prompts import ALIKE

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIRECTIONS = 4
_AT_ONCE = 4096


def find_alike(rows: NDArray[np.floating]) -> NDArray[np.int64]:
    """Return for each of N embeddings N×D the first one that equals it up to rounding, N.

    Equal are those whose distance is at most `ALIKE` of the mean length. Only rows are compared whose projections on a
    few random directions are as near, so that no N×N matrix is made.
    """
    count, size = rows.shape
    found = np.arange(count)
    directions = np.random.default_rng(0).normal(size=(size, _DIRECTIONS))
    directions /= np.linalg.norm(directions, axis=0)
    sketch, total = np.empty((count, _DIRECTIONS)), 0.0
    for start in range(0, count, _AT_ONCE):
        part = rows[start : start + _AT_ONCE].astype(np.float64)
        with np.errstate(invalid="ignore"):  # embeddings that are no numbers are refused elsewhere
            sketch[start : start + len(part)] = part @ directions
        total += float(np.linalg.norm(part, axis=1).sum())
    scale = total / max(count, 1)
    if not 0 < scale < np.inf:
        return found
    sketch /= scale
    order = np.argsort(sketch[:, 0], kind="stable")
    while len(order) > 1:  # first neighbours, of which one goes: a crowd of equal ones shrinks to one
        one, other = _keep_alike(rows, sketch, order[:-1], order[1:], scale)
        if not len(one):
            break
        _join(found, one, other)
        order = order[~np.isin(order, other)]
    for step in range(2, len(order)):
        near = sketch[order[step:], 0] - sketch[order[:-step], 0] <= ALIKE
        if not near.any():
            break
        _join(found, *_keep_alike(rows, sketch, order[:-step][near], order[step:][near], scale))
    return np.array([_find_root(found, n) for n in range(count)], np.int64)


def count_occurrences(first: NDArray[np.int64], alike: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return how many queries have each of G candidates among their first k, G, from the numbers of these, N×k.

    `alike` holds the first of its equals for each candidate, G; equal ones share their counts, which are then their
    expectations over all orders.
    """
    counts = np.bincount(alike[first].reshape(-1), minlength=len(alike))
    return np.asarray((counts / np.maximum(np.bincount(alike, minlength=len(alike)), 1))[alike])


def _keep_alike(
    rows: NDArray[np.floating],
    sketch: NDArray[np.float64],
    one: NDArray[np.intp],
    other: NDArray[np.intp],
    scale: float,
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return those pairs of rows that are equal up to rounding."""
    near = (np.abs(sketch[one] - sketch[other]) <= ALIKE).all(axis=1)
    one, other = one[near], other[near]
    kept = np.zeros(len(one), bool)
    for start in range(0, len(one), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        apart = rows[one[part]].astype(np.float64) - rows[other[part]].astype(np.float64)
        kept[part] = np.linalg.norm(apart, axis=1) <= ALIKE * scale
    return one[kept], other[kept]


def _join(found: NDArray[np.int64], one: NDArray[np.intp], other: NDArray[np.intp]) -> None:
    """Let the later one of each pair refer to the earlier."""
    for pair in zip(one.tolist(), other.tolist(), strict=True):
        first, last = sorted(_find_root(found, n) for n in pair)
        found[last] = first


def _find_root(found: NDArray[np.int64], row: int) -> int:
    while (above := int(found[row])) != row:
        found[row] = found[above]
        row = above
    return row
