"""Planted stripes, a model that knows them, and runs of small suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import Masks, Sample
from harness.records.store import Store
from harness_dense.images_by_size import decode_only

NAMES = ("background", "red", "green", "blue")


class Patches:
    """Black images of several sizes with a rectangle of each of some colours, which are the classes; a row is unknown."""

    def __init__(self, count: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.ids = [f"{n}" for n in range(count)][::-1]
        self.class_names = list(NAMES)
        self.pixels, self.targets = [], []
        for n in range(count):
            height, width = 24 + 8 * (n % 3), 32
            pixels, classes = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), np.uint8)
            for place, colour in enumerate(rng.permutation(3)[: rng.integers(1, 4)]):
                where = np.s_[4 : rng.integers(10, 20), 10 * place + 1 : 10 * place + rng.integers(6, 10)]
                pixels[where][..., colour] = 255
                classes[where] = colour + 1
            classes[-1] = 255
            self.pixels.append(pixels)
            self.targets.append(Masks(semantic=classes))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], Image.fromarray(self.pixels[index]), target=self.targets[index])


class PatchSet:
    """Splits of patches."""

    target_kind = "masks"
    splits = ("train", "test")
    content: ClassVar[dict[str, Patches]] = {"train": Patches(12, 1), "test": Patches(9)}

    def load(self, split: str) -> Patches:
        return self.content[split]


class Colours:
    """Gives each pixel the class of its colour; a share of the rows, from the top, is said to be background."""

    calls: ClassVar[list[int]] = []

    def __init__(self, names: list[str] | None = None, blind_rows: int = 0) -> None:
        self.class_names: Sequence[str] = names or list(NAMES)
        self.blind_rows = blind_rows

    def load(self, device: Any) -> None:
        """Load nothing: there are no weights."""

    def prepare(self, image: Any) -> torch.Tensor:
        return decode_only(image)

    def collate(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        return images

    def segment(self, images: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        self.calls.append(len(images))
        found = []
        for image in images:
            logits = torch.cat([torch.full_like(image[:1], 0.5), image]) * 10
            logits[1:, : self.blind_rows] = 0
            found.append(logits)
        return found


@pytest.fixture
def planted() -> None:
    """Register the patches and the model that knows them."""
    Colours.calls.clear()
    harness.register("datasets", "patches", PatchSet)
    harness.register("models", "colours", Colours)


Run = Callable[..., tuple[Any, Store]]


@pytest.fixture
def run(planted: None, tmp_path: Path) -> Run:
    """Run a suite with other parts; return its only record and the store."""

    def start(
        store: str = "s", cache: str = "cache", protocol: dict[str, Any] | None = None, **parts: Any
    ) -> tuple[Any, Store]:
        suite: dict[str, Any] = {
            "name": "small",
            "protocol": {"plugin": "segmentation", "timed": 1, "pictures": 1, **(protocol or {})},
            "models": ["colours"],
            "datasets": ["patches"],
            "metrics": ["miou", "boundary-iou", "pixel-accuracy"],
        } | parts
        harness.run(suite, store=tmp_path / store, cache=tmp_path / cache)
        kept = Store(tmp_path / store)
        (record,) = kept.records()
        return record, kept

    return start
