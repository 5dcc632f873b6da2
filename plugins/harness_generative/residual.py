"""Residual generators and discriminators as stacked networks."""

from __future__ import annotations

from collections.abc import Sequence
from math import log2

import torch
import torch.nn.functional as F
from torch import nn

from harness_generative.networks import Shape
from harness_generative.stacked import BatchNorm, Convolution, Linear, folded, unfolded
from harness_generative.streams import Streams


def _resized(x: torch.Tensor, change: str | None) -> torch.Tensor:
    if change is None:
        return x
    flat = folded(x)
    out = F.interpolate(flat, scale_factor=2) if change == "up" else F.avg_pool2d(flat, 2)
    return unfolded(out, x.shape[0])


class Block(nn.Module):
    """Two 3×3 convolutions beside a shortcut, at twice ("up") or half ("down") the resolution.

    `first` leaves out the activation that a block starts with, for the block that sees the image.
    With normalisation there are no biases: the last layer's would take out what they add, and Adam
    would walk them about on rounding errors.
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
        self.norm1 = BatchNorm(inputs, streams) if norm else nn.Identity()
        self.conv1 = Convolution(inputs, outputs, 3, 1, 1, streams, bias=not norm)
        self.norm2 = BatchNorm(outputs, streams) if norm else nn.Identity()
        self.conv2 = Convolution(outputs, outputs, 3, 1, 1, streams, bias=not norm)
        needed = inputs != outputs or change is not None
        shortcut = Convolution(inputs, outputs, 1, 1, 0, streams, bias=not norm) if needed else None
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The block's output, S×B×outputs×H'×W'."""
        h: torch.Tensor = x if self.first else self.norm1(x).relu()
        h = self.conv1(_resized(h, "up") if self.change == "up" else h)
        h = self.conv2(self.norm2(h).relu())
        if self.change == "down":
            return _resized(h, "down") + _resized(self.shortcut(x), "down")
        out: torch.Tensor = h + self.shortcut(_resized(x, self.change))
        return out


class SumPool(nn.Module):
    """ReLU, then the sum over places: S×B×C×H×W to S×B×C."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The pooled features."""
        return x.relu().sum((-2, -1))


class _Rectified(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.norm = norm

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normed: torch.Tensor = self.norm(x)
        return normed.relu()


def resnet_generator(latent: int, width: int, shape: Sequence[int], streams: Streams) -> nn.Module:
    """z to images: a 4×4 projection and one upsampling block per doubling."""
    doublings = int(log2(shape[1])) - 2
    blocks = [Block(width, width, "up", streams, norm=True) for _ in range(doublings)]
    return nn.Sequential(
        Linear(latent, width * 16, streams),
        Shape(width, 4, 4),
        *blocks,
        _Rectified(BatchNorm(width, streams)),
        Convolution(width, shape[0], 3, 1, 1, streams),
        nn.Tanh(),
    )


def resnet_trunk(width: int, shape: Sequence[int], streams: Streams) -> nn.Module:
    """Images to features: blocks halve down to 8×8 (at least one does), two more keep the size."""
    halvings = max(1, int(log2(shape[1])) - 3)
    blocks = [Block(shape[0], width, "down", streams, first=True)]
    blocks += [Block(width, width, "down", streams) for _ in range(halvings - 1)]
    blocks += [Block(width, width, None, streams) for _ in range(2)]
    return nn.Sequential(*blocks, SumPool())
