"""Data sets: a sound one, and the same with one fault each, for the kit to find."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from harness import DataError, Sample


class Squares:
    """A sound data set of drawn squares."""

    splits: Any = ("train", "test")
    label_space = "kit"

    def __init__(self, count: int = 12) -> None:
        self.count = count

    def fingerprint(self) -> str:
        return f"squares {self.count}"

    def load(self, split: str) -> Any:
        if split not in self.splits:
            raise DataError(f"squares has no split '{split}'")
        return self.part(list(self.splits).index(split))

    def part(self, number: int) -> Any:
        return SquareSplit(self.count, number)


class SquareSplit:
    """Squares of noise, different in each split."""

    class_names: Any = ("dark", "bright", "grey")
    templates = ("a {} square.",)

    def __init__(self, count: int, number: int) -> None:
        self.number = number
        self.targets = np.arange(count, dtype=np.int64) % 3
        self.ids: Any = [f"{number}/{i}" for i in range(count)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        return Sample(self.ids[index], self.pixels(index), int(self.targets[index]))

    def pixels(self, index: int) -> Any:
        seed = 1000 * self.number + range(len(self))[index]
        return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def varied(**members: Any) -> Any:
    """The class of a split with other members."""
    return type("VariedSplit", (SquareSplit,), members)


class Endless(Squares):
    """Starts again behind its last sample."""

    def part(self, number: int) -> Any:
        return EndlessSplit(self.count, number)


class EndlessSplit(SquareSplit):
    """See Endless."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index % len(self))


class AnySplit(Squares):
    """Gives a split whatever it is asked for."""

    def load(self, split: str) -> Any:
        return self.part(0)


class RaisesKeyError(Squares):
    """Has no word for a split that is not there."""

    def load(self, split: str) -> Any:
        return self.part({"train": 0, "test": 1}[split])


class TooFewLabels(Squares):
    """Has lost a label."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = split.targets[:-1]
        return split


class OtherLabels(Squares):
    """Its samples have other labels than its list."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = split.targets[::-1].copy()
        split.__class__ = CachedLabels
        return split


class CachedLabels(SquareSplit):
    """See OtherLabels."""

    def __getitem__(self, index: int) -> Any:
        return Sample(self.ids[index], self.pixels(index), index % 3)


class SameIds(Squares):
    """Calls two samples the same."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.ids[1] = split.ids[0]
        return split


class LabelTooHigh(Squares):
    """Counts its labels from one."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.targets = split.targets + 1
        return split


class NamesAsArray(Squares):
    """Keeps its class names in an array."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.class_names = np.array(split.class_names)
        return split


class NamesAsText(Squares):
    """Keeps its class names in one text."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.class_names = "dbg"
        return split


class NoPlaceForTheName(Squares):
    """Has a template without a place for the class."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.templates = ("a square.",)
        return split


class Shuffles(Squares):
    """Draws the order anew each time it is opened."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        random.SystemRandom().shuffle(split.ids)
        return split


class SetOrder(Squares):
    """Takes its order from a set, which differs by process."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.ids = list({f"{number}/{i}" for i in range(self.count)})
        return split


class HashedFingerprint(Squares):
    """Its fingerprint is Python's hash of a text, which differs by process."""

    def fingerprint(self) -> str:
        return str(hash("squares"))


class OneHandle(Squares):
    """Reads through one shared position, which threads move for each other."""

    def part(self, number: int) -> Any:
        return HandleSplit(self.count, number)


class HandleSplit(SquareSplit):
    """See OneHandle."""

    def pixels(self, index: int) -> Any:
        import time

        self.position = index
        time.sleep(0.001)  # a disk would take as long: another thread comes in between
        return super().pixels(self.position)


class HoldsAFunction(Squares):
    """Its split holds a function that does not pickle."""

    def part(self, number: int) -> Any:
        split = super().part(number)
        split.transform = lambda image: image
        return split


class Leaks(Squares):
    """Its splits hold the same samples."""

    def part(self, number: int) -> Any:
        split = super().part(0)
        split.ids = [f"{number}/{i}" for i in range(self.count)]
        return split


class Untyped(Squares):
    """Has an option without a type."""

    def __init__(self, count=12) -> None:  # type: ignore[no-untyped-def]
        super().__init__(count)


class Restless(Squares):
    """Its fingerprint is another one each time."""

    def fingerprint(self) -> str:
        return str(random.SystemRandom().random())


class OneText(Squares):
    """Its remark is a text instead of a list of texts."""

    remarks = "2 files are left out"


class OtherNamesAtPlanning(Squares):
    """Says other class names before it is loaded."""

    class_names = ("bright", "dark", "grey")
