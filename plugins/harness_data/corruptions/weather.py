"""Weather corruptions: snow, frost, fog and brightness.

Snow and frost are not the originals' pixels: see `DEVIATIONS` in the package.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from harness_data.corruptions.blur import drag
from harness_data.corruptions.geometry import magnify_centre

Image = NDArray[np.uint8]
Unit = NDArray[np.floating[Any]]

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""

FROST_SIDE = 512

FROST_COLOURS = (
    ((78, 149, 166), (27, 17, 15)),
    ((201, 205, 214), (21, 22, 23)),
    ((201, 205, 214), (21, 22, 23)),
    ((138, 153, 165), (29, 29, 30)),
    ((112, 123, 135), (44, 43, 42)),
)
"""Mean and standard deviation of red, green and blue in each of ImageNet-C's five photographs of frost.

The drawn textures have the same statistics, so that they change an image as strongly as the authors'
photographs: by 86 levels (root mean square) at severity 3 on two images. (Two of the five are the same.)
"""

FROST_TEXTURES = len(FROST_COLOURS)


def snow(image: Image, rng: np.random.Generator, c: tuple[float, ...]) -> Unit:
    """Lay enlarged, dragged specks over the whitened image, once as drawn and once turned by 180°."""
    mean, deviation, zoom, threshold, radius, sigma, kept = c
    x = image.astype(np.float32) / 255
    flakes = rng.normal(mean, deviation, image.shape[:2]).astype(np.float32)
    flakes = magnify_centre(flakes, zoom)
    flakes[flakes < threshold] = 0
    levels = (np.clip(flakes, 0, 1) * 255).astype(np.uint8)
    dragged = np.rint(drag(levels, int(radius), sigma, rng.uniform(-135, -45))) / 255
    whitened = np.maximum(x, (x @ LUMA)[..., None] * 1.5 + 0.5)
    layer = dragged + dragged[::-1, ::-1]
    return kept * x + (1 - kept) * whitened + layer[..., None]


@lru_cache(maxsize=FROST_TEXTURES)
def draw_frost_texture(index: int) -> NDArray[np.float32]:
    """Draw frost texture number `index`: 512×512×3 in [0, 255], periodic in both axes.

    Ice needles are the zero lines of smoothed noise, stretched along two directions and at three scales,
    and brightest where a coarse field makes the frost thick; colours follow `FROST_COLOURS`. The same
    index always gives the same texture.
    """
    rng = np.random.default_rng([19, index])
    side = FROST_SIDE

    def field(sigma: tuple[float, float]) -> NDArray[np.float32]:
        noise = rng.standard_normal((side, side), dtype=np.float32)
        smoothed = ndimage.gaussian_filter(noise, sigma, mode="wrap")
        scaled: NDArray[np.float32] = smoothed / smoothed.std()
        return scaled

    thick = 1 / (1 + np.exp(-1.5 * field((40, 40))))
    needles = np.zeros((side, side), np.float32)
    for scale, strength in ((6.0, 0.6), (12.0, 0.75), (24.0, 0.75)):
        for stretch in ((scale, 0.3 * scale), (0.3 * scale, scale)):
            needles = np.maximum(needles, strength * np.exp(-8 * np.square(field(stretch))))
    grain = np.clip(0.06 * field((0.7, 0.7)), -0.15, 0.15)
    light = 0.12 + thick * (0.3 + 0.75 * needles + grain)
    level = np.clip((light - light.mean()) / light.std(), -3, 3)
    mean, deviation = (np.array(values, np.float32) for values in FROST_COLOURS[index])
    texture: NDArray[np.float32] = np.clip(mean + deviation * level[..., None], 0, 255).astype(np.float32)
    return texture


@lru_cache(maxsize=FROST_TEXTURES)
def _shrink_frost_texture(index: int) -> NDArray[np.float32]:
    """Return the texture at a fifth of its size, for CIFAR."""
    side = int(0.2 * FROST_SIDE)
    cells = (np.arange(side + 1) * FROST_SIDE) // side
    sums = np.add.reduceat(np.add.reduceat(draw_frost_texture(index), cells[:-1], axis=0), cells[:-1], axis=1)
    width = np.diff(cells).astype(np.float32)
    means: NDArray[np.float32] = sums / (width[:, None, None] * width[None, :, None])
    return means


def frost(image: Image, rng: np.random.Generator, c: tuple[float, float], *, small: bool) -> Unit:
    """Add a random piece of a random frost texture to the image (`small`: of textures at a fifth of their size)."""
    index = int(rng.integers(FROST_TEXTURES))
    texture = _shrink_frost_texture(index) if small else draw_frost_texture(index)
    rows, columns = (
        (int(rng.integers(texture.shape[0])) + np.arange(length)) % texture.shape[0]
        for length in image.shape[:2]
    )
    piece = texture[rows[:, None], columns]
    frosted: Unit = (c[0] * image + c[1] * piece) / 255
    return frosted


def draw_plasma(side: int, decay: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw a cloud in [0, 1] by the diamond-square algorithm: side × side (a power of two), periodic.

    Each round halves the step; the midpoints of squares, then of diamonds, are the means of their four
    neighbours plus uniform noise of amplitude a², with a = 100 at first and divided by `decay` per round.
    """
    height = np.zeros((side, side))
    step, amplitude = side, 100.0
    while step >= 2:
        half = step // 2

        def jittered(total: NDArray[np.float64], amplitude: float = amplitude) -> NDArray[np.float64]:
            return total / 4 + amplitude * rng.uniform(-amplitude, amplitude, total.shape)

        corners = height[::step, ::step]
        rows = corners + np.roll(corners, -1, axis=0)
        height[half::step, half::step] = jittered(rows + np.roll(rows, -1, axis=1))
        centres = height[half::step, half::step]
        across = centres + np.roll(centres, 1, axis=0) + corners + np.roll(corners, -1, axis=1)
        height[::step, half::step] = jittered(across)
        down = centres + np.roll(centres, 1, axis=1) + corners + np.roll(corners, -1, axis=0)
        height[half::step, ::step] = jittered(down)
        step, amplitude = half, amplitude / decay
    height -= height.min()
    scaled: NDArray[np.float64] = height / height.max()
    return scaled


def fog(image: Image, rng: np.random.Generator, c: tuple[float, float]) -> Unit:
    """Add a cloud, then scale so that the largest possible value equals the image's maximum."""
    strength, decay = c
    height, width = image.shape[:2]
    side = 1 << (max(height, width) - 1).bit_length()
    x = image / 255
    brightest = x.max()
    cloud = draw_plasma(side, decay, rng)[:height, :width, None]
    fogged: Unit = (x + strength * cloud) * brightest / (brightest + strength)
    return fogged


def brightness(image: Image, rng: np.random.Generator, added: float) -> Unit:
    """Add to the value of HSV at constant hue and saturation, that is, scale the three channels alike."""
    x = image / 255
    value = x.max(axis=2, keepdims=True)
    brighter = np.minimum(value + added, 1)
    brightened: Unit = np.where(value > 0, x * (brighter / np.where(value > 0, value, 1)), brighter)
    return brightened
