"""Drawn scenes whose words are all known: shape, colour, texture and surroundings of each, and captions of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness import derive_seed
from harness_embedded.captions import add_article
from harness_embedded.drawn_images import DrawnImages, load_or_draw
from harness_embedded.painting import SIDE, paint, painting_to_bytes
from harness_embedded.sampling import (
    BACKGROUNDS,
    COLOURS,
    REFERENCE,
    TEXTURES,
    SceneProperties,
    sample_scenes,
)
from harness_embedded.shapes import CLASSES
from harness_embedded.styles import photo

RECIPE = "worded-1"
"""Version of pixels and of what is drawn; raise it with every change that alters them."""

# No property tells another, and nothing is in the picture that a caption doesn't name.
_SAMPLING = replace(REFERENCE, habit=0.0, clutter=0.0, occluder=0.0)

_GROUNDS = {
    "plain": "on {} background",
    "gradient": "on {} background",
    "cloudy": "in front of {} clouds",
}


@dataclass(frozen=True)
class SceneWords:
    """The words that are true of one scene."""

    shape: str
    colour: str
    ground: str
    """The colour of what is behind the object."""
    texture: str = "plain"
    background: str = "plain"

    def describe_object(self) -> str:
        """Return the object in words, without an article: "red striped circle"."""
        texture = "" if self.texture == "plain" else f"{self.texture} "
        return f"{self.colour} {texture}{self.shape}"

    def describe_surroundings(self) -> str:
        """Return what is behind it: "on a shaded blue background"."""
        if self.background == "cloudy":
            return _GROUNDS["cloudy"].format(self.ground)
        words = f"shaded {self.ground}" if self.background == "gradient" else self.ground
        return _GROUNDS[self.background].format(add_article(words))

    def write_caption(self) -> str:
        """Return the caption that names all that is known."""
        return f"a photo of {add_article(self.describe_object())} {self.describe_surroundings()}"

    def write_captions(self) -> tuple[str, ...]:
        """Return five captions, the first two of which name all that is known; no two are the same."""
        thing, around = add_article(self.describe_object()), self.describe_surroundings()
        return (
            self.write_caption(),
            f"{thing} {around}, photo",
            f"a picture of {thing}",
            f"a photo of {add_article(f'{self.colour} {self.shape}')}",
            f"{add_article(self.shape)} {around}",
        )


@dataclass(frozen=True)
class WordedScenes:
    """N scenes: images N×frames×32×32×3 (uint8), and what is true of each."""

    images: NDArray[np.uint8]
    words: tuple[SceneWords, ...]


def sample_worded(split: str, count: int, plain: bool) -> SceneProperties:
    """Sample `count` scenes, with shapes in turn and all else independent; if `plain`, without textures.

    Tints and lights are weaker than in the scenes that models learn from, so that colours deserve their names.
    """
    rng = np.random.default_rng(derive_seed(RECIPE, "scenes", split, count, plain))
    how = replace(_SAMPLING, backgrounds=("plain",)) if plain else _SAMPLING
    scenes = sample_scenes(rng, np.arange(count) % len(CLASSES), how)
    light = scenes.light * np.float32(0.4) + np.array([0, 0, 0.6], np.float32)
    scenes = replace(scenes, tint=scenes.tint * np.float32(0.4), light=light)
    return replace(scenes, texture=np.zeros_like(scenes.texture)) if plain else scenes


def tell_words(scenes: SceneProperties) -> tuple[SceneWords, ...]:
    """Return the words that are true of each scene."""
    colours = list(COLOURS)
    return tuple(
        SceneWords(
            CLASSES[label], colours[colour], colours[ground], TEXTURES[texture], BACKGROUNDS[background]
        )
        for label, colour, ground, texture, background in zip(
            scenes.label, scenes.colour, scenes.ground, scenes.texture, scenes.background, strict=True
        )
    )


def load_worded(
    split: str, count: int, *, plain: bool = False, frames: int = 1, swapped: bool = False
) -> WordedScenes:
    """Return `count` scenes as images or films, their pixels from the cache if they are there.

    In a film of several frames the object grows by a half and moves sideways, and nothing else changes but the noise.
    With `swapped` each scene has the colours of its object and its surroundings exchanged; all else is as without.
    """
    scenes = sample_worded(split, count, plain)
    if swapped:
        tint = scenes.tint[:, [2, 3, 0, 1]]
        scenes = replace(scenes, colour=scenes.ground, ground=scenes.colour, tint=tint)

    moments = [scenes] if frames == 1 else [_move(scenes, time) for time in np.linspace(0, 1, frames)]

    def draw() -> DrawnImages:
        seed = derive_seed(RECIPE, "pixels", split, count)
        noise = np.random.default_rng(derive_seed(RECIPE, "noise", split, count, swapped))
        shown = [
            # the grain of the surroundings is the same in all frames
            painting_to_bytes(photo(paint(frame, np.random.default_rng(seed)), noise))
            for frame in moments
        ]
        images = np.stack(shown, axis=1).reshape(-1, SIDE, SIDE, 3)
        return DrawnImages(images, scenes.label.repeat(frames), [""] * len(images))

    kind = f"{'plain-' * plain}{'swapped-' * swapped}{split}"
    drawn = load_or_draw(f"{RECIPE}-{kind}-{count}x{frames}", draw)
    return WordedScenes(drawn.images.reshape(count, frames, SIDE, SIDE, 3), tell_words(scenes))


def _move(scenes: SceneProperties, time: float) -> SceneProperties:
    """Return the scenes at a time from 0 to 1 of their films; at the end the objects have the size that was sampled."""
    pose = scenes.pose.copy()
    pose[:, 1] *= np.float32((2 + time) / 3)
    pose[:, 2] += np.float32(0.08 * time - 0.04)
    return replace(scenes, pose=pose)
