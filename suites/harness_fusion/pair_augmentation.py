"""Augment training pairs: flip, crop, colour, noise; synonyms, insertions, dropped words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness import OptionError, derive_seed

if TYPE_CHECKING:
    from PIL import Image

SYNONYMS = Path(__file__).with_name("synonyms.txt")

NEGATIONS = frozenset(
    ("not", "no", "never", "none", "nobody", "nothing", "neither", "nor", "without", "hardly")
)
"""Words never dropped, replaced or doubled, like those that end in n't, since they decide the polarity."""

_AROUND = ".,;:!?\"'()[]{}…“”‘’«»-–—*#@"


@cache
def read_synonyms() -> Mapping[str, tuple[str, ...]]:
    """Return the synonyms of each word of the package's list."""
    found: dict[str, tuple[str, ...]] = {}
    for line in SYNONYMS.read_text(encoding="utf-8").splitlines():
        group = line.split() if not line.startswith("#") else []
        for word in group:
            found[word] = (*found.get(word, ()), *(other for other in group if other != word))
    return found


@dataclass(frozen=True)
class PairAugmentation:
    """Random changes to training pairs; each depends only on (seed, epoch, id of the sample).

    Images keep their size. `flip`: probability of a horizontal flip; `crop`: the least share of the
    area that a random crop keeps (its aspect ratio changes by up to 4:3); `colour`: largest relative
    change of brightness, contrast and saturation; `noise`: standard deviation of Gaussian noise, with
    white at 1. Texts change word by word, split at spaces (so texts in scripts without spaces stay
    unchanged): `replace`, `insert`, `drop`: probability that a word is replaced by a synonym, that a
    synonym is inserted somewhere, or that the word is dropped; at least one word stays, and negations
    are never changed. After Wei and Zou, "EDA", EMNLP-IJCNLP 2019, with a short list of synonyms of
    the same polarity in place of WordNet.
    """

    flip: float = 0.5
    crop: float = 0.8
    colour: float = 0.2
    noise: float = 0.02
    replace: float = 0.1
    insert: float = 0.1
    drop: float = 0.1

    def __post_init__(self) -> None:
        """Raise OptionError for a value outside 0 to 1, or a crop of 0."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value <= 1 or (field.name == "crop" and value == 0):
                raise OptionError(f"augmentation: {field.name} must be from 0 to 1, not {value}")

    def alter_image(self, image: Image.Image, identity: str, epoch: int, seed: int) -> Image.Image:
        """Return the RGB image as augmented in an epoch (from 0), in its original size."""
        from PIL import Image
        from torchvision.transforms.v2 import functional as F

        rng = np.random.default_rng(derive_seed("augmented image", seed, epoch, identity))
        chance, area, ratio, x, y = rng.random(5)
        if chance < self.flip:
            image = F.horizontal_flip(image)
        width, height = image.size
        share = float(np.sqrt(self.crop + (1 - self.crop) * area))
        stretch = float(
            np.clip((4 / 3) ** (ratio - 0.5), share, 1 / share)
        )  # neither side exceeds the image's
        w, h = (max(1, min(round(s), limit)) for s, limit in zip(
            (width * share * stretch, height * share / stretch), (width, height), strict=True
        ))  # fmt: skip
        if (w, h) != (width, height):
            top, left = round(y * (height - h)), round(x * (width - w))
            image = F.resized_crop(image, top, left, h, w, [height, width])
        for adjust in (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation):
            image = adjust(image, 1 + self.colour * rng.uniform(-1, 1))
        if self.noise:
            pixels = np.asarray(image) + rng.normal(0, 255 * self.noise, (height, width, 3))
            image = Image.fromarray((pixels.clip(0, 255) + 0.5).astype(np.uint8))
        return image

    def alter_text(self, text: str, identity: str, epoch: int, seed: int) -> str:
        """Return the text as augmented in an epoch (from 0); an empty text stays empty."""
        rng = np.random.default_rng(derive_seed("augmented text", seed, epoch, identity))
        words = text.split()
        chances = rng.random((len(words), 3))
        kept, added = [], []
        for word, (replace, insert, drop) in zip(words, chances, strict=True):
            core = word.strip(_AROUND)
            others = read_synonyms().get(core.lower(), ())
            fixed = core.lower() in NEGATIONS or core.lower().endswith(("n't", "n’t"))
            if others and insert < self.insert:
                added.append(_choose(rng, others))
            if others and replace < self.replace:
                kept.append(word.replace(core, _match_case(core, _choose(rng, others))))
            elif fixed or drop >= self.drop:
                kept.append(word)
        if words and not kept:
            kept.append(words[rng.integers(len(words))])
        for word in added:
            kept.insert(int(rng.integers(len(kept) + 1)), word)
        return " ".join(kept)


def _choose(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]


def _match_case(model: str, word: str) -> str:
    if model.isupper() and len(model) > 1:
        return word.upper()
    return word.capitalize() if model[:1].isupper() else word
