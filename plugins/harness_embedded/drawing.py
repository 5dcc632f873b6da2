"""Draw splits of scenes: distribution, styles, counts and seeds."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_embedded.captions import write_captions
from harness_embedded.drawn_images import DrawnImages
from harness_embedded.painting import paint, painting_to_bytes
from harness_embedded.sampling import (
    ODD_VIEWS,
    REFERENCE,
    RESAMPLED,
    SUBSETS,
    WIDE,
    SceneDistribution,
    sample_scenes,
)
from harness_embedded.shapes import CLASSES
from harness_embedded.styles import RENDITIONS, WIDE_STYLES, render_styles

RECIPE = "scenes-2"
"""Version of pixels and captions; raise it with every change that alters them."""

PER_CLASS = {"train": 500, "val": 50, "test": 50}
"""Images per class in each split."""

DISTRIBUTIONS: dict[str, tuple[SceneDistribution, tuple[str, ...]]] = {
    "none": (REFERENCE, ("photo",)),
    "v2": (RESAMPLED, ("photo",)),
    "r": (REFERENCE, RENDITIONS),
    "sketch": (REFERENCE, ("sketch",)),
    "a": (REFERENCE, ("photo",)),
    "objectnet": (ODD_VIEWS, ("photo",)),
    "wide": (WIDE, WIDE_STYLES),
}
"""Distribution of scenes and styles by shift; `wide` is the contrastive model's training mixture."""


def list_shift_classes(shift: str) -> tuple[str, ...]:
    """Return the names of a shift's classes, in the order of its own labels."""
    return SUBSETS.get(shift, CLASSES)


def draw_scenes(
    seed: int, labels: NDArray[np.int64], how: SceneDistribution, styles: tuple[str, ...]
) -> DrawnImages:
    """Draw scenes of the given labels in randomly chosen styles, determined by the seed alone.

    If a mixture contains photographs among other styles, about half of its images are photographs.
    """
    rng = np.random.default_rng(seed)
    n = len(labels)
    chosen = np.array(styles)[rng.integers(len(styles), size=n)]
    if len(styles) > 1 and "photo" in styles:
        chosen[rng.random(n) < 0.4] = "photo"
    images, captions = [], []
    for start in range(0, n, 1000):  # a thousand at a time, to keep the float layers small
        part = slice(start, start + 1000)
        scenes = sample_scenes(rng, labels[part], how)
        images.append(painting_to_bytes(render_styles(paint(scenes, rng), chosen[part], rng)))
        captions += write_captions(rng, scenes, chosen[part])
    return DrawnImages(np.concatenate(images), labels, captions)


def balance_labels(classes: tuple[str, ...], per_class: int) -> NDArray[np.int64]:
    """Return labels that cycle through the classes, so that every prefix is balanced."""
    return np.tile(np.array([CLASSES.index(c) for c in classes], np.int64), per_class)
