"""Multilayer perceptrons and DCGAN as stacked networks, and the discriminator around a trunk."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from math import log2, prod

import torch
from torch import nn

from harness_generative.contracts import BuildsGans, GanSettings, Remedy
from harness_generative.stacked_layers import (
    StackedBatchNorm,
    StackedConvolution,
    StackedLinear,
    normal_initialiser,
)
from harness_generative.streams import Streams


class Reshape(nn.Module):
    """Reshapes S×B×… to S×B×shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the reshaped samples."""
        return x.reshape(*x.shape[:2], *self.shape)


class Discriminator(nn.Module):
    """A trunk, the layers that remedies append, and a linear head: samples S×B×… to outputs S×B."""

    def __init__(self, trunk: nn.Module, extras: Sequence[nn.Module], head: nn.Module) -> None:
        super().__init__()
        self.trunk, self.extras, self.head = trunk, nn.Sequential(*extras), head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return one raw output per sample (per pack with PacGAN)."""
        outputs: torch.Tensor = self.head(self.extras(self.trunk(x))).squeeze(-1)
        return outputs


def build_discriminator(
    architecture: BuildsGans,
    shape: Sequence[int],
    settings: GanSettings,
    remedies: Sequence[Remedy],
    streams: Streams,
) -> nn.Module:
    """Build the discriminator of packs of samples, with all changes of the remedies."""
    packed = (shape[0] * settings.pack, *shape[1:])
    trunk, width = architecture.trunk(packed, settings, streams)
    extras = []
    for remedy in remedies:
        if (added := remedy.features(width, streams)) is not None:
            module, width = added
            extras.append(module)
    start = normal_initialiser(streams) if architecture.small_start else None
    network: nn.Module = Discriminator(trunk, extras, StackedLinear(width, 1, streams, start))
    for remedy in remedies:
        network = remedy.wrap(network, streams)
    return network


def join_packs(samples: torch.Tensor, m: int) -> torch.Tensor:
    """Reshape S×B×C×… to S×(B/m)×(m·C)×…: each pack joins m samples along their channels."""
    if m == 1:
        return samples
    seeds, batch, channels, *rest = samples.shape
    return samples.reshape(seeds, batch // m, m * channels, *rest)


def mlp_generator(latent: int, widths: Sequence[int], shape: Sequence[int], streams: Streams) -> nn.Module:
    """Build the network from z to samples through hidden ReLU layers."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [StackedLinear(latent, width, streams), nn.ReLU()]
        latent = width
    layers.append(StackedLinear(latent, prod(shape), streams))
    if len(shape) > 1:
        layers += [nn.Tanh(), Reshape(*shape)]
    return nn.Sequential(*layers)


def mlp_trunk(shape: Sequence[int], widths: Sequence[int], streams: Streams) -> nn.Module:
    """Build the network from samples, flattened, to the last hidden layer."""
    inputs = prod(shape)
    layers: list[nn.Module] = [Reshape(inputs)]
    for width in widths:
        layers += [StackedLinear(inputs, width, streams), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers)


def _channel_widths(width: int, size: int) -> list[int]:
    """Return the channels at resolutions from size/2 down to 4×4."""
    return [width * min(2**n, 8) for n in range(int(log2(size)) - 2)]


def dcgan_generator(latent: int, width: int, shape: Sequence[int], streams: Streams) -> nn.Module:
    """Build the network from z to images: a projection to 4×4, then 4×4 transposed convolutions of stride 2."""
    start = normal_initialiser(streams)
    widths = _channel_widths(width, shape[1])[::-1]
    layers: list[nn.Module] = [
        StackedLinear(latent, widths[0] * 16, streams, start, bias=False),
        Reshape(widths[0], 4, 4),
        StackedBatchNorm(widths[0], streams),
        nn.ReLU(),
    ]
    for inputs, outputs in itertools.pairwise(widths):
        layers += [
            StackedConvolution(inputs, outputs, 4, 2, 1, streams, transposed=True, bias=False, start=start),
            StackedBatchNorm(outputs, streams),
            nn.ReLU(),
        ]
    last = StackedConvolution(widths[-1], shape[0], 4, 2, 1, streams, transposed=True, start=start)
    return nn.Sequential(*layers, last, nn.Tanh())


def dcgan_trunk(width: int, shape: Sequence[int], norm: str, streams: Streams) -> tuple[nn.Module, int]:
    """Build the network from images to 4×4 features by 4×4 convolutions of stride 2, the first without norm."""
    start = normal_initialiser(streams)
    widths = _channel_widths(width, shape[1])
    layers: list[nn.Module] = []
    inputs = shape[0]
    for n, outputs in enumerate(widths):
        normed = norm == "batch" and n > 0
        layers.append(StackedConvolution(inputs, outputs, 4, 2, 1, streams, bias=not normed, start=start))
        layers += [StackedBatchNorm(outputs, streams)] if normed else []
        layers.append(nn.LeakyReLU(0.2))
        inputs = outputs
    return nn.Sequential(*layers, Reshape(inputs * 16)), inputs * 16
