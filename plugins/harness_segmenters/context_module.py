"""The context module: dilated convolutions that see far without losing resolution (Yu and Koltun, ICLR 2016)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

DILATIONS = (1, 1, 2, 4, 8, 16, 1)
"""Of its 3×3 convolutions; a 1×1 convolution follows."""

WIDTHS = {"basic": (1, 1, 1, 1, 1, 1, 1), "large": (2, 2, 4, 8, 16, 32, 32)}
"""Channels of each, in multiples of the classes."""

NOISE = 0.01
"""Deviation of the noise at the start, in shares of what a channel passes on."""


class ContextModule(nn.Sequential):
    """Refines maps of C channels: seven 3×3 convolutions and one 1×1, ReLU between them.

    It starts as the identity, on numbers that are not negative (the ReLUs cut others): each output passes the mean of
    the inputs of its class on. A little noise, drawn by torch, tells apart the several channels of a class.

    Args:
        channels: C.
        size: `basic`, C channels throughout, or `large`, up to 32 C.
    """

    def __init__(self, channels: int, size: Literal["basic", "large"] = "basic") -> None:
        outputs = [factor * channels for factor in WIDTHS[size]]
        inputs = [channels, *outputs]
        layers: list[nn.Module] = []
        for a, b, dilation in zip(inputs, outputs, DILATIONS, strict=False):
            layers += [nn.Conv2d(a, b, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        super().__init__(*layers, nn.Conv2d(outputs[-1], channels, 1))
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                start_as_identity(layer, channels)


def start_as_identity(layer: nn.Conv2d, classes: int) -> None:
    """Let a convolution pass on what belongs to each class: the channels of a layer are its classes in equal parts."""
    outputs, inputs = layer.out_channels, layer.in_channels
    of_output = torch.arange(outputs) * classes // outputs
    of_input = torch.arange(inputs) * classes // inputs
    middle = layer.kernel_size[0] // 2
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[:, :, middle, middle] = (of_output[:, None] == of_input[None]).float() * classes / inputs
        if max(inputs, outputs) > classes:
            layer.weight += torch.randn_like(layer.weight) * NOISE * classes / outputs
        if layer.bias is not None:
            layer.bias.zero_()
