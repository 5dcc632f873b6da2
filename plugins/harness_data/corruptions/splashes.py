"""Spatter: drops of water or splashes of mud."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness_data.corruptions.blur import smooth

Image = NDArray[np.uint8]
Unit = NDArray[np.floating[Any]]

WATER = np.array([175, 238, 238]) / 255
MUD = np.array([63, 42, 20]) / 255
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
"""An emboss filter: light from the upper left."""


def detect_edges(levels: NDArray[np.uint8], low: float, high: float) -> NDArray[np.bool_]:
    """Return Canny's edges of an H×W image, as booleans.

    The strength is |dx| + |dy| of Sobel. Ridges above `low` stay if they connect to one above `high`.
    """
    grey = levels.astype(np.float64)
    dx = ndimage.sobel(grey, axis=1, mode="nearest")
    dy = ndimage.sobel(grey, axis=0, mode="nearest")
    strength = np.abs(dx) + np.abs(dy)
    padded = np.pad(strength, 1)
    height, width = grey.shape

    def neighbour(down: int, right: int) -> NDArray[np.float64]:
        return padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]

    steep = np.abs(dy) > np.abs(dx) * np.tan(np.radians(67.5))
    flat = np.abs(dy) < np.abs(dx) * np.tan(np.radians(22.5))
    falling = dx * dy >= 0
    directions = [flat, steep, falling]
    before = np.select(directions, [neighbour(0, -1), neighbour(-1, 0), neighbour(-1, -1)], neighbour(-1, 1))
    after = np.select(directions, [neighbour(0, 1), neighbour(1, 0), neighbour(1, 1)], neighbour(1, -1))
    ridge = (strength > before) & np.where(flat | steep, strength >= after, strength > after)
    candidates = ridge & (strength > low)
    labels, count = ndimage.label(candidates, structure=np.ones((3, 3)))
    strong = np.zeros(count + 1, dtype=bool)
    strong[labels[candidates & (strength > high)]] = True
    kept: NDArray[np.bool_] = strong[labels] & candidates
    return kept


def equalise_histogram(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Equalise the histogram of an H×W image; its darkest level becomes 0."""
    counts = np.bincount(levels.ravel(), minlength=256)
    first = counts[np.flatnonzero(counts)[0]]
    if first == levels.size:
        return levels
    table = np.rint((np.cumsum(counts) - first) * (255 / (levels.size - first)))
    spread: NDArray[np.uint8] = np.clip(table, 0, 255).astype(np.uint8)[levels]
    return spread


def _shade_water(drops: Unit, strength: float) -> Unit:
    """Return the amount of water colour to add, H×W: the drops shaded by the distance to their edges."""
    levels = (np.clip(drops, 0, 1) * 255).astype(np.uint8)
    outline = detect_edges(levels, 50, 150)
    distance = ndimage.distance_transform_edt(~outline) if outline.any() else np.full(levels.shape, 20.0)
    shade = ndimage.uniform_filter(np.minimum(distance, 20), 3, mode="mirror").astype(np.uint8)
    shade = equalise_histogram(shade).astype(np.int32)
    shade = np.clip(ndimage.correlate(shade, RELIEF, mode="mirror"), 0, 255)
    shade = np.rint(ndimage.uniform_filter(shade.astype(np.float64), 3, mode="mirror"))
    amount: Unit = levels * shade
    most = amount.max()
    return amount / most * strength if most > 0 else amount


def spatter(image: Image, rng: np.random.Generator, c: tuple[float, ...]) -> Unit:
    """Draw drops where smoothed noise exceeds a threshold: water adds light, mud covers."""
    mean, deviation, sigma, threshold, strength, is_mud = c
    x = image.astype(np.float32) / 255
    drops = smooth(rng.normal(mean, deviation, image.shape[:2]), sigma)
    drops[drops < threshold] = 0
    if not is_mud:
        return x + _shade_water(drops, strength)[..., None] * WATER
    cover = smooth((drops > threshold).astype(np.float32), strength)
    cover[cover < 0.8] = 0
    return x * (1 - cover[..., None]) + cover[..., None] * MUD
