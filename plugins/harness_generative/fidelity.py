"""Distances between sets of features: Fréchet, kernel (KID), precision, recall, density, coverage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from harness import HarnessError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Features = NDArray[np.floating]


ROUNDING = 1e-6
"""Share of the traces by which rounding may push a Fréchet distance below zero."""

NOTHING = 1e-12
"""Share of the traces below which a Fréchet distance is rounding error, and returned as 0."""


def frechet_distance(x: Features, y: Features) -> float:
    """Return ‖μ₁−μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of Gaussians fitted to N×D and M×D (Heusel et al. 2017).

    The trace of the root is the sum of the square roots of Σ₁Σ₂'s eigenvalues, which are real and not
    negative; rounding below zero is clipped. Raises HarnessError for a set of fewer than two samples,
    and if the result is too far below zero for rounding.
    """
    x, y = _check_sets(x, y)
    mean = ((x.mean(0) - y.mean(0)) ** 2).sum()
    s1, s2 = (np.atleast_2d(np.cov(f, rowvar=False)) for f in (x, y))
    # Σ₁^½ Σ₂ Σ₁^½ has the same eigenvalues as Σ₁Σ₂ and is symmetric
    values, vectors = np.linalg.eigh(s1)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root @ s2 @ root), 0, None)).sum()
    spread = np.trace(s1) + np.trace(s2)
    distance = float(mean + spread - 2 * cross)
    if distance < -ROUNDING * spread:
        raise HarnessError(
            f"the Fréchet distance is {distance:g}, which is negative: the features can't be used"
        )
    return distance if distance > NOTHING * spread else 0.0


def kernel_distance(x: Features, y: Features, subsets: int = 100, size: int = 1000, seed: int = 0) -> float:
    """Return the unbiased squared MMD with the kernel (xᵀy/D + 1)³, averaged over subsets (KID).

    Subsets have `size` samples, or as many as the smaller set; one subset is enough if it holds both
    sets whole. May be negative (Bińkowski et al. 2018). Raises HarnessError for a set of fewer than two.
    """
    x, y = _check_sets(x, y)
    m = min(size, len(x), len(y))
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(1 if m == len(x) == len(y) else subsets):
        a = x[rng.choice(len(x), m, replace=False)]
        b = y[rng.choice(len(y), m, replace=False)]
        aa, bb, ab = (_cubic_kernel(u, v) for u, v in ((a, a), (b, b), (a, b)))
        within = (aa.sum() - np.trace(aa) + bb.sum() - np.trace(bb)) / (m * (m - 1))
        values.append(within - 2 * ab.mean())
    return float(np.mean(values))


def _check_sets(x: Features, y: Features) -> tuple[Features, Features]:
    """Return both sets in double precision; raise HarnessError for a single sample, which has no spread."""
    if min(len(x), len(y)) < 2:
        raise HarnessError(f"a distance between sets needs two samples of each, found {len(x)} and {len(y)}")
    return np.asarray(x, np.float64), np.asarray(y, np.float64)


def _cubic_kernel(u: Features, v: Features) -> Features:
    kernel: Features = (u @ v.T / u.shape[1] + 1) ** 3
    return kernel


class PRDC(NamedTuple):
    """Precision and recall (Kynkäänniemi et al. 2019), density and coverage (Naeem et al. 2020)."""

    precision: float
    recall: float
    density: float
    coverage: float


def prdc(real: Features, fake: Features, k: int = 5) -> PRDC:
    """Return all four by k-nearest-neighbour balls, with strict inequality as in the authors' code.

    Distances are computed for some rows at a time, so that 50,000 samples fit into memory.
    """
    real, fake = np.asarray(real, np.float64), np.asarray(fake, np.float64)
    real_radius, fake_radius = _neighbour_radii(real, k), _neighbour_radii(fake, k)
    balls = np.zeros(len(fake), np.int64)
    recalled, covered = [], []
    for start, between in _iterate_distances(real, fake):
        radius = real_radius[start : start + len(between)]
        balls += (between < radius[:, None]).sum(0)
        recalled.append((between < fake_radius[None]).any(1))
        covered.append(between.min(1) < radius)
    return PRDC(
        float((balls > 0).mean()),
        float(np.concatenate(recalled).mean()),
        float(balls.mean() / k),
        float(np.concatenate(covered).mean()),
    )


def _iterate_distances(x: Features, y: Features) -> Iterator[tuple[int, Features]]:
    """Yield chunks of rows of the distance matrix of x to y, each with the index of its first row."""
    from sklearn.metrics import pairwise_distances_chunked

    start = 0
    for part in pairwise_distances_chunked(x, y):
        yield start, part
        start += len(part)


def _neighbour_radii(x: Features, k: int) -> Features:
    """Return each sample's distance to its k-th neighbour, counting the sample itself, at 0, as number 0."""
    k, found = min(k, len(x) - 1), []
    for start, distances in _iterate_distances(x, x):
        rows = np.arange(len(distances))
        distances[rows, start + rows] = 0
        found.append(np.partition(distances, k, axis=1)[:, k].copy())  # a view would keep the whole chunk
    return np.concatenate(found)
