"""How much each pixel counts in a training: by its class, and near a second object."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

UNCOUNTED = 255
"""Class of pixels that don't count."""

Labels = NDArray[np.integer[Any]]


def balance_by_median(
    counts: NDArray[np.integer[Any]], over: Literal["images", "set"] = "images"
) -> NDArray[np.float64]:
    """Return the weight of each class, median frequency / its frequency, from the pixels N×C of N images.

    A class's frequency is its share of the counted pixels of the images that show it (Badrinarayanan et al. 2017,
    after Eigen and Fergus), or of the whole "set". The median is over the classes that occur; others get 1.
    """
    pixels = np.asarray(counts, np.float64)
    totals = pixels.sum(axis=1)
    there = pixels.sum(axis=0)
    own = (pixels > 0).T @ totals if over == "images" else np.full(len(there), totals.sum())
    shown = there > 0
    frequencies = np.where(shown, there / np.where(shown, own, 1), 1.0)
    middle = np.median(frequencies[shown]) if shown.any() else 1.0
    return np.where(shown, middle / frequencies, 1.0)


def count_classes(labels: Labels, classes: int) -> NDArray[np.int64]:
    """Return the pixels of each class, C, without those that don't count."""
    flat = np.asarray(labels).ravel()
    return np.bincount(flat[flat != UNCOUNTED], minlength=classes).astype(np.int64)


def weigh_gaps(
    labels: Labels, background: int, height: float = 10.0, width: float = 5.0
) -> NDArray[np.float32]:
    """Return what is added to the weight of background pixels between objects, H×W (Ronneberger et al. 2015).

    height · exp(−(d₁ + d₂)² / (2 · width²)), with the distances in pixels to the nearest and the second nearest object.
    Objects are connected regions (8 neighbours) of one class; with fewer than two of them it is 0.
    """
    from scipy.ndimage import distance_transform_edt, label

    shown = [c for c in np.unique(labels).tolist() if c not in (background, UNCOUNTED)]
    near: list[NDArray[np.float64]] = []
    for one in shown:
        regions, count = label(labels == one, structure=np.ones((3, 3)))
        near += [np.asarray(distance_transform_edt(regions != n)) for n in range(1, count + 1)]
    if len(near) < 2:
        return np.zeros(np.shape(labels), np.float32)
    first, second = np.partition(np.stack(near), 1, axis=0)[:2]
    added = height * np.exp(-((first + second) ** 2) / (2 * width**2))
    return np.where(labels == background, added, 0).astype(np.float32)
