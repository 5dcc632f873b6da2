"""The design of a small network: its layers, and the shapes of its stages, by arithmetic alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from harness_networks.contracts import Shape
from harness_networks.layers.contracts import Convolution, Normalisation, Pooling, Window
from harness_networks.option_checks import ActivationName

Activation = Literal[ActivationName, "absolute", "none"]
Head = Literal["gap", "flatten"]
Kernels = Literal["trained", "random", "k-means"]


@dataclass(frozen=True)
class StageDesign:
    """One stage: `shape` of its input, its output channels and window; `fixed` if its kernels are not trained."""

    shape: Shape
    channels: int
    window: Window
    fixed: bool

    @property
    def convolved(self) -> Shape:
        """Shape of the convolution's output."""
        return (self.channels, *self.window.output_size(self.shape[1:]))


@dataclass(frozen=True)
class SmallCNNDesign:
    """Stages with output `channels` and `windows`, their layers, and the head; options as in `SmallCNN`."""

    channels: tuple[int, ...]
    windows: tuple[Window, ...]
    convolution: Convolution
    pooling: Pooling
    normalisation: Normalisation | None
    input_normalisation: Normalisation | None
    activation: Activation
    head: Head
    dropout: float
    kernels: Kernels
    fixed_stages: int
    patches: int
    whitening: float

    def plan_stages(self, shape: Shape) -> Iterator[StageDesign]:
        """Yield the stages for images of `shape` (C, H, W), each with the shape of its input."""
        for index, (channels, window) in enumerate(zip(self.channels, self.windows, strict=True)):
            stage = StageDesign(shape, channels, window, index < self.fixed_stages)
            yield stage
            shape = self.pool(stage)

    def pool(self, stage: StageDesign) -> Shape:
        """Return the shape of a stage's output."""
        return (stage.channels, *self.pooling.output_size(stage.convolved[1:]))

    def explain_misfit(self, shape: Shape) -> str | None:
        """Return which stage has no place on images of a shape (C, H, W), and why, or None."""
        if self.input_normalisation and (problem := self.input_normalisation.fits(shape)):
            return f"input: {problem}"
        for number, stage in enumerate(self.plan_stages(shape), 1):
            problem = (
                stage.window.explain_misfit(stage.shape[1:])
                or self.convolution.fits(stage.shape, stage.channels, stage.window)
                or (self.normalisation and self.normalisation.fits(stage.convolved))
                or self.pooling.fits(stage.convolved[1:])
            )
            if problem:
                return f"stage {number}: {problem}"
        return None
