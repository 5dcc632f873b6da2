"""Architectures: plugins that build a generator, and the discriminator's body up to its last features.

Each is a class with `latent` (size of z), `fits(shape)` (why samples of a shape can't be generated, or
None), `generator(shape, streams)` and `trunk(shape, settings, streams)`; `build_discriminator` adds the
features of remedies and a linear head. `stacks` tells if its networks have an axis of seeds; networks
without one are wrapped in `harness_generative.stacked_layers.StackOfOne`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import OptionError
from harness_generative.contracts import GanSettings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from harness_generative.streams import Streams


class Architecture:
    """Base class with the usual defaults; an option annotated with it refers to an architecture by name."""

    plugin_kind = "models"
    stacks = True
    small_start = False
    """Whether the head is initialised from N(0, 0.02²), as in DCGAN, or uniformly."""
    latent: int

    def load(self, device: torch.device) -> None:
        """Do nothing: every run builds its own networks from its seeds."""

    def fits(self, shape: Sequence[int]) -> str | None:
        """Return why samples of a shape (D, or C×H×W) can't be generated, or None."""
        return None

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module:
        """Build the network from z S×B×latent to samples S×B×shape (images in [−1, 1])."""
        raise NotImplementedError

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build the network from samples S×B×shape to features S×B×F; return it and F."""
        raise NotImplementedError


def _explain_misfit(name: str, shape: Sequence[int]) -> str | None:
    if len(shape) != 3:
        return f"{name} makes images, the data set has vectors"
    size = shape[1]
    if shape[1] != shape[2] or size < 8 or size & (size - 1):
        return f"{name} makes square images of a power of two from 8 up, the size is {shape[1]}×{shape[2]}"
    return None


def _check_positive(name: str, **options: int) -> None:
    for option, value in options.items():
        if value < 1:
            raise OptionError(f"{name}: {option} must be at least 1, found {value}")


class MLP(Architecture):
    """Multilayer perceptrons with ReLU, as used for two-dimensional toys; images are flattened.

    Args:
        hidden: width of the hidden layers of both networks.
        layers: number of hidden layers.
        latent: size of z.
    """

    def __init__(self, hidden: int = 128, layers: int = 3, latent: int = 2) -> None:
        _check_positive("gan-mlp", hidden=hidden, layers=layers, latent=latent)
        self.hidden, self.layers, self.latent = hidden, layers, latent

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module:
        """Build hidden layers and a linear output, with tanh for images."""
        from harness_generative.gan_networks import mlp_generator

        return mlp_generator(self.latent, [self.hidden] * self.layers, shape, streams)

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build the hidden layers."""
        from harness_generative.gan_networks import mlp_trunk

        width = max(1, round(self.hidden * settings.d_width))
        return mlp_trunk(shape, [width] * self.layers, streams), width


class Perceptron(MLP):
    """The baseline discriminator, a linear map of the flattened sample, with the generator of the MLP.

    Args:
        hidden: width of the generator's hidden layers.
        layers: number of the generator's hidden layers.
    """

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build the flattening of the sample."""
        from math import prod

        from harness_generative.gan_networks import mlp_trunk

        return mlp_trunk(shape, [], streams), prod(shape)


class DCGAN(Architecture):
    """Strided convolutions with batch normalisation (Radford et al. 2016), for power-of-two sizes.

    Args:
        width: channels at the largest resolution; they double with each halving
            down to 4×4, up to eight times as many.
        latent: size of z.
    """

    small_start = True

    def __init__(self, width: int = 64, latent: int = 100) -> None:
        _check_positive("gan-dcgan", width=width, latent=latent)
        self.width, self.latent = width, latent

    def fits(self, shape: Sequence[int]) -> str | None:
        """Return why not, unless the images are square with a power-of-two side."""
        return _explain_misfit("gan-dcgan", shape)

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module:
        """Build a projection to 4×4 and transposed convolutions."""
        from harness_generative.gan_networks import dcgan_generator

        return dcgan_generator(self.latent, self.width, shape, streams)

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build strided convolutions down to 4×4, flattened."""
        from harness_generative.gan_networks import dcgan_trunk

        return dcgan_trunk(max(1, round(self.width * settings.d_width)), shape, settings.d_norm, streams)


class ResNet(Architecture):
    """Residual blocks of constant width (Gulrajani et al. 2017; Miyato et al. 2018).

    Args:
        width: channels of every block (128 for the CIFAR-10 discriminator in both papers).
        latent: size of z.
    """

    def __init__(self, width: int = 128, latent: int = 128) -> None:
        _check_positive("gan-resnet", width=width, latent=latent)
        self.width, self.latent = width, latent

    def fits(self, shape: Sequence[int]) -> str | None:
        """Return why not, unless the images are square with a power-of-two side."""
        return _explain_misfit("gan-resnet", shape)

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module:
        """Build a projection to 4×4 and upsampling blocks with batch normalisation."""
        from harness_generative.residual import resnet_generator

        return resnet_generator(self.latent, self.width, shape, streams)

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build downsampling blocks, two at constant size and a sum over positions; no normalisation."""
        from harness_generative.residual import resnet_trunk

        width = max(1, round(self.width * settings.d_width))
        return resnet_trunk(width, shape, streams), width


class MixedArchitecture(Architecture):
    """The generator of one architecture against the discriminator of another.

    Args:
        generator: the architecture of the generator; its `latent` is used.
        discriminator: the architecture of the discriminator.
    """

    def __init__(self, generator: Architecture, discriminator: Architecture) -> None:
        for part, given in (("generator", generator), ("discriminator", discriminator)):
            if not isinstance(given, Architecture):
                raise OptionError(f"gan-mixed: {part} must be a GAN architecture, found {given!r}")
        self._generator, self._discriminator = generator, discriminator
        self.latent = generator.latent
        self.stacks = generator.stacks and discriminator.stacks
        self.small_start = discriminator.small_start

    def fits(self, shape: Sequence[int]) -> str | None:
        """Return why either architecture can't handle the shape, or None."""
        return self._generator.fits(shape) or self._discriminator.fits(shape)

    def generator(self, shape: Sequence[int], streams: Streams) -> nn.Module:
        """Build the generator of the first architecture."""
        return self._generator.generator(shape, streams)

    def trunk(self, shape: Sequence[int], settings: GanSettings, streams: Streams) -> tuple[nn.Module, int]:
        """Build the body of the second architecture."""
        return self._discriminator.trunk(shape, settings, streams)
