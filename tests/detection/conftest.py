"""Planted rectangles, a model that finds just these, and runs of small suites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness import Boxes, Sample
from harness.records.store import Store
from harness.running.devices import one_thread
from harness_dense.contracts import Found
from harness_dense.images_by_size import decode_only
from harness_dense.mask_codes import encode_masks, write_codes

COLOURS = ("red", "green", "blue")


class Rectangles:
    """Black images of several sizes with one to three rectangles of pure colours, which are the classes."""

    def __init__(self, count: int, seed: int = 0, masks: bool = True, names: Sequence[str] = COLOURS) -> None:
        rng = np.random.default_rng(seed)
        self.ids = [f"{n}" for n in range(count)]
        self.class_names = list(names)
        self.pixels, self.targets = [], []
        for n in range(count):
            height, width = 40 + 8 * (n % 3), 48
            pixels = np.zeros((height, width, 3), np.uint8)
            labels = rng.permutation(3)[: rng.integers(1, 4)]
            boxes = np.array(
                [
                    [15 * place + 1, 4, 15 * place + rng.integers(6, 14), rng.integers(12, 36)]
                    for place in range(len(labels))
                ]
            )
            filled = np.zeros((len(labels), height, width), bool)
            for own, (left, top, right, bottom), label in zip(filled, boxes, labels):
                pixels[top:bottom, left:right, label] = 255
                own[top:bottom, left:right] = True
            codes = write_codes(encode_masks(filled), (height, width))
            self.pixels.append(pixels)
            self.targets.append(Boxes(boxes.astype(float), labels, masks=codes if masks else None))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], Image.fromarray(self.pixels[index]), target=self.targets[index])


class RectangleSet:
    """Splits of rectangles."""

    target_kind = "boxes"
    splits = ("train", "test")
    content: ClassVar[dict[str, Rectangles]] = {"train": Rectangles(48, 1), "test": Rectangles(9)}

    def load(self, split: str) -> Rectangles:
        return self.content[split]


class Bright:
    """Finds the bounding box of each colour."""

    class_names: Sequence[str] = COLOURS
    calls: ClassVar[list[int]] = []

    def __init__(self, names: list[str] | None = None, alarms: int = 0, masks: bool = True) -> None:
        self.class_names, self.alarms, self.masks = names or list(COLOURS), alarms, masks

    def load(self, device: Any) -> None:
        """Load nothing: there are no weights."""

    def prepare(self, image: Any) -> torch.Tensor:
        return decode_only(image)

    def detect(self, images: Sequence[torch.Tensor]) -> list[Found]:
        self.calls.append(len(images))
        return [self._find(image) for image in images]

    def _find(self, image: torch.Tensor) -> Found:
        labels = [c for c in range(3) if (image[c] > 0.5).any()]
        masks = torch.stack([image[c] > 0.5 for c in labels])
        boxes = []
        for one in masks:
            rows, columns = torch.nonzero(one.any(1)).ravel(), torch.nonzero(one.any(0)).ravel()
            boxes.append([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        boxes += [[0, 37, 4 + n, 40] for n in range(self.alarms)]
        masks = torch.cat([masks, torch.zeros(self.alarms, *image.shape[1:], dtype=torch.bool)])
        scores = torch.tensor([0.9] * len(labels) + [0.4] * self.alarms)
        return Found(
            torch.tensor(boxes).float(),
            scores,
            torch.tensor(labels + [0] * self.alarms),
            masks if self.masks else None,
        )


@pytest.fixture(autouse=True)
def single_thread() -> Iterator[None]:
    """Networks this small gain nothing from a second thread."""
    with one_thread():
        yield


@pytest.fixture
def planted() -> None:
    """Register the rectangles and the model that finds them."""
    Bright.calls.clear()
    harness.register("datasets", "rectangles", RectangleSet)
    harness.register("models", "bright", Bright)


Run = Callable[..., tuple[Any, Store]]


@pytest.fixture
def run(planted: None, tmp_path: Path) -> Run:
    """Run a suite with other parts; return its only record and the store."""

    def start(
        store: str = "s", cache: str = "cache", protocol: dict[str, Any] | None = None, **parts: Any
    ) -> tuple[Any, Store]:
        suite: dict[str, Any] = {
            "name": "small",
            "protocol": {"plugin": "detection", "timed": 1, "pictures": 1, **(protocol or {})},
            "models": ["bright"],
            "datasets": ["rectangles"],
            "metrics": ["coco-ap"],
        } | parts
        harness.run(suite, store=tmp_path / store, cache=tmp_path / cache)
        kept = Store(tmp_path / store)
        (record,) = kept.records()
        return record, kept

    return start
