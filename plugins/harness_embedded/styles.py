"""Render the layers of scenes in a style: photograph, sketch, or one of the renditions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from harness_embedded.painting import SIDE, Layers, draw_soft_noise

Array = NDArray[np.float32]
Style = Callable[[Layers, np.random.Generator], Array]


def _grey(images: Array) -> Array:
    return images @ np.array([0.299, 0.587, 0.114], np.float32)


def _stroke(layers: Layers, rng: np.random.Generator, width: float, wobble: float) -> Array:
    """Return the ink of a line along the outline, N×H×W; the line wavers by `wobble` pixels."""
    n = len(layers.noise)
    wavering = layers.distance + wobble * draw_soft_noise(rng, n, 6)
    return np.clip(width - np.abs(wavering) + 0.5, 0, 1)


def _blur(images: Array, times: int) -> Array:
    """Blur N×H×W×3 with the binomial [1 2 1]/4, edges repeated."""
    for _ in range(times):
        for axis in (1, 2):
            padded = np.pad(images, [(1, 1) if k == axis else (0, 0) for k in range(4)], mode="edge")
            before, middle, after = (
                np.take(padded, np.arange(s, s + SIDE), axis=axis) for s in (0, 1, 2)
            )  # fmt: skip
            images = (before + 2 * middle + after) / np.float32(4)
    return images


def photo(layers: Layers, rng: np.random.Generator) -> Array:
    """Render a photograph with sensor noise."""
    noise = rng.standard_normal(layers.photo.shape, dtype=np.float32)
    return layers.photo + noise * layers.noise[:, None, None, None]


def sketch(layers: Layers, rng: np.random.Generator) -> Array:
    """Render edges only: a wavering dark line on paper, without colour, texture or surroundings."""
    n = len(layers.noise)
    ink = _stroke(layers, rng, 0.35, 0.6) * rng.uniform(0.6, 0.95, (n, 1, 1)).astype(np.float32)
    paper = 0.96 + 0.03 * rng.standard_normal((n, SIDE, SIDE), dtype=np.float32)
    return np.repeat((paper - ink)[..., None], 3, axis=3)


def chalk(layers: Layers, rng: np.random.Generator) -> Array:
    """Render a light chalk line on a dark coloured board."""
    n = len(layers.noise)
    board = rng.uniform(0.05, 0.35, (n, 1, 1, 3)).astype(np.float32)
    grain = 0.7 + 0.3 * rng.random((n, SIDE, SIDE), dtype=np.float32)
    ink = (_stroke(layers, rng, 0.7, 0.5) * grain)[..., None]
    return board + (0.95 - board) * ink


def stipple(layers: Layers, rng: np.random.Generator) -> Array:
    """Render ink dots on paper, dense in the object and sparse around it."""
    n = len(layers.noise)
    density = 0.04 + 0.6 * layers.inside
    ink = (rng.random((n, SIDE, SIDE), dtype=np.float32) < density) * np.float32(0.8)
    return np.repeat((0.93 - ink)[..., None], 3, axis=3)


def cartoon(layers: Layers, rng: np.random.Generator) -> Array:
    """Render flat strong colours in three levels with a black outline."""
    grey = _grey(layers.photo)[..., None]
    strong: Array = np.clip(grey + (layers.photo - grey) * 1.6, 0, 1)
    flat = np.round(strong * 2) / np.float32(2)
    return flat * (1 - _stroke(layers, rng, 0.6, 0.2)[..., None])


def watercolour(layers: Layers, rng: np.random.Generator) -> Array:
    """Render washed-out colours that run into each other on rough paper."""
    n = len(layers.noise)
    rough = 0.06 * rng.standard_normal((n, SIDE, SIDE, 1), dtype=np.float32)
    pools = 0.15 * draw_soft_noise(rng, n, 6)[..., None]
    washed: Array = 0.35 + 0.65 * _blur(layers.photo, 3) + pools + rough
    return washed


def negative(layers: Layers, rng: np.random.Generator) -> Array:
    """Render a photographic negative."""
    return 1 - photo(layers, rng)


def mosaic(layers: Layers, rng: np.random.Generator) -> Array:
    """Render tiles of 2×2 pixels, each in the mean colour of its pixels plus noise."""
    n, half = len(layers.noise), SIDE // 2
    tiles: Array = layers.photo.reshape(n, half, 2, half, 2, 3).mean(axis=(2, 4))
    tiles = tiles + 0.09 * rng.standard_normal(tiles.shape, dtype=np.float32)
    return tiles.repeat(2, axis=1).repeat(2, axis=2)


STYLES: dict[str, Style] = {
    "photo": photo,
    "sketch": sketch,
    "chalk drawing": chalk,
    "stippled print": stipple,
    "cartoon": cartoon,
    "watercolour": watercolour,
    "negative": negative,
    "mosaic": mosaic,
}
"""Styles by the words that captions use for them."""

COLOURLESS = frozenset({"sketch", "chalk drawing", "stippled print"})
"""Styles that show neither colours nor textures; their captions don't mention them."""

RENDITIONS = ("chalk drawing", "stippled print", "cartoon", "watercolour", "negative", "mosaic")
"""The styles of the shift `r`."""

WIDE_STYLES = ("photo", "sketch", "chalk drawing", "stippled print", "cartoon", "watercolour")
"""Styles of the contrastive model's training mixture; two of the renditions stay unseen."""


def render_styles(layers: Layers, styles: NDArray[np.str_], rng: np.random.Generator) -> Array:
    """Render images N×H×W×3, each in its named style."""
    images = np.empty_like(layers.photo)
    for name in STYLES:
        rows = np.flatnonzero(styles == name)
        if len(rows):
            part = Layers(layers.inside[rows], layers.distance[rows], layers.photo[rows], layers.noise[rows])
            images[rows] = STYLES[name](part, rng)
    return images
