"""The contract of networks to train: what a training asks of a model, and the base class of families.

A family is a plugin of the group `harness.models` that builds a new network for every training. The
shape of its images and the number of classes come from the data set, so they are no options. The caller
seeds torch's global generator before `build`; nothing else decides the initial weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness import register_capability

if TYPE_CHECKING:
    import torch
    from torch import nn

Shape = tuple[int, int, int]
"""Channels, height and width of images."""


@register_capability("builds networks to train", choose="mlp, lenet5 or extractor-team")
@runtime_checkable
class BuildsNetworks(Protocol):
    """What every training requires of a family of networks.

    A family may also have `fits(shape, classes) -> str | None`: why it can't build a network for them.
    """

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build a network from floats B×C×H×W to logits B×classes, for images of `shape` (C, H, W)."""
        ...


@register_capability("names stages of its networks", choose="extractor-team, lenet5 or vgg")
@runtime_checkable
class NamesStages(Protocol):
    """What training layer by layer requires of a family."""

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the parts of a network it has built, in the order of computation, without the head.

        Each takes the output of the one before it; the first takes images B×C×H×W.
        """
        ...


@register_capability("fits kernels without labels")
@runtime_checkable
class FitsKernels(Protocol):
    """What learning kernels without labels requires of a family."""

    def fit_kernels(self, network: nn.Module, images: torch.Tensor, seed: int) -> list[str]:
        """Set kernels of a network from images N×C×H×W; return the names of parameters that stay frozen."""
        ...


class NetworkFamily:
    """Base class with the usual defaults; an option annotated with it refers to a family by name."""

    plugin_kind = "models"
    tags: Mapping[str, str] = {"start": "scratch"}

    def load(self, device: torch.device) -> None:
        """Keep the device: there is nothing to load, as every training builds its own network."""
        self.device = device

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why no network can be built for images of a shape (C, H, W) and classes, or None."""
        return None
