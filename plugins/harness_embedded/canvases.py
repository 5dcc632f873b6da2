"""Drawn canvases with several objects, whose pixels and visibility are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import derive_seed
from harness_embedded.drawn_images import load_or_make
from harness_embedded.painting import painting_to_bytes
from harness_embedded.sampling import COLOURS
from harness_embedded.shapes import shape_distance

RECIPE = "canvases-1"
"""Version of the drawing; raise it with every change that alters it."""

MOST_OBJECTS = 4
SMALL, LARGE = (3.5, 5.5), (8.0, 14.0)
"""Half extents of objects in pixels; half of them are small."""

VISIBLE = 0.4
"""Objects of which less than this share is visible are marked: what shows is hardly an object."""

_OWN = 0.5
"""Share of a pixel that an object must cover to have it."""


@dataclass(frozen=True)
class Canvases:
    """N drawn canvases of S×S pixels."""

    images: NDArray[np.uint8]
    """N×S×S×3."""
    owners: NDArray[np.uint8]
    """N×S×S: the object that each pixel shows, from 1 in the order of drawing; 0 for the background."""
    shapes: NDArray[np.int8]
    """N×`MOST_OBJECTS`: index of each object's shape among the names, −1 where there is none."""
    hidden: NDArray[np.bool_]
    """N×`MOST_OBJECTS`: whether less than `VISIBLE` of an object is visible."""

    def __len__(self) -> int:
        return len(self.images)


def load_canvases(split: str, count: int, side: int, names: Sequence[str]) -> Canvases:
    """Return `count` canvases with objects of these shapes, drawn or from the cache; fewer are the first of more."""

    def draw() -> dict[str, NDArray[np.generic]]:
        rng = np.random.default_rng(derive_seed(RECIPE, split, side, *names))
        drawn = [_draw_canvas(rng, side, names) for _ in range(count)]
        columns = zip(*drawn, strict=True)
        return dict(zip(("images", "owners", "shapes", "hidden"), map(np.stack, columns), strict=True))

    held = load_or_make(f"{RECIPE}-{split}-{count}-{side}-{'-'.join(names)}", draw)
    return Canvases(held["images"], held["owners"], held["shapes"], held["hidden"])


def _draw_canvas(
    rng: np.random.Generator, side: int, names: Sequence[str]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int8], NDArray[np.bool_]]:
    """Draw one canvas: a dull gradient, then one to four objects from back to front, then sensor noise."""
    palette = np.array(list(COLOURS.values()), np.float32)
    x, y = np.meshgrid(np.arange(side, dtype=np.float32) + 0.5, np.arange(side, dtype=np.float32) + 0.5)
    ground = int(rng.integers(len(palette)))
    turn = rng.uniform(0, 2 * np.pi)
    slope = (np.cos(turn) * x + np.sin(turn) * y) / side - 0.5
    image = palette[ground] * 0.42 + 0.03 + np.float32(rng.uniform(0.05, 0.25)) * slope[..., None]
    owners = np.zeros((side, side), np.uint8)
    shapes, hidden = np.full(MOST_OBJECTS, -1, np.int8), np.zeros(MOST_OBJECTS, bool)
    whole = np.zeros(MOST_OBJECTS + 1)
    for number in range(int(rng.integers(1, MOST_OBJECTS + 1))):
        shapes[number] = rng.integers(len(names))
        extent = rng.uniform(*(SMALL if rng.random() < 0.5 else LARGE))
        cx, cy = rng.uniform(extent, side - extent, 2)
        # a step around the list never returns the colour of the ground
        colour = (ground + int(rng.integers(1, len(palette)))) % len(palette)
        tone = np.clip(palette[colour] + rng.normal(0, 0.05, 3), 0, 1)
        angle = np.deg2rad(rng.uniform(-20, 20))
        dx, dy = (x - np.float32(cx)) / np.float32(extent), (np.float32(cy) - y) / np.float32(extent)
        u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
        away = shape_distance(names[shapes[number]], u.astype(np.float32), v.astype(np.float32)) * extent
        cover = np.clip(0.5 - away, 0, 1)
        image = image + (tone - image) * cover[..., None]
        owners[cover > _OWN] = number + 1
        whole[number + 1] = np.count_nonzero(cover > _OWN)
    shown = np.bincount(owners.ravel(), minlength=MOST_OBJECTS + 1)
    hidden[:] = (shapes >= 0) & (shown < VISIBLE * whole)[1:]
    shapes[shown[1:] == 0] = -1  # behind others altogether
    image = image + rng.normal(0, rng.uniform(0.01, 0.04), image.shape)
    return painting_to_bytes(image.astype(np.float32)), owners, shapes, hidden
