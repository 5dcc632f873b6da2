"""Small convolutional backbones for images that are drawn or small."""

from __future__ import annotations

from collections import OrderedDict
from math import gcd
from typing import cast

from torch import Tensor, nn


def convolve(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    """Return a 3×3 convolution with group norm, which does not depend on the batch, and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.GroupNorm(gcd(8, outputs), outputs),
        nn.ReLU(inplace=True),
    )


class SmallBackbone(nn.Module):
    """A map of features at a stride of 4 or 8, named "0" as torchvision's detectors ask for it."""

    def __init__(self, width: int, stride: int) -> None:
        super().__init__()
        layers = [convolve(3, width, 2), convolve(width, 2 * width, 2), convolve(2 * width, 2 * width)]
        if stride == 8:
            layers += [convolve(2 * width, 3 * width, 2), convolve(3 * width, 3 * width)]
        else:
            layers.append(convolve(2 * width, 2 * width))
        self.layers = nn.Sequential(*layers)
        self.stride = stride
        self.out_channels = (3 if stride == 8 else 2) * width

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        """Return B×out_channels×H/stride×W/stride of images B×3×H×W."""
        return OrderedDict({"0": cast("Tensor", self.layers(images))})
