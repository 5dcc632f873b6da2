"""Captions of scenes in varied wordings, and the zero-shot templates that match them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_embedded.sampling import BACKGROUNDS, COLOURS, TEXTURES, SceneProperties
from harness_embedded.shapes import CLASSES
from harness_embedded.styles import COLOURLESS

TEMPLATES = (
    "a photo of a {}.",
    "a picture of a {}.",
    "a {} in the middle of a picture.",
    "a sketch of a {}.",
    "a cartoon of a {}.",
    "a watercolour of a {}.",
)
"""Zero-shot templates for the scenes."""

_GROUND = {
    "plain": "on a {} background",
    "gradient": "on a shaded {} background",
    "cloudy": "in front of {} clouds",
    "striped": "in front of a {} striped wall",
    "checkered": "on a {} checkered floor",
    "speckled": "on {} gravel",
}


# Like alt texts on the web, most captions are short; the first wordings are the most detailed.
_HOW_OFTEN = (0.04, 0.03, 0.06, 0.03, 0.02, 0.02, 0.4, 0.1, 0.1, 0.2)


def add_article(words: str) -> str:
    """Return the words preceded by "a" or "an"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def describe_ground(background: int, colour: int) -> str:
    """Return words for a scene's surroundings, given indices into `BACKGROUNDS` and `COLOURS`."""
    return _GROUND[BACKGROUNDS[background]].format(list(COLOURS)[colour])


def _write_caption(style: str, thing: str, colour: str, texture: str, ground: str, wording: int) -> str:
    if style in COLOURLESS:
        texts = (
            f"{add_article(style)} of {add_article(thing)}",
            f"{add_article(thing)}, {style}",
            thing,
        )
        return texts[(wording > 6) + (wording > 8)]
    look = f"{colour} {texture} {thing}" if texture != "plain" else f"{colour} {thing}"
    return (
        f"{add_article(style)} of {add_article(look)} {ground}",
        f"{add_article(look)} {ground}, {style}",
        f"{add_article(style)} of {add_article(colour + ' ' + thing)}",
        f"{add_article(style)} of {add_article(look)}",
        f"{add_article(thing)} {ground}",
        f"{add_article(style)} of {add_article(thing)} {ground}",
        f"{add_article(style)} of {add_article(thing)}",
        add_article(thing),
        f"a picture of {add_article(thing)}",
        thing,
    )[wording]


def write_captions(rng: np.random.Generator, scenes: SceneProperties, styles: NDArray[np.str_]) -> list[str]:
    """Return one caption per scene: each names the object, in a random wording with more or less detail."""
    colours = list(COLOURS)
    wordings = rng.choice(10, size=len(scenes), p=_HOW_OFTEN)
    return [
        _write_caption(
            str(styles[i]),
            CLASSES[scenes.label[i]],
            colours[scenes.colour[i]],
            TEXTURES[scenes.texture[i]],
            describe_ground(scenes.background[i], scenes.ground[i]),
            int(wordings[i]),
        )
        for i in range(len(scenes))
    ]
