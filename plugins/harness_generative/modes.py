"""Mode counts: the modes covered, the share of good samples, and how evenly they spread."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RADIUS = 3.0
"""A sample is of high quality within this many standard deviations of its nearest mode."""


def find_nearest_modes(
    points: NDArray[np.floating], centres: NDArray[np.floating], sigma: float
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the nearest centre of each point (N), and whether it lies within 3σ of it (Lin et al. 2018).

    Non-finite points are of low quality, whichever mode they get.
    """
    finite = np.isfinite(points).all(1)
    clean = np.where(finite[:, None], points, 0.0).astype(np.float64)
    distance = np.sqrt(((clean[:, None] - centres[None]) ** 2).sum(-1))
    nearest = distance.argmin(1)
    good = finite & (distance[np.arange(len(points)), nearest] < RADIUS * sigma)
    return nearest, good


def count_modes(modes: NDArray[np.int64], good: NDArray[np.bool_], k: int) -> NDArray[np.int64]:
    """Return the number of good samples of each of the k modes."""
    return np.bincount(modes[good], minlength=k)


def reverse_kl(counted: NDArray[np.int64]) -> float:
    """Return KL(p̂ ‖ uniform) = Σ p̂ ln(p̂·K) over the good samples; at most ln K.

    Without a good sample it is undefined; the worst value, ln K, is returned, so that a run without
    any never ranks above one with a single mode.
    """
    total, k = counted.sum(), len(counted)
    if total == 0:
        return float(np.log(k))
    p = counted[counted > 0] / total
    return float((p * np.log(p * k)).sum())


def measure_mode_coverage(
    modes: NDArray[np.int64], good: NDArray[np.bool_], k: int, shares: Sequence[float]
) -> dict[str, float]:
    """Return `covered` (modes with a good sample), `high_quality`, `reverse_kl`, and counts by threshold.

    For each share s in `shares`, `at_<s>` counts the modes with at least s·N/K good ones of the N samples.
    """
    counted = count_modes(modes, good, k)
    n = len(modes)
    found = {
        "covered": float((counted >= 1).sum()),
        "high_quality": float(good.mean()) if n else 0.0,
        "reverse_kl": reverse_kl(counted),
    }
    for share in shares:
        found[f"at_{share:g}"] = float((counted >= max(1, ceil(share * n / k))).sum())
    return found
