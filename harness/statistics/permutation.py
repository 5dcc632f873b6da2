"""The paired permutation test: random sign flips of the differences, for many rows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness.statistics.checks import Floats

PERMUTATIONS = 4999
"""Default number of drawn sign flips; with the observed one, p-values are multiples of 1/5000."""

_CHUNK_ROWS = 128
_RELATIVE = 1e-9
"""Sums closer than this, relative to the differences' norm, are equal but for rounding."""


def sign_flip_test(
    differences: Floats, permutations: int = PERMUTATIONS, seed: int = 0
) -> tuple[Floats, NDArray[np.bool_]]:
    """Return two-sided p-values for "the mean difference is zero" of each row of K×N, and which are exact.

    Under the null each pair could as well be swapped (Fisher 1935, The Design of Experiments, §21). Exact if
    a row's M non-zero differences have at most `permutations` + 1 flips, and for any M if they have the same
    size, since the sum is then binomial. Otherwise p = (1 + drawn sums as large as observed) /
    (1 + `permutations`) (Phipson and Smyth 2010, SAGMB 9:39). If no drawn sum is as large, Hoeffding's bound
    on the tail of a sum of random signs, 2·exp(−(Σd)² / 2Σd²) (1963, JASA 58:13), is used if smaller: it is
    never below the exact p-value, and leaves digits for a correction of many comparisons.

    A row's result depends on that row, `permutations` and `seed` only. Rows of zeros have p = 1.
    """
    p = np.ones(len(differences))
    exact = np.ones(len(differences), dtype=np.bool_)
    shared: list[int] = []
    largest = np.abs(differences).max(axis=1, keepdims=True)
    scaled = differences / np.where(largest > 0, largest, 1.0)
    for i, row in enumerate(scaled):
        d = row[row != 0]
        if len(d) == 0:
            continue
        # rounded, since averages over seeds that should be equal differ in the last digits
        sizes, counts = np.unique(np.round(np.abs(d), 12), return_counts=True)
        if len(sizes) == 1:
            p[i] = _p_of_equal_sizes(int((d > 0).sum()), len(d))
        elif 2 ** min(len(d), 62) <= permutations + 1:
            p[i] = _p_of_all_flips(d)
        elif len(sizes) <= len(d) // 8:
            exact[i] = False
            p[i] = _draw_by_size(d, sizes, counts, permutations, seed)
        else:
            exact[i] = False
            shared.append(i)
    if shared:
        p[shared] = _draw_together(scaled[shared], permutations, seed)
    return p, exact


def _p_of_equal_sizes(positive: int, n: int) -> float:
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(positive, n - positive), n, 0.5)))


def _p_of_all_flips(d: Floats) -> float:
    flips = (np.arange(2 ** len(d))[:, None] >> np.arange(len(d))) & 1
    sums = (2 * flips - 1) @ d
    return float((np.abs(sums) >= _threshold(d)).mean())


def _draw_by_size(d: Floats, sizes: Floats, counts: NDArray[np.int64], permutations: int, seed: int) -> float:
    # the number of differences of one size that keep their sign is binomial: no need to draw each
    kept = np.random.default_rng(seed).binomial(counts, 0.5, size=(permutations, len(counts)))
    sums = (2 * kept - counts) @ sizes
    return _p_value(int((np.abs(sums) >= _threshold(d)).sum()), permutations, d)


def _draw_together(differences: Floats, permutations: int, seed: int) -> Floats:
    # all rows share the drawn signs, as a matrix product; each row's test is valid on its own
    rng = np.random.default_rng(seed)
    n = differences.shape[1]
    columns = np.ascontiguousarray(differences.T)
    totals = columns.sum(axis=0)
    reach = np.array([_threshold(d) for d in differences])
    hits = np.zeros(len(differences), dtype=np.int64)
    for start in range(0, permutations, _CHUNK_ROWS):
        rows = min(_CHUNK_ROWS, permutations - start)
        drawn = np.frombuffer(rng.bytes(rows * ((n + 7) // 8)), dtype=np.uint8).reshape(rows, -1)
        bits = np.unpackbits(drawn, axis=1, count=n).astype(np.float64)
        hits += (np.abs(2 * (bits @ columns) - totals) >= reach).sum(axis=0)
    return np.array([_p_value(int(h), permutations, d) for h, d in zip(hits, differences)])


def _p_value(hits: int, permutations: int, d: Floats) -> float:
    p = (1 + hits) / (1 + permutations)
    if hits == 0:
        p = min(p, 2 * float(np.exp(-(d.sum() ** 2) / (2 * (d**2).sum()))))
    return p


def _threshold(d: Floats) -> float:
    """Return the size from which on a sum counts as at least the observed one."""
    return abs(float(d.sum())) - _RELATIVE * float(np.sqrt((d**2).sum()))
