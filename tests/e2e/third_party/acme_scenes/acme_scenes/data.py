"""Drawn rectangles: canvases of several sizes, with their boxes or with captions."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from harness import Boxes, DataError, Sample, did_you_mean

KINDS = ("red", "green")


def drawn(seed: int) -> tuple[np.ndarray[Any, Any], Boxes]:
    """A canvas with at most two rectangles, left and right, each of one colour."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(12, 20), rng.integers(20, 30)
    pixels = np.zeros((height, width, 3), np.uint8)
    corners, labels = [], []
    for side in range(2):
        if rng.random() < 0.3:
            continue
        left, top = side * width // 2 + rng.integers(1, 4), rng.integers(0, 5)
        right, bottom = left + rng.integers(3, 6), top + rng.integers(3, 7)
        label = int(rng.integers(2))
        pixels[top:bottom, left:right, label] = rng.integers(100, 256)
        corners.append((left, top, right, bottom))
        labels.append(label)
    return pixels, Boxes(np.array(corners, np.float32).reshape(-1, 4), np.array(labels, np.int64))


class BoxScenes:
    """Rectangles with their boxes.

    Args:
        count: images of the split.
    """

    target_kind = "boxes"
    splits = ("test",)
    smallest: ClassVar = {"count": 12}

    def __init__(self, count: int = 40) -> None:
        self.count = count

    def fingerprint(self) -> str:
        """The recipe's version."""
        return "rectangles, 1"

    def load(self, split: str) -> Scenes:
        """Its only split."""
        if split not in self.splits:
            raise DataError(f"acme scenes have no split '{split}'{did_you_mean(split, self.splits)}")
        return Scenes(self.count, self.target_kind)


class CaptionedScenes(BoxScenes):
    """Rectangles with two captions each."""

    target_kind = "captions"


class Scenes:
    """A split of either."""

    class_names = KINDS

    def __init__(self, count: int, kind: str) -> None:
        self.ids = [f"scene/{n}" for n in range(count)]
        boxes = [drawn(n)[1] for n in range(count)]
        self.targets: list[Any] = boxes if kind == "boxes" else [captions(b) for b in boxes]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        return Sample(self.ids[index], drawn(index)[0], target=self.targets[index])


def captions(boxes: Boxes) -> list[str]:
    """What may be said of the boxes."""
    if not len(boxes.labels):
        return ["nothing", "an empty canvas"]
    named = [f"a {KINDS[label]} rectangle" for label in boxes.labels]
    return [" and ".join(named), " and ".join(named[::-1])]
