"""Layers that append features of the whole batch to each sample's features."""

from __future__ import annotations

import torch

from harness_generative.streams import Streams


class BatchCloseness(torch.nn.Module):
    """Minibatch discrimination: S×B×W to S×B×(W+K), with oᵢ = Σ_{j≠i} exp(−‖Mᵢ − Mⱼ‖₁) per kernel."""

    def __init__(self, width: int, kernels: int, dimensions: int, streams: Streams) -> None:
        super().__init__()
        start = streams.normal("initial weights", (width, kernels * dimensions)) * 0.1
        self.tensor = torch.nn.Parameter(start)
        self.kernels, self.dimensions = kernels, dimensions

    def measure_closeness(self, features: torch.Tensor) -> torch.Tensor:
        """Return o alone, S×B×K: from 0 (all others far) to B−1 (all equal)."""
        seeds, batch = features.shape[:2]
        m = torch.bmm(features, self.tensor).view(seeds, batch, self.kernels, self.dimensions)
        distance = (m[:, :, None] - m[:, None]).abs().sum(-1)
        return torch.exp(-distance).sum(2) - 1  # without the sample itself, exp(0) = 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Append the closeness to the features."""
        return torch.cat([features, self.measure_closeness(features)], 2)


class BatchDeviation(torch.nn.Module):
    """Minibatch standard deviation: S×B×W to S×B×(W+1)."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Append the standard deviation over the batch, averaged over features."""
        # √ has no derivative at 0, which is the variance of a collapsed batch
        deviation = (features.var(1, unbiased=False) + 1e-8).sqrt().mean(1)
        return torch.cat([features, deviation[:, None, None].expand(-1, features.shape[1], 1)], 2)
