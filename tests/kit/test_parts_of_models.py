"""A method that is a part of a model, such as a layer, is checked in that model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from harness import Job, Result
from harness.discovery import registry
from harness.testing import MethodConformance
from harness_networks.contracts import BuildsNetworks
from harness_networks.layers.contracts import Pooling


class MedianPool(Pooling):
    """A third party's layer.

    Args:
        size: side of the windows.
    """

    def __init__(self, size: int = 2) -> None:
        super().__init__(size)

    def build(self, shape: tuple[int, int, int]) -> nn.Module:
        """Build the median of windows that don't overlap."""
        return nn.Sequential(nn.Unflatten(3, (-1, self.size)), Median())


class Median(nn.Module):
    """Takes the median of pairs in a row, and the first of rows."""

    def forward(self, pairs: torch.Tensor) -> torch.Tensor:
        """Return every second row's medians."""
        return pairs.median(4).values[:, :, ::2]


class OneStep:
    """A protocol that builds a network and takes its loss at the start."""

    needs = (BuildsNetworks,)
    directions: ClassVar = {"loss": False}
    smallest: ClassVar = {
        "cell": {"models": ["small-cnn"], "datasets": ["digits"], "methods": ["kit-recipe"], "metrics": []}
    }

    def cannot(self, model: Any, dataset: Any, method: Any, axes: Any) -> str | None:
        """Return that a recipe is needed, if there is none."""
        return None if isinstance(method, Recipe) else "needs a recipe"

    def run(self, job: Job) -> Result:
        """Return the logits' spread."""
        torch.manual_seed(job.cell.seed)
        network = job.model.build((1, 8, 8), 10)
        assert any(isinstance(part, Median) for part in network.modules())
        job.advance(1, 1)
        spread = float(network(torch.rand(4, 1, 8, 8)).detach().std())
        return Result(metrics={"loss": spread}, count=4)


class Recipe:
    """A method without options."""


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    with (
        registry.register_temporarily("protocols", "kit-one-step", OneStep),
        registry.register_temporarily("methods", "kit-recipe", Recipe),
    ):
        yield


class TestLayer(MethodConformance):
    @pytest.fixture
    def method(self) -> Any:
        return MedianPool(2)
