"""The data set `scenes`: drawn, captioned objects, with shifts modelled on the ImageNet family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.drawn_images import DrawnSplit

Shift = Literal["none", "v2", "r", "sketch", "a", "objectnet"]
Subset = Literal["all", "r", "a", "objectnet"]


class Scenes:
    """Photograph-like drawings, 32×32 RGB, of twelve kinds of objects, each with a caption.

    Args:
        shift: the distribution of the test images. `none` is the reference; `v2` samples the same
            kind of scenes with slightly harder parameters; `r` renders them in other styles; `sketch`
            leaves only edges; `a` keeps what a small reference classifier gets wrong; `objectnet`
            has odd viewpoints and backgrounds. All but `none` have only a test split.
        classes: keep only the classes of the named shift, labelled in that shift's order, so that
            models can be compared on the same classes.
        per_class: keep only the first samples of each class, at most this many.
    """

    label_space = "scenes"
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(self, shift: Shift = "none", classes: Subset = "all", per_class: int | None = None) -> None:
        if per_class is not None and per_class < 1:
            raise OptionError(f"scenes: per_class must be at least 1, not {per_class}")
        self.shift = shift
        self.classes = classes
        self.per_class = per_class
        self.splits: Sequence[str] = ("train", "val", "test") if shift == "none" else ("test",)

    def fingerprint(self) -> str:
        """Return the version of the drawing recipe."""
        from harness_embedded.drawing import RECIPE

        return RECIPE

    def load(self, split: str) -> DrawnSplit:
        """Draw the split, or read it from the cache.

        Raises:
            DataError: the data set has no such split under this shift.
        """
        from harness_embedded.captions import TEMPLATES
        from harness_embedded.drawing import list_shift_classes
        from harness_embedded.drawn_images import DrawnSplit
        from harness_embedded.sampling import SUBSETS
        from harness_embedded.scene_splits import load_scene_images
        from harness_embedded.shapes import CLASSES

        if split not in self.splits:
            raise DataError(f"scenes:{self.shift} has no split '{split}'{did_you_mean(split, self.splits)}")
        own = list_shift_classes(self.shift)
        # In the order of the requested subset, the restricted reference has the shift's own labels.
        names = own if self.classes == "all" else [c for c in SUBSETS[self.classes] if c in own]
        return DrawnSplit(
            load_scene_images(self.shift, split),
            f"scenes-{self.shift}-{split}",
            CLASSES,
            [CLASSES.index(c) for c in names],
            TEMPLATES,
            self.per_class,
        )
