"""The contrastive model's training data: captioned scenes of every kind and both kinds of digits."""

from __future__ import annotations

import numpy as np

from harness import derive_seed
from harness_embedded.digits import load_digit_images
from harness_embedded.drawing import DISTRIBUTIONS, RECIPE, balance_labels, draw_scenes
from harness_embedded.drawn_images import DrawnImages, load_or_draw
from harness_embedded.shapes import CLASSES

WIDE_PER_CLASS = 1000


def load_wide_scenes() -> DrawnImages:
    """Return scenes of the wide distribution, from a seed that no split uses; cached."""
    labels = balance_labels(CLASSES, WIDE_PER_CLASS)
    seed = derive_seed(RECIPE, "wide", "train")
    return load_or_draw(f"{RECIPE}-wide-train", lambda: draw_scenes(seed, labels, *DISTRIBUTIONS["wide"]))


def load_wide_mixture() -> DrawnImages:
    """Return the wide scenes and both digit sets' training splits (their labels have no meaning here)."""
    parts = [
        load_wide_scenes(),
        load_digit_images("digits", "train"),
        load_digit_images("printed-digits", "train"),
    ]
    return DrawnImages(
        np.concatenate([p.images for p in parts]),
        np.concatenate([p.labels for p in parts]),
        [caption for p in parts for caption in p.captions],
    )
