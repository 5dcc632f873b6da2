"""A small training task: noisy linear classes, a network with dropout and batch norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.learning.pipeline import Batch, HeldSamples


class Net(nn.Module):
    """Linear, batch norm, dropout, linear: weights, buffers and draws of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits N×3."""
        found: torch.Tensor = self.body(x)
        return found


@dataclass
class Task:
    """Data, and what makes networks and objectives of them."""

    features: torch.Tensor
    labels: torch.Tensor

    def held(self) -> HeldSamples:
        """The data as a source."""
        return HeldSamples(self.features, self.labels)

    def net(self, kind: Callable[[], nn.Module] = Net) -> nn.Module:
        """A network, always with the same weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(1)
            return kind()


def entropy(network: nn.Module) -> Callable[[Batch, int], torch.Tensor]:
    """Cross-entropy of a network."""
    return lambda batch, step: F.cross_entropy(network(batch.data), batch.targets)  # type: ignore[arg-type]


@pytest.fixture
def task() -> Task:
    """23 samples of 5 features and 3 classes."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(23, 5, generator=generator)
    y = (x @ torch.randn(5, 3, generator=generator)).argmax(1)
    return Task(x, y)
