"""Splits of scenes under every shift, drawn or read from the cache."""

from __future__ import annotations

from harness import derive_seed
from harness_embedded.adversarial import draw_adversarial
from harness_embedded.drawing import (
    DISTRIBUTIONS,
    PER_CLASS,
    RECIPE,
    balance_labels,
    draw_scenes,
    list_shift_classes,
)
from harness_embedded.drawn_images import DrawnImages, load_or_draw


def draw_scene_split(shift: str, split: str) -> DrawnImages:
    """Draw a split of scenes under a shift (for `a`, with the adversarial filter)."""
    if shift == "a":
        return draw_adversarial(load_scene_images("none", "train"))
    labels = balance_labels(list_shift_classes(shift), PER_CLASS[split])
    return draw_scenes(derive_seed(RECIPE, shift, split), labels, *DISTRIBUTIONS[shift])


def load_scene_images(shift: str, split: str) -> DrawnImages:
    """Return `draw_scene_split`'s images, from the cache if they are there."""
    return load_or_draw(f"{RECIPE}-{shift}-{split}", lambda: draw_scene_split(shift, split))
