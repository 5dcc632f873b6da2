"""Striped images of three classes."""

from __future__ import annotations

from typing import Any

SPACE = "acme-stripes"
CLASSES = ("vertical", "horizontal", "even")
SIDE = 8


class _Split:
    class_names = CLASSES

    def __init__(self, count: int) -> None:
        import numpy as np

        rng = np.random.default_rng(0)
        self.targets = np.arange(count, dtype=np.int64) % len(CLASSES)
        self.ids = [f"stripes/{n}" for n in range(count)]
        pixels = rng.integers(0, 64, size=(count, SIDE, SIDE, 3))
        pixels[self.targets == 0, :, ::2] += 128
        pixels[self.targets == 1, ::2] += 128
        self.pixels = pixels.astype(np.uint8)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Any:
        from harness import Sample

        return Sample(self.ids[index], self.pixels[index], int(self.targets[index]))


class Stripes:
    """Stripes, `count` images of 8×8."""

    label_space = SPACE
    splits = ("test",)

    def __init__(self, count: int = 24) -> None:
        self.count = count

    def load(self, split: str) -> _Split:
        """The only split."""
        return _Split(self.count)
