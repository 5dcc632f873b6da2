"""Digital corruptions: contrast, elastic transformation, pixelation, JPEG and saturation."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from scipy import ndimage

from harness_data.corruptions.geometry import sample_bilinear

Image = NDArray[np.uint8]
Unit = NDArray[np.floating[Any]]


def contrast(image: Image, rng: np.random.Generator, factor: float) -> Unit:
    """Scale every channel's distance to its mean over the image by `factor`."""
    x = image / 255
    means = x.mean(axis=(0, 1), keepdims=True)
    drawn: Unit = (x - means) * factor + means
    return drawn


def saturate(image: Image, rng: np.random.Generator, c: tuple[float, float]) -> Unit:
    """Change the saturation S of HSV to `factor`·S + `added`, at constant hue and value.

    A grey pixel has no hue; HSV code calls it red, so `added` tints it, here as in the original.
    """
    factor, added = c
    x = image / 255
    value = x.max(axis=2, keepdims=True)
    chroma = value - x.min(axis=2, keepdims=True)
    # Each channel's distance below the value as a share of the chroma; some channel has 0, another 1.
    below = np.where(chroma > 0, (value - x) / np.where(chroma > 0, chroma, 1), np.array([0.0, 1.0, 1.0]))
    saturation = chroma / np.where(value > 0, value, 1)
    saturated: Unit = value * (1 - below * np.clip(saturation * factor + added, 0, 1))
    return saturated


def jpeg_compression(image: Image, rng: np.random.Generator, quality: int) -> Image:
    """Encode and decode as JPEG of that quality (Pillow's encoder, its default subsampling)."""
    file = io.BytesIO()
    PIL.Image.fromarray(image).save(file, "JPEG", quality=quality)
    with PIL.Image.open(file) as opened:
        return np.array(opened.convert("RGB"))


def pixelate(image: Image, rng: np.random.Generator, share: float) -> Image:
    """Shrink to a `share` of both sides and enlarge again, each with Pillow's box filter."""
    height, width = image.shape[:2]
    small = (max(int(width * share), 1), max(int(height * share), 1))
    box = PIL.Image.Resampling.BOX
    return np.array(PIL.Image.fromarray(image).resize(small, box).resize((width, height), box))


@lru_cache(maxsize=32)
def _smoothing_matrix(length: int, sigma: float) -> NDArray[np.float64]:
    """Return the matrix that smooths an axis with a Gaussian cut at 3 sigma, borders mirrored.

    The widest filter has 1,000 taps on 224 pixels, for which the matrix is a hundred times as fast.
    """
    matrix: NDArray[np.float64] = ndimage.gaussian_filter1d(
        np.eye(length), sigma, axis=0, mode="reflect", truncate=3.0
    )
    return matrix


def _draw_displacements(shape: tuple[int, int], alpha: float, sigma: float, rng: np.random.Generator) -> Unit:
    """Draw displacements in px: uniform noise in [-1, 1], smoothed over `sigma` px, times `alpha`."""
    noise = rng.uniform(-1, 1, shape)
    if sigma > 0:
        noise = _smoothing_matrix(shape[0], sigma) @ noise @ _smoothing_matrix(shape[1], sigma).T
    return alpha * noise


def elastic_transform(image: Image, rng: np.random.Generator, c: tuple[float, float, float]) -> Unit:
    """Apply a random affine map (of three moved points), then smooth random displacements; bilinear.

    The constants are shares of the shorter side.
    """
    height, width = image.shape[:2]
    alpha, sigma, shift = (share * min(height, width) for share in c)
    x: Unit = image.astype(np.float32) / 255
    centre, arm = np.array([width // 2, height // 2]), min(height, width) // 3
    before = np.array([centre + arm, [centre[0] + arm, centre[1] - arm], centre - arm], dtype=float)
    after = before + rng.uniform(-shift, shift, before.shape)
    # The affine map takes `before` to `after`; each output pixel reads the position that its inverse gives.
    back = np.linalg.solve(np.column_stack([after, np.ones(3)]), before)
    rows, columns = np.mgrid[:height, :width]
    look_x = back[0, 0] * columns + back[1, 0] * rows + back[2, 0]
    look_y = back[0, 1] * columns + back[1, 1] * rows + back[2, 1]
    x = sample_bilinear(x, look_y, look_x, repeat_edge=False)
    dx, dy = (_draw_displacements((height, width), alpha, sigma, rng) for _ in range(2))
    return sample_bilinear(x, rows + dy, columns + dx, repeat_edge=True)
