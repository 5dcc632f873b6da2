"""Blur corruptions: defocus, glass, motion, zoom and Gaussian."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from harness_data.corruptions.geometry import magnify_centre

Image = NDArray[np.uint8]
Unit = NDArray[np.floating[Any]]


def smooth(x: Unit, sigma: float) -> Unit:
    """Smooth the first two axes with a Gaussian cut at 4 sigma, borders repeated (scikit-image's default)."""
    smoothed: Unit = ndimage.gaussian_filter(x, (sigma, sigma, 0)[: x.ndim], mode="nearest", truncate=4.0)
    return smoothed


def gaussian_blur(image: Image, rng: np.random.Generator, sigma: float) -> Unit:
    """Smooth with a Gaussian of `sigma` px."""
    return smooth(image / 255, sigma)


@lru_cache(maxsize=32)
def disk_kernel(radius: float, sigma: float) -> NDArray[np.float64]:
    """Return a disk of `radius` px whose edge is smoothed with a 3×3 (radius > 8: 5×5) Gaussian.

    As in the authors' code, the grid ends 8 px (or the radius) from the centre and is mirrored there,
    so the widest kernel sums to 1.01 rather than 1.
    """
    half, taps = (8, 1) if radius <= 8 else (int(radius), 2)
    side = np.arange(-half, half + 1)
    disk = (side[:, None] ** 2 + side[None, :] ** 2 <= radius**2).astype(np.float64)
    disk /= disk.sum()
    gauss = np.exp(-np.square(np.arange(-taps, taps + 1)) / (2 * sigma**2))
    gauss /= gauss.sum()
    for axis in (0, 1):
        disk = ndimage.correlate1d(disk, gauss, axis=axis, mode="mirror")
    reach = np.abs(side[disk.any(axis=0)]).max()
    return disk[half - reach : half + reach + 1, half - reach : half + reach + 1]


@lru_cache(maxsize=32)
def _transform_disk(radius: float, sigma: float, shape: tuple[int, int]) -> NDArray[np.complex128]:
    spectrum: NDArray[np.complex128] = fft.rfft2(disk_kernel(radius, sigma), shape)
    return spectrum


def defocus_blur(image: Image, rng: np.random.Generator, c: tuple[float, float]) -> Unit:
    """Convolve with a disk, borders mirrored; by FFT, so that a wide disk costs no more than a narrow one."""
    kernel = disk_kernel(*c)
    half = kernel.shape[0] // 2
    padded = np.pad(image / 255, ((half, half), (half, half), (0, 0)), mode="reflect").transpose(2, 0, 1)
    # A circular convolution of the padded image is exact where the kernel does not wrap round.
    shape = (fft.next_fast_len(padded.shape[1], real=True), fft.next_fast_len(padded.shape[2], real=True))
    spectrum = fft.rfft2(padded, shape, axes=(1, 2)) * _transform_disk(*c, shape)
    blurred: Unit = fft.irfft2(spectrum, shape, axes=(1, 2))
    height, width = image.shape[:2]
    return blurred[:, 2 * half : 2 * half + height, 2 * half : 2 * half + width].transpose(1, 2, 0)


def _scatter_pixels(height: int, width: int, reach: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return the source of each pixel after one round of scattering, as flat indices H·W.

    The rule is sequential: from the last row to the first and from right to left, a random neighbour,
    which may itself have been overwritten, overwrites each pixel. (The authors' line reads like an
    exchange, but numpy's rows are views, so it copies; the published data were made that way.)
    Instead of visiting pixels in order, let each pixel point at what it reads, "before" or "after" that
    was overwritten, and shorten the chains by pointer doubling until all of them end.
    """
    count = height * width
    rows, columns = np.arange(reach + 1, height - reach + 1), np.arange(reach + 1, width - reach + 1)
    own = np.arange(count)
    if not len(rows) or not len(columns):
        return own
    at = rows[:, None] * width + columns
    source = (rows[:, None] + rng.integers(-reach, reach, at.shape)) * width
    source += columns + rng.integers(-reach, reach, at.shape)
    moved = np.zeros(count, dtype=bool)
    moved[at] = True
    # Nodes 0..count-1 are the pixels before they are overwritten, count..2·count-1 the same pixels after.
    shows = np.concatenate([own, own])
    shows[count + at] = np.where(moved[source] & (source > at), source + count, source)
    while True:
        further = shows[shows]
        if np.array_equal(further, shows):
            return shows[count:]
        shows = further


def glass_blur(image: Image, rng: np.random.Generator, c: tuple[float, int, int]) -> Unit:
    """Smooth, scatter pixels by up to `reach` px, and smooth again."""
    sigma, reach, rounds = c
    height, width = image.shape[:2]
    pixels = (smooth(image / 255, sigma) * 255).astype(np.uint8).reshape(height * width, -1)
    for _ in range(rounds):
        pixels = pixels[_scatter_pixels(height, width, reach, rng)]
    return smooth(pixels.reshape(image.shape) / 255, sigma)


def drag(x: Unit | Image, radius: int, sigma: float, angle: float) -> Unit:
    """Apply ImageMagick's one-sided motion blur to an H×W(×C) array along `angle` (degrees).

    There are 2·radius + 1 taps with the weights of half a Gaussian; tap i reads the pixel i px along
    the angle (rounded to whole pixels), borders repeated.
    """
    taps = np.arange(2 * radius + 1)
    weights = np.exp(-np.square(taps) / (2 * sigma**2))
    weights /= weights.sum()
    dy = np.ceil(taps * math.sin(math.radians(angle)) - 0.5).astype(int)
    dx = np.ceil(taps * math.cos(math.radians(angle)) - 0.5).astype(int)
    pad_y, pad_x = np.abs(dy).max(), np.abs(dx).max()
    padded = np.pad(x, [(pad_y, pad_y), (pad_x, pad_x), (0, 0)][: x.ndim], mode="edge").astype(np.float32)
    height, width = x.shape[:2]
    blurred = np.zeros(x.shape, np.float32)
    for weight, down, right in zip(weights.astype(np.float32), dy + pad_y, dx + pad_x, strict=True):
        blurred += weight * padded[down : down + height, right : right + width]
    return blurred


def motion_blur(image: Image, rng: np.random.Generator, c: tuple[int, float]) -> Image:
    """Blur along a random direction within 45° of the horizontal."""
    blurred = drag(image, *c, angle=rng.uniform(-45, 45))
    return np.clip(np.rint(blurred), 0, 255).astype(np.uint8)


def zoom_blur(image: Image, rng: np.random.Generator, c: tuple[float, float]) -> Unit:
    """Average the image and its centre at growing magnifications.

    The factors must be those of `np.arange`, rounding errors included: these decide whether the stop
    itself is a factor, and to how many pixels the centre is stretched at some sizes.
    """
    x = image.astype(np.float32) / 255
    factors = np.arange(1, *c)
    total = x.copy()
    for factor in factors:
        total += magnify_centre(x, float(factor))
    return total / (len(factors) + 1)
