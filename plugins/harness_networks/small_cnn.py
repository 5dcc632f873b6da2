"""The model `small-cnn`: a small network whose convolution, pooling and normalisation are plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, get_args

from harness import OptionError
from harness.errors import did_you_mean
from harness_networks.contracts import NetworkFamily, Shape
from harness_networks.layers.contracts import (
    Convolution,
    Layer,
    Normalisation,
    Padding,
    Pooling,
    Window,
)
from harness_networks.layers.convolutions import PlainConvolution
from harness_networks.layers.pooling import MaxPool, NoPool
from harness_networks.option_checks import require_at_least, require_share
from harness_networks.small_cnn_design import Activation, Head, Kernels, SmallCNNDesign

if TYPE_CHECKING:
    import torch
    from torch import nn


class SmallCNN(NetworkFamily):
    """A stage per number of channels (convolution, normalisation, activation, pooling), then a linear head.

    `kernel`, `stride` and `dilation` are one number for all stages, or a list with one for each. Kernels
    that are not trained are fixed by `fit_kernels`: "random" ones stay as drawn, "k-means" ones are
    centroids of patches (Coates, Ng & Lee 2011), whose triangle activation then stands for convolution,
    normalisation and activation of the stage. They expect pixels from 0 to 1: the contrast of a patch is
    divided by √(variance + 10/255²), as in Coates' code.

    Args:
        channels: output channels of the stages; by default 32 and 64.
        kernel: side of the kernels.
        stride: stride of the convolutions.
        padding: what is around the maps; "same" pads zeros like torch, "same-keras" like Keras, which
            differ with a stride.
        dilation: distance between the samples of a kernel.
        convolution: a layer such as "tiled-convolution"; by default "convolution".
        pooling: a layer such as {plugin = "lp-pool", p = 3}; by default "max-pool", and "no-pool" with
            a stride above 1.
        normalisation: a layer such as "batch-norm"; by default none.
        input_normalisation: a layer before the first stage, such as "global-contrast"; by default none.
        activation: the function after every convolution.
        head: "gap" averages over positions before the linear layer, "flatten" keeps them.
        dropout: share of inputs of the linear layer to drop.
        kernels: whether the first kernels are trained, stay as drawn, or come from patches.
        fixed_stages: of how many first stages the kernels are fixed, unless they are trained.
        patches: how many patches k-means gets.
        whitening: what is added to eigenvalues when patches are whitened; 0.1 in Coates' code.
    """

    smallest: ClassVar = {"channels": [4, 8], "patches": 1_000}

    def __init__(
        self,
        channels: list[int] | None = None,
        kernel: int | list[int] = 3,
        stride: int | list[int] = 1,
        padding: Padding = "same",
        dilation: int | list[int] = 1,
        convolution: Convolution | None = None,
        pooling: Pooling | None = None,
        normalisation: Normalisation | None = None,
        input_normalisation: Normalisation | None = None,
        activation: Activation = "relu",
        head: Head = "gap",
        dropout: float = 0.0,
        kernels: Kernels = "trained",
        fixed_stages: int = 1,
        patches: int = 50_000,
        whitening: float = 0.1,
    ) -> None:
        channels = [32, 64] if channels is None else channels
        if not channels:
            raise OptionError("small-cnn: channels must have at least one number")
        for number in channels:
            require_at_least("small-cnn", 1, channels=number)
        require_at_least("small-cnn", 1, fixed_stages=fixed_stages, patches=patches)
        require_share("small-cnn", dropout=dropout)
        for option, value, known in (
            ("activation", activation, Activation),
            ("head", head, Head),
            ("kernels", kernels, Kernels),
        ):
            if value not in get_args(known):
                raise OptionError(
                    f"small-cnn: {option} can't be {value!r}{did_you_mean(value, get_args(known))}"
                )
        count = len(channels)
        sides, strides, dilations = (
            _spread(name, value, count)
            for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation))
        )
        convolution = convolution or PlainConvolution()
        pooling = pooling or (NoPool() if max(strides) > 1 else MaxPool())
        for name, layer, role in (
            ("convolution", convolution, Convolution),
            ("pooling", pooling, Pooling),
            ("normalisation", normalisation, Normalisation),
            ("input_normalisation", input_normalisation, Normalisation),
        ):
            _require_role(name, layer, role)
        if kernels != "trained" and fixed_stages > count:
            raise OptionError(f"small-cnn: fixed_stages is {fixed_stages}, but there are {count} stages")
        if kernels == "k-means" and not convolution.shares_kernels:
            raise OptionError(
                f"small-cnn: k-means kernels are alike everywhere, which {type(convolution).__name__} is not: "
                'expected convolution = "convolution"'
            )
        if not 0 < whitening < float("inf"):
            raise OptionError(
                f"small-cnn: whitening must be above 0 (patches without their means have no full rank), found {whitening}"
            )
        self.design = SmallCNNDesign(
            channels=tuple(channels),
            windows=tuple(
                Window(k, s, padding, d) for k, s, d in zip(sides, strides, dilations, strict=True)
            ),
            convolution=convolution,
            pooling=pooling,
            normalisation=normalisation,
            input_normalisation=input_normalisation,
            activation=activation,
            head=head,
            dropout=dropout,
            kernels=kernels,
            fixed_stages=0 if kernels == "trained" else fixed_stages,
            patches=patches,
            whitening=whitening,
        )

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return which stage has no place on images of a shape (C, H, W), and why, or None."""
        return self.design.explain_misfit(shape)

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the stages and the head; the module's children are `stage1`, `stage2`, …, `head`."""
        from harness_networks.small_cnn_modules import build_small_cnn

        if problem := self.fits(shape, classes):
            raise OptionError(f"small-cnn: {problem}")
        return build_small_cnn(self.design, shape, classes)

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the stages in order; the first begins with the normalisation of the input, if any."""
        return [network.get_submodule(f"stage{number}") for number in range(1, len(self.design.channels) + 1)]

    def fit_kernels(self, network: nn.Module, images: torch.Tensor, seed: int) -> list[str]:
        """Fix the kernels of the first stages from images N×C×H×W without labels; return their parameters' names.

        Stages after the first get their patches from the outputs of those before, of at most 2,000 images.
        """
        from harness_networks.small_cnn_modules import fix_kernels

        return fix_kernels(self.design, network, images, seed)


def _spread(name: str, value: int | list[int], count: int) -> list[int]:
    """Return a number for each stage."""
    if not isinstance(value, list):
        return [value] * count
    if len(value) != count:
        raise OptionError(
            f"small-cnn: {name} must be one number, or one for each of {count} stages, found {value}"
        )
    return value


def _require_role(name: str, layer: object, role: type[Layer]) -> None:
    if layer is not None and not isinstance(layer, role):
        raise OptionError(
            f"small-cnn: {name} must be a {role.__name__.lower()} layer, found {type(layer).__name__}"
        )
