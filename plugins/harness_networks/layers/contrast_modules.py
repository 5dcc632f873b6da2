"""Modules of global and local contrast normalisation."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from harness_networks.contracts import Shape
from harness_networks.layers.full_precision import without_autocast


class GlobalContrast2d(nn.Module):
    """(x − μ)/max(σ, ε) of each image B×C×H×W, with μ and σ over C, H, W."""

    def __init__(self, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    @without_autocast
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the normalised images."""
        centred = maps - maps.mean((-3, -2, -1), keepdim=True)
        variance = centred.square().mean((-3, -2, -1), keepdim=True)
        # the lower bound stands inside the root, whose gradient at 0 is infinite
        return centred * variance.clamp_min(self.epsilon**2).rsqrt()


class LocalContrast2d(nn.Module):
    """Subtractive and divisive normalisation of maps B×C×H×W by Gaussian neighbourhoods over all channels."""

    gaussian: torch.Tensor
    mass: torch.Tensor

    def __init__(self, shape: Shape, size: int, deviation: float, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        steps = torch.arange(size, dtype=torch.float64) - size // 2
        line = torch.exp(-steps.square() / (2 * deviation**2))
        gaussian = (line[:, None] * line[None, :])[None, None]
        inside = F.conv2d(torch.ones(1, 1, *shape[1:], dtype=torch.float64), gaussian, padding=size // 2)
        self.register_buffer("gaussian", gaussian.float(), persistent=False)
        self.register_buffer("mass", inside.float(), persistent=False)

    @without_autocast
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the normalised maps."""
        centred = maps - self._average(maps)
        variance = self._average(centred.square())
        deviation = variance.clamp_min(torch.finfo(maps.dtype).tiny).sqrt()
        least = deviation.mean((-2, -1), keepdim=True).clamp_min(self.epsilon)
        return centred / torch.maximum(deviation, least)

    def _average(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the weighted average of each neighbourhood over all channels, B×1×H×W."""
        mean, gaussian = maps.mean(1, keepdim=True), self.gaussian.to(maps.dtype)
        return F.conv2d(mean, gaussian, padding=gaussian.shape[-1] // 2) / self.mass.to(maps.dtype)
