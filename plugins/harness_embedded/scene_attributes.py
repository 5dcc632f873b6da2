"""The data set `scene-attributes`: drawn scenes of classes that attributes describe, some without training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import DataError, OptionError, derive_seed
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.attribute_split import AttributeSplit

RECIPE = "scene-attributes-1"
"""Version of what is drawn and of the table; raise it with every change that alters them."""


class SceneAttributes:
    """Drawn scenes, 32×32 RGB, of twelve classes with ten attributes of their outlines, for zero-shot recognition.

    Eight classes have training images; `circle`, `arrow`, `moon` and `tree` are unseen. Colours and surroundings tell
    nothing of the class. The unseen classes are those for which attributes that are learned from the others carry over
    to some degree; for most other sets of four, attributes learned on `tiny-clip`'s embeddings lead to chance. Numbers
    thus show that a method works, not how well it would do elsewhere. The embedded models have learned all twelve
    classes by name.

    Args:
        train: training images of each seen class.
        test: test images of each class.
    """

    splits: Sequence[str] = ("train", "test-seen", "test-unseen")
    label_space = "scenes"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, train: int = 50, test: int = 30) -> None:
        for name, value in (("train", train), ("test", test)):
            if not 1 <= value <= 500:
                raise OptionError(f"scene-attributes: {name} must be from 1 to 500, not {value}")
        self.train, self.test = train, test

    def fingerprint(self) -> str:
        """Return the versions of the drawing and of what is drawn."""
        from harness_embedded.drawing import RECIPE as SCENES

        return f"{SCENES}+{RECIPE}"

    def load(self, split: str) -> AttributeSplit:
        """Draw the split, or read it from the cache. Raises DataError if there is no such split."""
        from harness_embedded.attribute_split import AttributeSplit
        from harness_embedded.drawing import RECIPE as SCENES
        from harness_embedded.drawing import balance_labels, draw_scenes
        from harness_embedded.drawn_images import load_or_draw
        from harness_embedded.sampling import REFERENCE
        from harness_embedded.shape_attributes import UNSEEN
        from harness_embedded.shapes import CLASSES

        if split not in self.splits:
            raise DataError(f"scene-attributes has no split '{split}'{did_you_mean(split, self.splits)}")
        per_class = self.train if split == "train" else self.test
        names = UNSEEN if split == "test-unseen" else tuple(name for name in CLASSES if name not in UNSEEN)
        seed = derive_seed(SCENES, RECIPE, split, per_class)
        how = replace(REFERENCE, habit=0.0)
        drawn = load_or_draw(
            f"{SCENES}-{RECIPE}-{split}-{per_class}",
            lambda: draw_scenes(seed, balance_labels(names, per_class), how, ("photo",)),
        )
        return AttributeSplit(drawn, f"scene-attributes-{split}")
