"""Residual generators and discriminators as stacked networks."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch
import torch.nn.functional as F
from torch import nn

from harness_generative.gan_networks import Reshape
from harness_generative.stacked_layers import (
    StackedBatchNorm,
    StackedConvolution,
    StackedLinear,
    fold_seeds,
    unfold_seeds,
)
from harness_generative.streams import Streams


def _resize(x: torch.Tensor, change: str | None) -> torch.Tensor:
    if change is None:
        return x
    flat = fold_seeds(x)
    out = F.interpolate(flat, scale_factor=2) if change == "up" else F.avg_pool2d(flat, 2)
    return unfold_seeds(out, x.shape[0])


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut, to twice ("up") or half ("down") the resolution.

    `first` omits the initial activation, for the block that sees the image. With normalisation there
    are no biases: the following norm would cancel them, and Adam would move them by rounding errors.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        change: str | None,
        streams: Streams,
        norm: bool = False,
        first: bool = False,
    ) -> None:
        super().__init__()
        self.change, self.first = change, first
        self.norm1 = StackedBatchNorm(inputs, streams) if norm else nn.Identity()
        self.conv1 = StackedConvolution(inputs, outputs, 3, 1, 1, streams, bias=not norm)
        self.norm2 = StackedBatchNorm(outputs, streams) if norm else nn.Identity()
        self.conv2 = StackedConvolution(outputs, outputs, 3, 1, 1, streams, bias=not norm)
        needed = inputs != outputs or change is not None
        shortcut = StackedConvolution(inputs, outputs, 1, 1, 0, streams, bias=not norm) if needed else None
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return S×B×outputs×H'×W'."""
        h: torch.Tensor = x if self.first else self.norm1(x).relu()
        h = self.conv1(_resize(h, "up") if self.change == "up" else h)
        h = self.conv2(self.norm2(h).relu())
        if self.change == "down":
            return _resize(h, "down") + _resize(self.shortcut(x), "down")
        out: torch.Tensor = h + self.shortcut(_resize(x, self.change))
        return out


class SumPool(nn.Module):
    """ReLU, then the sum over positions: S×B×C×H×W to S×B×C."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the pooled features."""
        return x.relu().sum((-2, -1))


class _NormReLU(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(x)
        return normed.relu()


def resnet_generator(latent: int, width: int, shape: Sequence[int], streams: Streams) -> nn.Module:
    """Build the network from z to images: a projection to 4×4 and one upsampling block per doubling."""
    doublings = int(log2(shape[1])) - 2
    blocks = [ResidualBlock(width, width, "up", streams, norm=True) for _ in range(doublings)]
    return nn.Sequential(
        StackedLinear(latent, width * 16, streams),
        Reshape(width, 4, 4),
        *blocks,
        _NormReLU(StackedBatchNorm(width, streams)),
        StackedConvolution(width, shape[0], 3, 1, 1, streams),
        nn.Tanh(),
    )


def resnet_trunk(width: int, shape: Sequence[int], streams: Streams) -> nn.Module:
    """Build the network from images to features: blocks halve down to 8×8 (at least one), two keep the size."""
    halvings = max(1, int(log2(shape[1])) - 3)
    blocks = [ResidualBlock(shape[0], width, "down", streams, first=True)]
    blocks += [ResidualBlock(width, width, "down", streams) for _ in range(halvings - 1)]
    blocks += [ResidualBlock(width, width, None, streams) for _ in range(2)]
    return nn.Sequential(*blocks, SumPool())
