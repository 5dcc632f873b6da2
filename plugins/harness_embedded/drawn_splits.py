"""The splits of the scenes under every shift, drawn or from the cache."""

from __future__ import annotations

from harness import derive_seed
from harness_embedded.adversarial import filtered
from harness_embedded.arrays import Drawn, kept
from harness_embedded.drawing import DISTRIBUTIONS, PER_CLASS, RECIPE, balanced, draw, shift_classes


def draw_split(shift: str, split: str) -> Drawn:
    """A split of the scenes under a shift (`a` is drawn by the adversarial filter)."""
    if shift == "a":
        return filtered(kept_split("none", "train"))
    labels = balanced(shift_classes(shift), PER_CLASS[split])
    return draw(derive_seed(RECIPE, shift, split), labels, *DISTRIBUTIONS[shift])


def kept_split(shift: str, split: str) -> Drawn:
    """As `draw_split`, from the cache when it is there."""
    return kept(f"{RECIPE}-{shift}-{split}", lambda: draw_split(shift, split))
