"""Words for scenes: captions in varied wordings, and the zero-shot templates that go with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_embedded.sampling import BACKGROUNDS, COLOURS, TEXTURES, Scenes
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


# Like alternative texts on the web, most captions are short; the first wordings tell the most.
_HOW_OFTEN = (0.04, 0.03, 0.06, 0.03, 0.02, 0.02, 0.4, 0.1, 0.1, 0.2)


def _with_article(words: str) -> str:
    return ("an " if words[0] in "aeiou" else "a ") + words


def _caption(style: str, thing: str, colour: str, texture: str, ground: str, wording: int) -> str:
    if style in COLOURLESS:
        texts = (
            f"{_with_article(style)} of {_with_article(thing)}",
            f"{_with_article(thing)}, {style}",
            thing,
        )
        return texts[(wording > 6) + (wording > 8)]
    look = f"{colour} {texture} {thing}" if texture != "plain" else f"{colour} {thing}"
    return (
        f"{_with_article(style)} of {_with_article(look)} {ground}",
        f"{_with_article(look)} {ground}, {style}",
        f"{_with_article(style)} of {_with_article(colour + ' ' + thing)}",
        f"{_with_article(style)} of {_with_article(look)}",
        f"{_with_article(thing)} {ground}",
        f"{_with_article(style)} of {_with_article(thing)} {ground}",
        f"{_with_article(style)} of {_with_article(thing)}",
        _with_article(thing),
        f"a picture of {_with_article(thing)}",
        thing,
    )[wording]


def describe(rng: np.random.Generator, scenes: Scenes, styles: NDArray[np.str_]) -> list[str]:
    """One caption per scene. Each names the object; wording, and how much else it tells, vary."""
    colours = list(COLOURS)
    wordings = rng.choice(10, size=len(scenes), p=_HOW_OFTEN)
    return [
        _caption(
            str(styles[i]),
            CLASSES[scenes.label[i]],
            colours[scenes.colour[i]],
            TEXTURES[scenes.texture[i]],
            _GROUND[BACKGROUNDS[scenes.background[i]]].format(colours[scenes.ground[i]]),
            int(wordings[i]),
        )
        for i in range(len(scenes))
    ]
