"""Planted images, and trainings small enough to run many times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image

import harness
from harness import Sample
from harness.discovery import registry

TIMES = ("seconds", "per_second", "memory")
"""What is in the names of numbers that no two runs share."""


@dataclass
class Images:
    """Grey images of one size with labels, as a data set's split."""

    pixels: Any
    targets: Any
    ids: Sequence[str]
    class_names: Sequence[str] = ()
    broken: Sequence[int] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        if index in self.broken:
            raise OSError("the file is cut off")
        return Sample(self.ids[index], image=Image.fromarray(self.pixels[index]))


def draw_images(count: int, split: str, seed: int = 0, classes: int = 3, size: int = 8) -> Images:
    """Draw images whose class is the place of a bright bar, with noise; classes take turns."""
    rng = np.random.default_rng([seed, len(split)])
    targets = np.arange(count) % classes
    pixels = rng.integers(0, 120, (count, size, size), dtype=np.uint8)
    for image, label in zip(pixels, targets, strict=True):
        image[2 * label : 2 * label + 2] += 100
    ids = [f"{split}-{n:03d}" for n in range(count)]
    return Images(pixels, targets, ids, [f"bar {n}" for n in range(classes)])


def make_dataset(**splits: Images) -> type:
    """Return a data set of splits by name."""

    class Planted:
        content: ClassVar[dict[str, Images]] = splits

        def __init__(self) -> None:
            self.splits = tuple(self.content)

        def load(self, split: str) -> Images:
            return self.content[split]

    return Planted


@dataclass
class Training:
    """Runs of a suite of one configuration, a store each; options are the protocol's."""

    folder: Path
    suite: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    method: dict[str, Any] = field(default_factory=dict)
    runs: int = 0

    def change(
        self, method: dict[str, Any] | None = None, suite: dict[str, Any] | None = None, **options: Any
    ) -> Training:
        """Return the same with other options of protocol and recipe and other parts of the suite."""
        self.runs += 1
        found = replace(self, folder=self.folder / str(self.runs), runs=0)
        found.suite, found.options = {**self.suite, **(suite or {})}, {**self.options, **options}
        found.method = {**self.method, **(method or {})}
        return found

    def use(self, **splits: Images) -> Training:
        """Train on a data set of these splits."""
        registry.register("datasets", "planted", make_dataset(**splits))
        return self.change(suite={"datasets": ["planted"]})

    def run(self, store: str = "store", **changes: Any) -> list[harness.Record]:
        """Return the records, by seed; `changes` are those of `harness.run`."""
        suite = {"name": "one", **self.suite, "protocol": {"plugin": "training", **self.options}}
        suite["methods"] = [{"plugin": "recipe", "label": "r", **self.method}]
        found = harness.run(suite, store=self.folder / store, device="cpu", **changes)
        return sorted(found.records, key=lambda record: int(record.coordinates["seed"]))

    def run_ok(self, store: str = "store", **changes: Any) -> list[harness.Record]:
        """Return the records, which must be those of trainings that ended."""
        records = self.run(store, **changes)
        assert records
        for record in records:
            assert record.status == "ok", record.reason
        return records

    def numbers(self, record: harness.Record, store: str = "store") -> dict[str, float]:
        """Return all numbers of a record but times and memory: metrics, costs and curves."""
        found = {**record.metrics, **record.cost}
        kept = harness.Store(self.folder / store)
        for row in kept.curves(record.id).itertuples():
            found[f"{row.curve}/{row.column}/{row.position}"] = row.value
        return {name: value for name, value in found.items() if not any(mark in name for mark in TIMES)}


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all tests, in which the digits are drawn once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def training(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Training:
    """A small CNN on a part of the digits."""
    monkeypatch.setenv("HARNESS_CACHE", str(cache))
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    suite = {
        "models": [{"plugin": "small-cnn", "channels": [4, 8], "head": "flatten"}],
        "datasets": ["digits"],
        "metrics": ["top1", "nll"],
        "seeds": [0],
        "limit": 96,
    }
    options = {"size": 8, "grey": True, "steps": 12, "checkpoint_every": 3}
    return Training(tmp_path, suite, options, {"optimizer": "adam", "rate": 3e-3})


@pytest.fixture
def bars(training: Training, monkeypatch: pytest.MonkeyPatch) -> Training:
    """The same on planted images of three classes, of which a part is held out; with a cache of its own."""
    monkeypatch.setenv("HARNESS_CACHE", str(training.folder / "cache"))
    return training.use(train=draw_images(60, "train"), test=draw_images(30, "test"))
