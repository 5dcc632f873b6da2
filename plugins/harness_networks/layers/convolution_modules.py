"""Modules of convolutions: torch's with every padding, and tiled ones."""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn import functional as F

from harness_networks.contracts import Shape
from harness_networks.layers.contracts import Size, Window


def build_padding(window: Window, size: Size) -> nn.Module:
    """Build the padding of maps B×C×H×W of `size` (H, W), after which a valid convolution gives the output."""
    (top, bottom), (left, right) = (window.find_pads(n) for n in size)
    if not any((left, right, top, bottom)):
        return nn.Identity()
    if window.padding == "circular":
        return nn.CircularPad2d((left, right, top, bottom))
    return nn.ZeroPad2d((left, right, top, bottom))


def build_convolution(
    shape: Shape, channels: int, window: Window, groups: int = 1, bias: bool = True
) -> nn.Module:
    """Build a convolution from B×C×H×W, where `shape` is C, H, W, to B×channels×H'×W'.

    It is a `torch.nn.Conv2d` if zeros are padded alike on all sides, else one behind a padding.
    """
    padding = build_padding(window, shape[1:])
    pads = {pad for n in shape[1:] for pad in window.find_pads(n)}
    alike = window.padding != "circular" and len(pads) == 1
    convolution = nn.Conv2d(
        shape[0],
        channels,
        window.kernel,
        window.stride,
        pads.pop() if alike else 0,
        window.dilation,
        groups,
        bias,
    )
    if alike or isinstance(padding, nn.Identity):
        return convolution
    return nn.Sequential(OrderedDict(padding=padding, convolution=convolution))


class TiledConv2d(nn.Module):
    """A convolution B×C×H×W → B×channels×H'×W' whose kernels repeat after `tile` positions of the output.

    `weight` is t×t'×channels×C×k×k and `bias` t×t'×channels, where t and t' are the tile, cut to the output's
    height and width. Both start like those of torch's convolution.
    """

    def __init__(self, shape: Shape, channels: int, window: Window, tile: int) -> None:
        super().__init__()
        self.window, self.out = window, window.output_size(shape[1:])
        self.padding = build_padding(window, shape[1:])
        self.tiles = min(tile, self.out[0]), min(tile, self.out[1])
        kernel = (shape[0], window.kernel, window.kernel)
        bound = 1 / math.sqrt(math.prod(kernel))
        self.weight = nn.Parameter(torch.empty(*self.tiles, channels, *kernel).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(*self.tiles, channels).uniform_(-bound, bound))

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the outputs, computed as one product of matrices for each of the t·t' kinds of position."""
        window, (height, width), (down, across) = self.window, self.out, self.tiles
        patches = F.unfold(
            self.padding(maps), window.kernel, dilation=window.dilation, stride=window.stride
        ).unflatten(2, (height, width))
        patches = F.pad(patches, (0, -width % across, 0, -height % down))
        grid = patches.unflatten(3, (-1, across)).unflatten(2, (-1, down))
        made = torch.einsum("bdiajc,acod->boiajc", grid, self.weight.flatten(3))
        made = made + self.bias.permute(2, 0, 1)[:, None, :, None, :]
        return made.flatten(4, 5).flatten(2, 3)[..., :height, :width]

    def extra_repr(self) -> str:
        """Return the options for printing."""
        return f"{self.window}, tiles={self.tiles}"
