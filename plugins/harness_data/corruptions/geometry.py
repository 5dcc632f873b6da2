"""Sampling between pixels: magnified centres and bilinear look-up."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


@lru_cache(maxsize=256)
def _magnify_axis(length: int, factor: float) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return, for each of `length` output pixels, the source pixel to its left and the offset from it.

    The central ceil(length / factor) pixels are stretched corner to corner over
    round(crop · factor) pixels, of which the central `length` are kept.
    """
    crop = int(np.ceil(length / factor))
    start = (length - crop) // 2
    stretched = max(round(crop * factor), length)
    trim = (stretched - length) // 2
    position = (np.arange(length) + trim) * ((crop - 1) / max(stretched - 1, 1))
    left = np.minimum(position.astype(np.intp), max(crop - 2, 0))
    return left + start, (position - left).astype(np.float32)


def magnify_centre(image: Array, factor: float) -> Array:
    """Enlarge the centre of an H×W or H×W×C image `factor` (≥ 1) times, linearly, at the same size.

    Equals `scipy.ndimage.zoom(order=1)` of the cropped centre, computed one axis at a time.
    """
    if factor == 1:
        return image
    rows, down = _magnify_axis(image.shape[0], factor)
    columns, across = _magnify_axis(image.shape[1], factor)
    tail = (1,) * (image.ndim - 2)
    down, across = down.reshape(-1, 1, *tail), across.reshape(1, -1, *tail)
    upper, lower = image[rows], image[np.minimum(rows + 1, image.shape[0] - 1)]
    tall = upper + (lower - upper) * down
    left, right = tall[:, columns], tall[:, np.minimum(columns + 1, image.shape[1] - 1)]
    magnified: Array = left + (right - left) * across
    return magnified


def mirror_indices(index: NDArray[np.intp], length: int, *, repeat_edge: bool) -> NDArray[np.intp]:
    """Reflect indices outside [0, length) back into it.

    `repeat_edge` repeats the border pixel (… b a | a b …); otherwise it is not repeated (… b | a b …).
    """
    period = 2 * length if repeat_edge else max(2 * (length - 1), 1)
    index = np.mod(index, period)
    return np.where(index < length, index, period - index - (1 if repeat_edge else 0))


def sample_bilinear(image: Array, y: Array, x: Array, *, repeat_edge: bool) -> Array:
    """Sample an H×W×C image at the real positions y, x (each H×W), bilinearly, mirrored at the borders."""
    height, width = image.shape[:2]
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    down = (y - top)[..., None].astype(image.dtype)
    across = (x - left)[..., None].astype(image.dtype)
    rows = [mirror_indices(top + i, height, repeat_edge=repeat_edge) * width for i in (0, 1)]
    columns = [mirror_indices(left + i, width, repeat_edge=repeat_edge) for i in (0, 1)]
    pixels = image.reshape(height * width, -1)
    upper, lower = (
        pixels[r + columns[0]] + (pixels[r + columns[1]] - pixels[r + columns[0]]) * across for r in rows
    )
    found: Array = upper + (lower - upper) * down
    return found
