"""Layers with a leading axis of S independent networks, so that many seeds train in one pass.

Inputs are S×B×…; parameters and buffers have S as their first axis. Slices do not affect each other:
linear layers are batched matrix products, convolutions have one group per seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from harness_generative.streams import Streams

Draw = Callable[[tuple[int, ...]], torch.Tensor]
"""Draws the initial weights of S slices, given the shape of one."""


def uniform_initialiser(streams: Streams, fan_in: int) -> Draw:
    """Return a draw uniform in ±1/√fan_in, torch's default for linear layers and convolutions."""
    bound = 1 / math.sqrt(fan_in)
    return lambda shape: (2 * streams.uniform("initial weights", shape) - 1) * bound


def normal_initialiser(streams: Streams, deviation: float = 0.02) -> Draw:
    """Return a draw from N(0, deviation²), as DCGAN starts (Radford et al. 2016)."""
    return lambda shape: deviation * streams.normal("initial weights", shape)


class StackedLinear(nn.Module):
    """An affine map per seed, S×B×I to S×B×O."""

    def __init__(
        self, inputs: int, outputs: int, streams: Streams, start: Draw | None = None, bias: bool = True
    ) -> None:
        super().__init__()
        draw = start or uniform_initialiser(streams, inputs)
        self.weight = nn.Parameter(draw((inputs, outputs)))
        first = torch.zeros(len(streams), outputs) if start else draw((outputs,))
        self.bias = nn.Parameter(first) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return S×B×O."""
        if self.bias is None:
            return torch.bmm(x, self.weight)
        return torch.baddbmm(self.bias[:, None], x, self.weight)


class StackedConvolution(nn.Module):
    """A convolution per seed, S×B×I×H×W to S×B×O×H'×W'; `transposed` makes it a transposed one."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        padding: int,
        streams: Streams,
        *,
        transposed: bool = False,
        bias: bool = True,
        start: Draw | None = None,
    ) -> None:
        super().__init__()
        draw = start or uniform_initialiser(streams, inputs * kernel**2)
        self.transposed, self.stride, self.padding = transposed, stride, padding
        shape = (inputs, outputs) if transposed else (outputs, inputs)
        self.weight = nn.Parameter(draw((*shape, kernel, kernel)))
        self.bias = nn.Parameter(torch.zeros(len(streams), outputs)) if bias else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return S×B×O×H'×W', computed as one convolution with a group per seed."""
        apply = F.conv_transpose2d if self.transposed else F.conv2d
        bias = None if self.bias is None else self.bias.flatten()
        seeds = x.shape[0]
        out = apply(fold_seeds(x), self.weight.flatten(0, 1), bias, self.stride, self.padding, groups=seeds)
        return unfold_seeds(out, seeds)


class StackedBatchNorm(nn.Module):
    """Batch normalisation of S×B×C or S×B×C×H×W, with statistics of each seed's own batch.

    As in torch, `track_running_stats` tells if a training pass updates the running statistics.
    """

    running_mean: torch.Tensor
    running_var: torch.Tensor

    def __init__(self, channels: int, streams: Streams, momentum: float = 0.1) -> None:
        super().__init__()
        seeds = len(streams)
        # DCGAN starts the scale at N(1, 0.02²)
        self.weight = nn.Parameter(1 + 0.02 * streams.normal("initial weights", (channels,)))
        self.bias = nn.Parameter(torch.zeros(seeds, channels))
        self.register_buffer("running_mean", torch.zeros(seeds, channels))
        self.register_buffer("running_var", torch.ones(seeds, channels))
        self.momentum, self.track_running_stats = momentum, True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Normalise by the batch's statistics in training, by the running ones in evaluation."""
        seeds, keeps = x.shape[0], not self.training or self.track_running_stats
        out = F.batch_norm(
            fold_seeds(x),
            self.running_mean.view(-1) if keeps else None,
            self.running_var.view(-1) if keeps else None,
            self.weight.flatten(),
            self.bias.flatten(),
            self.training,
            self.momentum,
        )
        return unfold_seeds(out, seeds)


class StackOfOne(nn.Module):
    """An ordinary network as a stack of one, for architectures without an axis of seeds."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the network to 1×B×…."""
        out: torch.Tensor = self.network(x[0])
        return out[None]


def fold_seeds(x: torch.Tensor) -> torch.Tensor:
    """Reshape S×B×C×… to B×(S·C)×…, a view if there is one seed."""
    return x[0] if x.shape[0] == 1 else x.transpose(0, 1).flatten(1, 2)


def unfold_seeds(x: torch.Tensor, seeds: int) -> torch.Tensor:
    """Reshape B×(S·C)×… to S×B×C×…."""
    return x[None] if seeds == 1 else x.unflatten(1, (seeds, -1)).transpose(0, 1)
