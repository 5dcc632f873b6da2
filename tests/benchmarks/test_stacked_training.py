"""Eight seeds of a small CNN that train at once cost less than three times one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.learning.loop import train
from harness.learning.pipeline import Batch, HeldSamples
from harness.learning.recipe import Recipe
from harness.learning.stacked import StackedBatch, train_stacked

STEPS = 40


def make_network(seed: int, channels: tuple[int, ...] = (8, 16), size: int = 8) -> nn.Module:
    """A CNN for images 1×8×8, such as scikit-learn's digits."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for given, made in zip((1, *channels), channels, strict=False):
        layers += [nn.Conv2d(given, made, 3, padding=1), nn.BatchNorm2d(made), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels[-1] * (size >> len(channels)) ** 2, 10))


def images() -> HeldSamples:
    return HeldSamples(torch.randn(1024, 1, 8, 8), torch.randint(0, 10, (1024,)))


def train_one(source: HeldSamples, recipe: Recipe, seed: int = 0) -> list[float]:
    network = make_network(seed)

    def objective(batch: Batch, step: int) -> torch.Tensor:
        assert batch.targets is not None
        return F.cross_entropy(network(batch.data), batch.targets)

    return train(network, source, objective, recipe, seed).losses


def train_eight(source: HeldSamples, recipe: Recipe) -> list[list[float]]:
    def objective(forward: Callable[[Any], Any], batch: StackedBatch, step: int) -> torch.Tensor:
        out = forward(batch.data)
        assert batch.targets is not None
        losses = F.cross_entropy(out.flatten(0, 1), batch.targets.flatten(), reduction="none")
        return losses.view(len(out), -1).mean(1)

    networks = [make_network(seed) for seed in range(8)]
    outcomes = train_stacked(networks, [source] * 8, objective, recipe, range(8))
    return [outcome.losses for outcome in outcomes]  # type: ignore[union-attr]


@pytest.mark.usefixtures("one_thread")
def test_eight_seeds_cost_less_than_three_times_one(measuring: bool, ratio: Callable[..., float]) -> None:
    source = images()
    recipe = Recipe(STEPS if measuring else 4, 32, optimizer="adam")
    together = train_eight(source, recipe)
    for seed in (0, 7):
        assert together[seed] == pytest.approx(train_one(source, recipe, seed), rel=1e-3)
    if measuring:
        assert ratio(lambda: train_eight(source, recipe), lambda: train_one(source, recipe), 15) < 3
