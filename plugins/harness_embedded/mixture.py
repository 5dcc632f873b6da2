"""What the contrastive model learns from: scenes of every kind and both kinds of digits, with captions."""

from __future__ import annotations

import numpy as np

from harness import derive_seed
from harness_embedded.arrays import Drawn, kept
from harness_embedded.digits import kept_digits
from harness_embedded.drawing import DISTRIBUTIONS, RECIPE, balanced, draw
from harness_embedded.shapes import CLASSES

WIDE_PER_CLASS = 1000


def wide_scenes() -> Drawn:
    """Scenes of the wide distribution, from seeds that no split uses; cached."""
    labels = balanced(CLASSES, WIDE_PER_CLASS)
    seed = derive_seed(RECIPE, "wide", "train")
    return kept(f"{RECIPE}-wide-train", lambda: draw(seed, labels, *DISTRIBUTIONS["wide"]))


def wide_mixture() -> Drawn:
    """The wide scenes and the training splits of both digit sets (their labels mean nothing here)."""
    parts = [wide_scenes(), kept_digits("digits", "train"), kept_digits("printed-digits", "train")]
    return Drawn(
        np.concatenate([p.images for p in parts]),
        np.concatenate([p.labels for p in parts]),
        [caption for p in parts for caption in p.captions],
    )
