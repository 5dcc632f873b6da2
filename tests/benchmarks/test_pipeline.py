"""Preparing and computing overlap: a training epoch and an evaluation take hardly longer than the slower of both."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.contract.data import Sample
from harness.inference.batches import forward_all
from harness.learning.loop import train
from harness.learning.pipeline import Batch, Pipeline
from harness.learning.recipe import Recipe
from harness_training.image_sets import ImageSet, InputScale
from harness_training.recipes import TrainingRecipe
from harness_training.seed_training import SeedObjective
from harness_training.single_training import build_loss_of

CPU = torch.device("cpu")
BATCH = 8


class Numbers:
    """Samples whose image is their own number."""

    def __init__(self, count: int) -> None:
        self.ids = [f"n{i}" for i in range(count)]
        self.targets = np.zeros(count, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], np.full((1, 1), index % 251, np.uint8))


class Slow(torch.autograd.Function):
    """The identity on a simulated device: forward and backward sleep, outside the interpreter's lock."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, seconds: float) -> torch.Tensor:
        ctx.seconds = seconds
        time.sleep(seconds)
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        time.sleep(ctx.seconds)
        return gradient, None


class SlowPictures(Numbers):
    """Samples whose images take a while to read."""

    def __init__(self, count: int, preparing: float) -> None:
        super().__init__(count)
        self.preparing = preparing

    def __getitem__(self, index: int) -> Sample:
        time.sleep(self.preparing) if self.preparing else None
        return Sample(self.ids[index], np.full((4, 4, 3), index % 251, np.uint8))


class SlowNetwork(nn.Module):
    """A linear classifier of images 3×4×4 on the simulated device."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.linear, self.seconds = nn.Linear(48, 2), seconds
        nn.init.constant_(self.linear.weight, 0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = Slow.apply(self.linear(images.flatten(1)), self.seconds)
        return found


def train_from_scratch(
    workers: int, batches: int, preparing: float, computing: float
) -> tuple[float, torch.Tensor]:
    """Seconds of an epoch of the suite `training` on images that are read for each use, and its weights."""
    images = ImageSet(
        SlowPictures(batches * BATCH, preparing), np.arange(batches * BATCH), 4, False, CPU, workers, "no"
    )
    network, method = (
        SlowNetwork(computing / 2),
        TrainingRecipe(rate=1e-4, batch=BATCH, augmentation=["flip"]),
    )
    recipe = method.build_recipe(len(images), None, batches)
    held = SimpleNamespace(train=images, classes=2)
    objective = SeedObjective(method, recipe, held, InputScale("unit"), 4, [0])  # type: ignore[arg-type]
    began = time.perf_counter()
    train(network, images.make_source(0), build_loss_of(network, objective), recipe, 0)
    return time.perf_counter() - began, network.linear.weight.detach().clone()


def run(
    kind: str, workers: int, batches: int, preparing: float, computing: float
) -> tuple[float, torch.Tensor]:
    """Seconds of a training epoch or an evaluation, and what it found."""
    if kind == "training from scratch":
        return train_from_scratch(workers, batches, preparing, computing)

    def prepare(image: Any) -> torch.Tensor:
        time.sleep(preparing) if preparing else None
        return torch.from_numpy(np.asarray(image).astype(np.float32)).flatten() + torch.rand(1)

    split, linear = Numbers(batches * BATCH), nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.fill_(0.01)
        linear.bias.zero_()
    began = time.perf_counter()
    if kind == "evaluation":

        def forward(images: torch.Tensor) -> torch.Tensor:
            time.sleep(computing)
            return images.floor()

        found = forward_all(forward, split, prepare, device=CPU, batch_size=BATCH, workers=workers)
        return time.perf_counter() - began, found

    def objective(batch: Batch, step: int) -> torch.Tensor:
        return nn.functional.cross_entropy(Slow.apply(linear(batch.data), computing / 2), batch.targets)

    source = Pipeline(
        split, prepare, device=CPU, workers=workers, targets=torch.from_numpy(split.targets), seed=0
    )
    train(linear, source, objective, Recipe(batches, BATCH, 1e-4), 0)
    return time.perf_counter() - began, linear.weight.detach().clone()


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("kind", ["training", "training from scratch", "evaluation"])
@pytest.mark.parametrize("slower", ["preparing", "computing", "neither"])
def test_the_slower_of_preparing_and_computing_decides(
    benchmark: Any, measuring: bool, kind: str, slower: str
) -> None:
    batches = 50 if measuring else 3
    preparing = 8e-3 if measuring else 1e-4
    found = {}
    run(kind, 0, 1, 0.0, 0.0)  # the first of all imports what the others need
    for workers in (0, 1, 2, 4):
        shared = BATCH * preparing / max(workers, 1)
        computing = shared * {"preparing": 0.5, "computing": 2.0, "neither": 1.0}[slower]
        # what either takes alone, one sample after the other: a sleep is longer than asked, and nothing is free
        alone = run(kind, 0, 10, preparing, 0.0)[0] / 10, run(kind, 0, 10, 0.0, computing)[0] / 10
        ideal = max(alone[0] / max(workers, 1), alone[1])
        seconds, found[workers] = run(kind, workers, batches, preparing, computing)
        reached = batches * ideal / seconds
        benchmark.extra_info[f"share of the ideal with {workers} workers"] = round(reached, 3)
        if measuring:
            assert reached >= 0.9, (workers, reached)
    benchmark.pedantic(run, args=(kind, 2, 3, 1e-4, 1e-4), rounds=1)
    for workers in (1, 2, 4):
        assert torch.equal(found[workers], found[0])
