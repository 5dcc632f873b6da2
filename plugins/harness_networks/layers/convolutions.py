"""Convolution layers: one kernel for all positions, t×t kernels in turn (tiled), or one for each position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness_networks.layers.contracts import Convolution, Window
from harness_networks.option_checks import require_at_least

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape


class PlainConvolution(Convolution):
    """The usual convolution (cross-correlation, as in all libraries).

    Args:
        groups: into how many groups input and output channels are divided.
        bias: whether every output channel has a bias.
    """

    def __init__(self, groups: int = 1, bias: bool = True) -> None:
        require_at_least("convolution", 1, groups=groups)
        self.groups, self.bias = groups, bias

    def fits(self, shape: Shape, channels: int, window: Window) -> str | None:
        """Return why channels can't be divided into groups, or None."""
        if shape[0] % self.groups or channels % self.groups:
            return f"{shape[0]} and {channels} channels can't be divided into {self.groups} groups"
        return None

    def build(self, shape: Shape, channels: int, window: Window) -> nn.Module:
        """Build torch's convolution, behind padding where torch has no such padding."""
        from harness_networks.layers.convolution_modules import build_convolution

        return build_convolution(shape, channels, window, self.groups, self.bias)


class TiledConvolution(Convolution):
    """Kernels in t×t turns (Le et al. 2010): output (i, j) uses those of (i mod t, j mod t), each with its bias.

    With tile = 1 it is the usual convolution; a tile as large as the output makes it locally connected.
    A larger one is cut to the output's size.

    Args:
        tile: t, after how many positions the kernels repeat.
    """

    shares_kernels = False

    def __init__(self, tile: int = 2) -> None:
        require_at_least("tiled-convolution", 1, tile=tile)
        self.tile = tile

    def build(self, shape: Shape, channels: int, window: Window) -> nn.Module:
        """Build t²·(C·channels·k² + channels) parameters."""
        from harness_networks.layers.convolution_modules import TiledConv2d

        return TiledConv2d(shape, channels, window, self.tile)


class LocallyConnected(Convolution):
    """A kernel and a bias of its own for every position of the output."""

    shares_kernels = False

    def build(self, shape: Shape, channels: int, window: Window) -> nn.Module:
        """Build H'·W'·(C·channels·k² + channels) parameters."""
        from harness_networks.layers.convolution_modules import TiledConv2d

        return TiledConv2d(shape, channels, window, max(window.output_size(shape[1:])))
