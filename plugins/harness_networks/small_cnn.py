"""The model `small-cnn`: a small network whose convolution, pooling and normalisation are plugins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness import OptionError
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
from harness_networks.option_checks import require_at_least, require_choice, require_share

if TYPE_CHECKING:
    import torch
    from torch import nn

ACTIVATIONS = ("relu", "tanh", "absolute", "leaky-relu", "gelu", "none")
Activation = Literal["relu", "tanh", "absolute", "leaky-relu", "gelu", "none"]


@dataclass(frozen=True)
class StagePlan:
    """One stage of a small network: `shape` of its input, its output channels and its window."""

    shape: Shape
    channels: int
    window: Window

    @property
    def convolved(self) -> Shape:
        """Shape of the convolution's output."""
        return (self.channels, *self.window.output_size(self.shape[1:]))


class SmallCNN(NetworkFamily):
    """A stage per number of channels (convolution, normalisation, activation, pooling), then a linear head.

    `kernel`, `stride` and `dilation` are one number for all stages, or a list with one for each. Kernels
    that are not trained are fixed by `fit_kernels`: "random" ones stay as drawn, "k-means" ones are
    centroids of patches (Coates, Ng & Lee 2011), whose triangle activation then stands for convolution,
    normalisation and activation of the stage.

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
        head: Literal["gap", "flatten"] = "gap",
        dropout: float = 0.0,
        kernels: Literal["trained", "random", "k-means"] = "trained",
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
        require_choice("small-cnn", "activation", activation, ACTIVATIONS)
        require_choice("small-cnn", "head", head, ("gap", "flatten"))
        require_choice("small-cnn", "kernels", kernels, ("trained", "random", "k-means"))
        count = len(channels)
        sides, strides, dilations = (
            _spread(name, value, count)
            for name, value in (("kernel", kernel), ("stride", stride), ("dilation", dilation))
        )
        self.channels = tuple(channels)
        self.windows = [Window(k, s, padding, d) for k, s, d in zip(sides, strides, dilations, strict=True)]
        self.convolution = convolution or PlainConvolution()
        self.pooling = pooling or (NoPool() if max(strides) > 1 else MaxPool())
        self.normalisation, self.input_normalisation = normalisation, input_normalisation
        for name, layer, role in (
            ("convolution", self.convolution, Convolution),
            ("pooling", self.pooling, Pooling),
            ("normalisation", normalisation, Normalisation),
            ("input_normalisation", input_normalisation, Normalisation),
        ):
            _require_role(name, layer, role)
        if kernels != "trained" and fixed_stages > count:
            raise OptionError(f"small-cnn: fixed_stages is {fixed_stages}, but there are {count} stages")
        if kernels == "k-means" and not self.convolution.shares_kernels:
            raise OptionError(
                f"small-cnn: k-means kernels are alike everywhere, which {type(self.convolution).__name__} is not: "
                'expected convolution = "convolution"'
            )
        if not 0 < whitening < float("inf"):
            raise OptionError(
                f"small-cnn: whitening must be above 0 (patches without their means have no full rank), found {whitening}"
            )
        self.activation, self.head, self.dropout = activation, head, dropout
        self.kernels, self.patches, self.whitening = kernels, patches, whitening
        self.fixed_stages = 0 if kernels == "trained" else fixed_stages

    def plan_stages(self, shape: Shape) -> Iterator[StagePlan]:
        """Yield the stages for images of `shape` (C, H, W), each with the shape of its input."""
        for channels, window in zip(self.channels, self.windows, strict=True):
            plan = StagePlan(shape, channels, window)
            yield plan
            shape = (channels, *self.pooling.output_size(plan.convolved[1:]))

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return which stage has no place on images of a shape (C, H, W), and why, or None."""
        if self.input_normalisation and (problem := self.input_normalisation.fits(shape)):
            return f"input: {problem}"
        for number, plan in enumerate(self.plan_stages(shape), 1):
            problem = (
                plan.window.explain_misfit(plan.shape[1:])
                or self.convolution.fits(plan.shape, plan.channels, plan.window)
                or (self.normalisation and self.normalisation.fits(plan.convolved))
                or self.pooling.fits(plan.convolved[1:])
            )
            if problem:
                return f"stage {number}: {problem}"
        return None

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the stages and the head; the module's children are `stage1`, `stage2`, …, `head`."""
        from harness_networks.small_cnn_modules import build_small_cnn

        if problem := self.fits(shape, classes):
            raise OptionError(f"small-cnn: {problem}")
        return build_small_cnn(self, shape, classes)

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the stages in order; the first begins with the normalisation of the input, if any."""
        return [network.get_submodule(f"stage{number}") for number in range(1, len(self.channels) + 1)]

    def fit_kernels(self, network: nn.Module, images: torch.Tensor, seed: int) -> list[str]:
        """Fix the kernels of the first stages from images N×C×H×W without labels; return their parameters' names.

        Stages after the first get their patches from the outputs of those before, of at most 2,000 images.
        """
        from harness_networks.small_cnn_modules import fix_kernels

        return fix_kernels(self, network, images, seed)


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
