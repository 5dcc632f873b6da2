"""The data set `dots`: one bright pixel, whose quadrant is the label, so that only its position tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from harness_embedded.drawn_images import DrawnSplit

CLASSES = ("upper left", "upper right", "lower left", "lower right")
TEMPLATES = ("a dot in the {} quadrant.",)
SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


class Dots:
    """Images with one bright pixel on a uniform grey, labelled with the quadrant that it lies in.

    Nothing but position tells the class: a network of circular convolutions and global average pooling gives
    the same output wherever the dot is, and zero padding leaks where the border is (Islam, Jia & Bruce, ICLR
    2020). Every position occurs once, with a grey of its own, in one of the splits.

    Args:
        size: side of the images in pixels, an even number.
    """

    label_space = "dots"
    drawn = True
    splits: Sequence[str] = tuple(SHARES)

    def __init__(self, size: int = 16) -> None:
        if size < 4 or size % 2:
            raise OptionError(f"dots: size must be an even number of at least 4, not {size}")
        self.size = size

    def fingerprint(self) -> str:
        """Return the version of the images."""
        return "dots-1"

    def load(self, split: str) -> DrawnSplit:
        """Draw the split. Raises DataError if there is no such one."""
        import numpy as np

        from harness import derive_seed
        from harness_embedded.drawn_images import DrawnImages, DrawnSplit

        if split not in self.splits:
            raise DataError(f"dots has no split '{split}'{did_you_mean(split, self.splits)}")
        half, count = self.size // 2, (self.size // 2) ** 2
        rng = np.random.default_rng(derive_seed("dots", self.size))
        orders = [rng.permutation(count) for _ in CLASSES]
        ends = np.round(np.cumsum([0.0, *SHARES.values()]) * count).astype(int)
        part = list(SHARES).index(split)
        rows = [(label, place) for label in range(4) for place in orders[label][ends[part] : ends[part + 1]]]
        images = np.empty((len(rows), self.size, self.size, 3), np.uint8)
        for image, (label, place) in zip(images, rows, strict=True):
            image[:] = 96 + (37 * int(place) + 11 * label) % 64
            image[half * (label // 2) + place // half, half * (label % 2) + place % half] = 255
        labels = np.array([label for label, _ in rows], np.int64)
        captions = [TEMPLATES[0].format(CLASSES[label]) for label in labels]
        return DrawnSplit(
            DrawnImages(images, labels, captions), f"dots-{split}", CLASSES, range(4), TEMPLATES
        )
