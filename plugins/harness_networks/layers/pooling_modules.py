"""Modules of pooling that torch does not have."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from harness_networks.layers.full_precision import without_autocast


class PowerMeanPool2d(nn.Module):
    """(mean |x|^p)^(1/p) over windows, B×C×H×W → B×C×H'×W': torch's L_p pooling, which sums, over size^(2/p)."""

    def __init__(self, p: float, size: int, stride: int) -> None:
        super().__init__()
        self.p, self.size, self.stride = p, size, stride

    @without_autocast
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the power means; the gradient of a window of zeros is 0."""
        norms: torch.Tensor = F.lp_pool2d(maps.abs(), self.p, self.size, self.stride)
        return norms / math.pow(self.size, 2 / self.p)

    def extra_repr(self) -> str:
        """Return the options for printing."""
        return f"p={self.p}, size={self.size}, stride={self.stride}"


class SoftmaxPool2d(nn.Module):
    """Σ x·exp(βx) / Σ exp(βx) over windows, B×C×H×W → B×C×H'×W'."""

    def __init__(self, beta: float, size: int, stride: int) -> None:
        super().__init__()
        self.beta, self.size, self.stride = beta, size, stride

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the weighted averages."""
        batch, channels, height, width = maps.shape
        # F.unfold, unlike Tensor.unfold, is as fast under vmap as without; one map at a time keeps channels apart
        windows = F.unfold(maps.reshape(-1, 1, height, width), self.size, stride=self.stride)
        pooled = (torch.softmax(self.beta * windows, 1) * windows).sum(1)
        rows = (height - self.size) // self.stride + 1
        return pooled.reshape(batch, channels, rows, -1)

    def extra_repr(self) -> str:
        """Return the options for printing."""
        return f"beta={self.beta}, size={self.size}, stride={self.stride}"
