"""Data sets of every kind of target: a sound one each, and the same with one fault each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from faulty_data import Squares, SquareSplit

from harness import Answers, Boxes, Masks, Sample

SIDE = 8
RUNS = b":6200000f0"
"""COCO's text of a mask of 24 pixels: rows 2 to 7 of columns 1 to 4."""


class TargetSplit(SquareSplit):
    """Squares with the targets that their data set makes."""

    templates = ()

    def __init__(self, count: int, number: int, targets: Any) -> None:
        super().__init__(count, number)
        self.targets = targets

    def __getitem__(self, index: int) -> Any:
        return Sample(self.ids[index], self.pixels(index), target=self.targets[index])


class Targeted(Squares):
    """What these data sets share: `target` makes the targets."""

    def part(self, number: int) -> Any:
        return TargetSplit(self.count, number, [self.target(n) for n in range(self.count)])

    def target(self, n: int) -> Any:
        raise NotImplementedError


class Boxed(Targeted):
    """Boxes, from none to three in an image."""

    target_kind: Any = "boxes"

    def target(self, n: int) -> Any:
        count = n % 4
        corners = np.tile(np.array([[1.0, 2.0, 5.0, 8.0]], np.float32), (count, 1))
        flags = np.zeros(count, bool)
        runs = [{"size": [SIDE, SIDE], "counts": RUNS} for _ in range(count)]
        return Boxes(corners, np.arange(count) % 3, flags, flags, np.full(count, 24.0), runs)


class Segmented(Targeted):
    """A class for each pixel, and some that don't count."""

    target_kind = "masks"

    def target(self, n: int) -> Any:
        semantic = np.full((SIDE, SIDE), n % 3, np.uint8)
        semantic[0] = 255
        return Masks(semantic=semantic)


class Instances(Targeted):
    """Two instances in an image, none in every third."""

    target_kind = "masks"

    def target(self, n: int) -> Any:
        count = 2 if n % 3 else 0
        return Masks(instances=np.ones((count, SIDE, SIDE), bool), labels=np.zeros(count, np.int64))


class Captioned(Targeted):
    """One to three captions for an image."""

    target_kind = "captions"

    def target(self, n: int) -> Any:
        return [f"square {n}, caption {m}" for m in range(1 + n % 3)]


class Answered(Targeted):
    """Questions about two images, with choices or with reference answers."""

    target_kind = "answers"

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.__class__ = AskedSplit
        return split

    def target(self, n: int) -> Any:
        return Answers(choices=("yes", "no"), right=n % 2) if n % 3 else Answers(("two", "2"))


class AskedSplit(TargetSplit):
    """See Answered."""

    def __getitem__(self, index: int) -> Any:
        seen = (self.pixels(index), 255 - self.pixels(index))
        return Sample(
            self.ids[index], images=seen, texts=("which?", f"of {index}"), target=self.targets[index]
        )


class Untold(Squares):
    """Images alone."""

    target_kind = "none"

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = np.full(self.count, -1)
        split.__class__ = UntoldSplit
        return split


class UntoldSplit(SquareSplit):
    """See Untold."""

    def __getitem__(self, index: int) -> Any:
        return Sample(self.ids[index], self.pixels(index))


class Sets(Squares):
    """Several labels each."""

    target_kind = "label sets"

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = np.tile(np.array([[1, 0, -1]]), (self.count, 1))
        split.__class__ = UntoldSplit
        return split


def changed(base: Any, **change: Any) -> Any:
    """The class of a data set whose fifth target has other values."""

    def target(self: Any, n: int) -> Any:
        sound = base.target(self, n)
        return replace(sound, **change) if n == 5 else sound

    return type("Changed", (base,), {"target": target, "__doc__": base.__doc__})


def instead(base: Any, value: Any) -> Any:
    """The class of a data set with another thing in place of its targets."""
    return type("Instead", (base,), {"target": lambda self, n: value, "__doc__": base.__doc__})


def box(*corners: float) -> Any:
    return np.array([corners], np.float32)


UnknownKind = type("UnknownKind", (Boxed,), {"target_kind": "box"})
UndeclaredBoxes = type("UndeclaredBoxes", (Boxed,), {"target_kind": "label"})
UndeclaredSets = type("UndeclaredSets", (Sets,), {"target_kind": "label"})
OneLabelAsSet = type("OneLabelAsSet", (Squares,), {"target_kind": "label sets"})
BoxesAsArray = instead(Boxed, np.zeros((1, 4)))
WidthAndHeight = changed(Boxed, boxes=box(5, 5, 3, 3))
OutsideTheImage = changed(Boxed, boxes=box(1, 1, 5, 9))
WholeNumbers = changed(Boxed, boxes=np.array([[1, 1, 2, 2]]))
BoxLabelTooHigh = changed(Boxed, labels=np.array([3]))
BoxWithoutLabel = changed(Boxed, labels=np.zeros(0, np.int64))
CrowdAsNumbers = changed(Boxed, crowd=np.array([1]))
MaskMissing = changed(Boxed, masks=[])
MaskOfOtherSize = changed(Boxed, masks=[{"size": [SIDE, SIDE + 1], "counts": RUNS}])
MaskAsArray = changed(Boxed, masks=[np.ones((SIDE, SIDE), bool)])
MaskAsText = changed(Boxed, masks=[{"size": [SIDE, SIDE], "counts": RUNS.decode()}])
OtherSize = changed(Segmented, semantic=np.zeros((SIDE, SIDE - 1), np.uint8))
ClassTooHigh = changed(Segmented, semantic=np.full((SIDE, SIDE), 7, np.uint8))
NeitherMask = changed(Segmented, semantic=None)
MasksAsNumbers = changed(Instances, instances=np.ones((2, SIDE, SIDE), np.uint8))
TextAsCaptions = instead(Captioned, "a square")
NoCaption = instead(Captioned, [])
EmptyCaption = instead(Captioned, ["a square", " "])
RightBeyond = instead(Answered, Answers(choices=("yes", "no"), right=2))
NothingKnown = instead(Answered, Answers(choices=("yes", "no")))
ToldAnyway = type("ToldAnyway", (Squares,), {"target_kind": "none"})


class OtherTargets(Boxed):
    """Its samples have other boxes than its list."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = [self.target(n + 1) for n in range(self.count)]
        split.__class__ = OtherTargetsSplit
        return split


class OtherTargetsSplit(TargetSplit):
    """See OtherTargets."""

    def __getitem__(self, index: int) -> Any:
        return Sample(self.ids[index], self.pixels(index), target=self.targets[index - 1])
