"""The data sets `drawn-objects` and `drawn-regions`: drawn canvases that know where every object lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness import Boxes, DataError, Masks, OptionError, Sample
from harness.errors import did_you_mean
from harness_embedded.shapes import CLASSES

if TYPE_CHECKING:
    from harness_embedded.canvases import Canvases

SHAPES = ("circle", "square", "triangle", "cross")
"""The objects of a canvas by default."""


class _Canvas:
    """Options of both data sets, and their canvases."""

    splits: Sequence[str] = ("train", "val", "test")
    drawn = True
    """Marks numbers that are not comparable with those on photographs."""

    def __init__(
        self, train: int = 1000, test: int = 200, side: int = 64, shapes: list[str] | None = None
    ) -> None:
        for name, value in (("train", train), ("test", test)):
            if not 1 <= value <= 20_000:
                raise OptionError(f"drawn canvases: {name} must be from 1 to 20000, not {value}")
        if not 32 <= side <= 256:
            raise OptionError(f"drawn canvases: side must be from 32 to 256, not {side}")
        self.shapes = list(SHAPES if shapes is None else shapes)
        if unknown := [name for name in self.shapes if name not in CLASSES]:
            raise OptionError(f"drawn canvases: no shape '{unknown[0]}'{did_you_mean(unknown[0], CLASSES)}")
        if not self.shapes or len(set(self.shapes)) < len(self.shapes):
            raise OptionError("drawn canvases: shapes must be different ones, at least one")
        self.train, self.test, self.side = train, test, side

    def fingerprint(self) -> str:
        """Return the version of the drawing."""
        from harness_embedded.canvases import RECIPE

        return RECIPE

    def draw(self, split: str) -> Canvases:
        """Draw the canvases of a split, or read them from the cache. Raises DataError if there is no such split."""
        from harness_embedded.canvases import load_canvases

        if split not in self.splits:
            raise DataError(f"drawn canvases have no split '{split}'{did_you_mean(split, self.splits)}")
        return load_canvases(split, self.train if split == "train" else self.test, self.side, self.shapes)


class DrawnObjects(_Canvas):
    """Canvases of 64×64 pixels with one to four drawn objects, half of them small, with their boxes and masks.

    Objects hide others behind them: a mask holds the pixels that show the object, and its box just these. An object of
    which less than two fifths are visible is marked as crowd, so that finding it counts neither way.

    Args:
        train: canvases of the training split.
        test: canvases of the splits for validation and testing, each.
        side: height and width in pixels; objects keep their size.
        shapes: the classes, among the twelve of the scenes; by default circle, square, triangle and cross.
    """

    target_kind = "boxes"

    def load(self, split: str) -> ObjectsSplit:
        """Draw one split, or read it from the cache. Raises DataError if there is no such split."""
        return ObjectsSplit(self.draw(split), f"drawn-{split}", self.shapes)


class DrawnRegions(_Canvas):
    """The canvases of `drawn-objects` with the class of each pixel: the background first, then the shapes.

    Args:
        train: canvases of the training split.
        test: canvases of the splits for validation and testing, each.
        side: height and width in pixels; objects keep their size.
        shapes: the classes beside the background; by default circle, square, triangle and cross.
    """

    target_kind = "masks"

    def load(self, split: str) -> RegionsSplit:
        """Draw one split, or read it from the cache. Raises DataError if there is no such split."""
        return RegionsSplit(self.draw(split), f"drawn-{split}", self.shapes)


class _CanvasSplit:
    """Canvases in memory."""

    def __init__(self, canvases: Canvases, prefix: str, class_names: Sequence[str]) -> None:
        self._canvases = canvases
        self.ids: Sequence[str] = [f"{prefix}/{n:05d}" for n in range(len(canvases))]
        self.class_names: Sequence[str] = list(class_names)
        self.targets: list[Any] = [self._target(n) for n in range(len(canvases))]

    def _target(self, index: int) -> Boxes | Masks:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], self._canvases.images[index], target=self.targets[index])


class ObjectsSplit(_CanvasSplit):
    """Canvases with boxes and masks."""

    def _target(self, index: int) -> Boxes:
        from pycocotools import mask

        canvases = self._canvases
        shapes = canvases.shapes[index]
        present = np.flatnonzero(shapes >= 0)
        pixels = canvases.owners[index][None] == (present + 1)[:, None, None]
        boxes = np.array([_enclose(one) for one in pixels], np.float64).reshape(-1, 4)
        codes = [mask.encode(np.asfortranarray(one.astype(np.uint8))) for one in pixels]
        areas = pixels.sum(axis=(1, 2)).astype(np.float64)
        return Boxes(
            boxes, shapes[present].astype(np.int64), canvases.hidden[index][present], areas=areas, masks=codes
        )


class RegionsSplit(_CanvasSplit):
    """Canvases with the class of each pixel."""

    def __init__(self, canvases: Canvases, prefix: str, shapes: Sequence[str]) -> None:
        super().__init__(canvases, prefix, ["background", *shapes])

    def _target(self, index: int) -> Masks:
        classes = np.concatenate([[0], self._canvases.shapes[index] + 1]).astype(np.uint8)
        return Masks(semantic=classes[self._canvases.owners[index]])


def _enclose(pixels: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the pixels of a mask, the latter two at their outer edges."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
