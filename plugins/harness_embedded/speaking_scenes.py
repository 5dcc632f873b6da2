"""Drawn scenes with known shape and colour, and drawn words for colours, for models that speak."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness import derive_seed
from harness_embedded.drawn_images import DrawnImages, load_or_draw
from harness_embedded.painting import SIDE, paint, painting_to_bytes
from harness_embedded.sampling import COLOURS, REFERENCE, sample_scenes
from harness_embedded.shapes import CLASSES
from harness_embedded.speaking_words import SEEN_COLOURS, SEEN_SHAPES
from harness_embedded.styles import photo

RECIPE = "speaking-1"
"""Version of pixels and of what is drawn; raise it with every change that alters them."""

# colours and surroundings are independent of the shape, so that neither tells the other
_SAMPLING = replace(REFERENCE, habit=0.0)

_LETTERS = {
    "a": "010 101 111 101 101", "b": "110 101 110 101 110", "c": "011 100 100 100 011", "d": "110 101 101 101 110",
    "e": "111 100 110 100 111", "g": "011 100 101 101 011", "h": "101 101 111 101 101", "i": "111 010 010 010 111",
    "k": "101 101 110 101 101", "l": "100 100 100 100 111", "n": "111 101 101 101 101", "o": "010 101 101 101 010",
    "p": "110 101 110 100 100", "r": "110 101 110 101 101", "t": "111 010 010 010 010", "u": "101 101 101 101 111",
    "w": "101 101 101 111 101", "y": "101 101 010 010 010",
}  # fmt: skip
"""Capital letters of 3×5 pixels, the rows from above."""


@dataclass(frozen=True)
class KnownScenes:
    """N images N×32×32×3 (uint8), and two attributes of each: indices N into names that the drawing tells."""

    images: NDArray[np.uint8]
    first: NDArray[np.int64]
    """Of scenes the shape (into `CLASSES`); of written words the word (into `SEEN_COLOURS`)."""
    colour: NDArray[np.int64]
    """Of scenes the object's colour (into `COLOURS`); of written words the ink's (into `SEEN_COLOURS`)."""


def load_known_scenes(split: str, count: int) -> KnownScenes:
    """Return `count` scenes with shapes in turn and independent colours; pixels are cached."""
    rng = np.random.default_rng(derive_seed(RECIPE, "scenes", split, count))
    shapes = np.arange(count) % len(CLASSES)
    scenes = sample_scenes(rng, shapes, _SAMPLING)

    def draw() -> DrawnImages:
        return DrawnImages(painting_to_bytes(photo(paint(scenes, rng), rng)), shapes, [""] * count)

    drawn = load_or_draw(f"{RECIPE}-scenes-{split}-{count}", draw)
    return KnownScenes(drawn.images, shapes, scenes.colour)


def find_named(scenes: KnownScenes, names: Literal["seen", "all"]) -> NDArray[np.int64]:
    """Return the rows of scenes whose shape and colour are among the seen ones, or all rows."""
    shapes = [CLASSES.index(name) for name in SEEN_SHAPES]
    colours = [list(COLOURS).index(name) for name in SEEN_COLOURS]
    seen = np.isin(scenes.first, shapes) & np.isin(scenes.colour, colours)
    return np.flatnonzero(seen | (names == "all"))


def load_colour_words(split: str, count: int, congruent: float = 1 / len(SEEN_COLOURS)) -> KnownScenes:
    """Return `count` written names of colours, a share of which are in their own colour's ink (within rounding).

    The default is what independent inks have.
    """
    rng = np.random.default_rng(derive_seed(RECIPE, "words", split, count, congruent))
    colours = len(SEEN_COLOURS)
    words = rng.permutation(np.arange(count) % colours)
    same = rng.permutation(np.arange(count) < round(congruent * count))
    inks = np.where(same, words, (words + rng.integers(1, colours, count)) % colours)
    return KnownScenes(draw_colour_words(rng, words, inks), words, inks)


def draw_colour_words(
    rng: np.random.Generator, words: NDArray[np.int64], inks: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """Return images N×32×32×3 of colours' names in coloured ink (both N, indices into `SEEN_COLOURS`).

    Dark inks stand on a light ground and light inks on a dark one.
    """
    palette = np.array([COLOURS[name] for name in SEEN_COLOURS], np.float32)
    images = np.empty((len(words), SIDE, SIDE, 3), np.float32)
    for n, (word, ink) in enumerate(zip(words, inks, strict=True)):
        colour = palette[ink] + rng.normal(0, 0.04, 3)
        ground = (0.8 if palette[ink].mean() < 0.5 else 0.2) + rng.uniform(-0.12, 0.12)
        letters = [
            np.array([[int(dot) for dot in row] for row in _LETTERS[letter].split()])
            for letter in SEEN_COLOURS[word]
        ]
        shape = np.concatenate([np.pad(letter, ((0, 0), (0, 1))) for letter in letters], axis=1)[:, :-1]
        shape = shape.repeat(2, axis=0)
        top, left = (rng.integers(1, SIDE - side) for side in shape.shape)
        mask = np.zeros((SIDE, SIDE, 1), np.float32)
        mask[top : top + shape.shape[0], left : left + shape.shape[1], 0] = shape
        images[n] = ground + (colour - ground) * mask
    return painting_to_bytes(images + rng.normal(0, 0.02, images.shape).astype(np.float32))
