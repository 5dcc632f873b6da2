"""Toy plugins registered for one test, and small distributions installed into a folder for one test."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Literal

import numpy as np
import pytest

import harness
from harness.contract.data import Sample
from harness.contract.running import Job, Result
from harness.discovery import registry
from harness.errors import Diverged, Unavailable
from harness.records.store import Store


@pytest.fixture(autouse=True)
def own_registry(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing that a test registers, breaks or caches reaches another test."""
    monkeypatch.setattr(registry, "_local", {})
    monkeypatch.setattr(registry, "_broken", {})
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    registry.refresh()
    yield
    registry.refresh()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Installs a distribution of one module into a folder of its own on the path: metadata and code."""
    modules: list[str] = []

    def make(
        name: str,
        entry_points: Mapping[str, Mapping[str, str]] | str,
        modules_text: Mapping[str, str] | None = None,
        version: str = "1.0",
        folder: str | None = None,
        metadata: str | None = None,
    ) -> Path:
        site = tmp_path / "site" / (folder or name)
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        if metadata is None:
            metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(metadata, encoding="utf-8")
        if not isinstance(entry_points, str):
            entry_points = "\n".join(
                f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in entries.items())
                for group, entries in entry_points.items()
            )
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        for module, text in (modules_text or {}).items():
            (site / f"{module}.py").write_text(text, encoding="utf-8")
            modules.append(module)
        monkeypatch.syspath_prepend(str(site))
        registry.refresh()
        return site

    yield make  # type: ignore[misc]
    for module in modules:
        sys.modules.pop(module, None)


class ToySplit:
    """Ten 4×4 images whose label is written into every pixel."""

    class_names = ("zero", "one")

    def __init__(self, seed: int) -> None:
        self.targets = np.random.default_rng(seed).integers(0, 2, 10)
        self.ids = [f"s{n}" for n in range(10)]

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Sample:
        pixels = np.full((4, 4, 3), 255 * self.targets[index], np.uint8)
        return Sample(self.ids[index], pixels, int(self.targets[index]))


class ToyData:
    """A data set of one split."""

    splits = ("test",)
    label_space = "binary"

    def __init__(self, name: str = "plain", seed: int = 0) -> None:
        self.name, self.seed = name, seed

    def load(self, split: str) -> ToySplit:
        return ToySplit(self.seed)


class ToyModel:
    """A model that does as its option `mode` says, with a little noise of its own."""

    def __init__(
        self,
        mode: Literal["good", "fails", "away", "diverges", "huge"] = "good",
        bias: float = 0,
        checkpoint: Path | None = None,
    ) -> None:
        self.mode, self.bias, self.checkpoint = mode, bias, checkpoint
        self.loads = 0

    def unavailable(self) -> str | None:
        return "the weights are not here: fetch them" if self.mode == "away" else None

    def load(self, device: object) -> None:
        self.loads += 1


class ToyMetric:
    """A number taken from the evidence, which is a mapping."""

    higher_is_better = True
    unit = "fraction"

    def __call__(self, evidence: object) -> float:
        return float(np.mean(evidence))  # type: ignore[call-overload]


class ToyProtocol:
    """Draws one number per sample from the cell's own seed; fails on demand."""

    axes = ("shots",)
    provides = None

    def __init__(self, strength: float = 1.0, refuse: str | None = None) -> None:
        self.strength, self.refuse = strength, refuse

    def cannot(
        self, model: ToyModel, dataset: object, method: object, axes: Mapping[str, object]
    ) -> str | None:
        return "refused by the protocol" if self.refuse == axes.get("shots") and self.refuse else None

    def run(self, job: Job) -> Result:
        import random

        import torch

        if job.model.mode == "fails":
            raise ZeroDivisionError("deliberate")
        if job.model.mode == "diverges":
            raise Diverged("the loss is not finite")
        if job.model.mode == "huge":
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        split = job.splits("test")
        job.advance(len(split), len(split))
        globals_ = [random.random(), float(np.random.random()), float(torch.rand(()))]  # noqa: NPY002
        drawn = np.random.default_rng(job.seed_for("toy", job.cell.dataset.label, job.cell.seed))
        right = (drawn.random(len(split)) < 0.5 + job.model.bias).astype(np.float32)
        job.report("loss", 0, {"loss": 1.0})
        return Result(
            metrics={"score": float(right.mean()), "global": sum(globals_)},
            count=len(split),
            samples={"id": split.ids, "score": right},
            curves={"loss": {"step": [0, 1], "loss": [1.0, 0.5]}},
        )


@pytest.fixture
def toys() -> SimpleNamespace:
    """The toy plugins, registered as `toy` of their kinds."""
    harness.register("models", "toy", ToyModel)
    harness.register("datasets", "toy", ToyData)
    harness.register("metrics", "toy", ToyMetric)
    harness.register("protocols", "toy", ToyProtocol)
    return SimpleNamespace(
        Model=ToyModel, Data=ToyData, Metric=ToyMetric, Protocol=ToyProtocol, Split=ToySplit, Away=Unavailable
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return Store(tmp_path / "store")
