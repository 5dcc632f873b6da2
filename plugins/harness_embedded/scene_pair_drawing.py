"""Draw the pairs of `scene-pairs`: a scene and a text, each with its own polarity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness import derive_seed
from harness_embedded.captions import add_article, describe_ground
from harness_embedded.drawn_images import DrawnImages, load_or_draw
from harness_embedded.painting import paint, painting_to_bytes
from harness_embedded.sampling import COLOURS, REFERENCE, SceneProperties, sample_scenes
from harness_embedded.shapes import CLASSES
from harness_embedded.styles import photo

RECIPE = "scene-pairs-1"
"""Version of pixels, texts and labels; raise it with every change that alters them."""

POLARITIES = ("negative", "neutral", "positive")
SHARES = (0.2, 0.35, 0.45)
"""Share of each polarity among texts and, independently, among images."""

OBJECTS: dict[str, tuple[str, ...]] = {
    "negative": ("cross", "arrow", "moon", "fish"),
    "neutral": ("circle", "square", "triangle", "ring"),
    "positive": ("heart", "star", "house", "tree"),
}
"""Objects by the polarity they give their image."""

WORDS: dict[str, tuple[str, ...]] = {
    "negative": ("awful", "sad", "ugly"),
    "neutral": ("ordinary", "usual", "normal"),
    "positive": ("lovely", "happy", "great"),
}
"""Words by the polarity they give their text; each text has one."""

EMPHATIC = ("really", "truly")
MILD = ("rather", "slightly")
"""Adverbs before that word: `EMPHATIC` or `MILD`."""

# Colours and surroundings are independent of the object, so a text can't reveal the image's polarity.
_SAMPLING = replace(REFERENCE, habit=0.0, clutter=0.1, occluder=0.0)

_WORDINGS = (
    "{how} {word}",
    "{a_how} {word} picture",
    "{a_how} {word} thing, {colour}",
    "{a_how} {word} picture {ground}",
    "something {colour}, {how} {word}",
)
_HOW_OFTEN = (0.2, 0.25, 0.2, 0.2, 0.15)


@dataclass(frozen=True)
class DrawnScenePairs:
    """N drawn pairs: `text` and `image` are indices into `POLARITIES`, `emphatic` is bool, each N."""

    images: NDArray[np.uint8]
    texts: Sequence[str]
    text: NDArray[np.int64]
    image: NDArray[np.int64]
    emphatic: NDArray[np.bool_]


def _write_texts(
    rng: np.random.Generator,
    scenes: SceneProperties,
    polarity: NDArray[np.int64],
    emphatic: NDArray[np.bool_],
) -> list[str]:
    n, colours = len(scenes), list(COLOURS)
    which, adverb = rng.integers(len(WORDS["neutral"]), size=n), rng.integers(len(MILD), size=n)
    wordings = rng.choice(len(_WORDINGS), size=n, p=_HOW_OFTEN)
    written = []
    for i in range(n):
        word = WORDS[POLARITIES[polarity[i]]][which[i]]
        how = (EMPHATIC if emphatic[i] else MILD)[adverb[i]]
        written.append(
            _WORDINGS[wordings[i]].format(
                how=how,
                a_how=add_article(how),
                word=word,
                colour=colours[scenes.colour[i]],
                ground=describe_ground(scenes.background[i], scenes.ground[i]),
            )
        )
    return written


def draw_scene_pairs(split: str, count: int, seed: int, shares: Sequence[float]) -> DrawnScenePairs:
    """Draw `count` pairs with independent polarities in the given shares; the pixels are cached."""
    rng = np.random.default_rng(derive_seed(RECIPE, split, count, seed, *shares))
    text = rng.choice(len(POLARITIES), size=count, p=shares)
    image = rng.choice(len(POLARITIES), size=count, p=shares)
    emphatic = rng.random(count) < 0.5
    which = rng.integers(4, size=count)
    objects = [CLASSES.index(OBJECTS[POLARITIES[p]][k]) for p, k in zip(image, which, strict=True)]
    labels = np.array(objects, np.int64)
    scenes = sample_scenes(rng, labels, _SAMPLING)
    texts = _write_texts(rng, scenes, text, emphatic)

    def draw() -> DrawnImages:
        layers = paint(scenes, rng)
        return DrawnImages(painting_to_bytes(photo(layers, rng)), labels, texts)

    shown = "-".join(f"{share:g}" for share in shares)
    drawn = load_or_draw(f"{RECIPE}-{split}-{count}-{seed}-{shown}", draw)
    return DrawnScenePairs(drawn.images, texts, text, image, emphatic)


def blur_scene_pairs(images: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Blur images N×H×W×3 with a Gaussian of this radius in pixels."""
    from PIL import Image, ImageFilter

    soft = ImageFilter.GaussianBlur(radius)
    return np.stack([np.asarray(Image.fromarray(image).filter(soft)) for image in images])
