"""The encoder that the small segmenters share: stages of 3×3 convolutions with max-pooling between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Encoded:
    """What the encoder says: `maps` of each stage before it is pooled, finest first, and the `switches` of each pooling."""

    maps: list[Tensor]
    switches: list[Tensor]


class RectifiedConvolution(nn.Sequential):
    """A 3×3 convolution that keeps the size, batch norm if wanted, and ReLU."""

    def __init__(self, inputs: int, outputs: int, norm: bool, dilation: int = 1) -> None:
        layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)]
        if norm:
            layers.append(nn.BatchNorm2d(outputs))
        super().__init__(*layers, nn.ReLU())


def build_stage(inputs: int, outputs: int, count: int, norm: bool, dilation: int = 1) -> nn.Sequential:
    """Return `count` convolutions in a row."""
    widths = [inputs, *[outputs] * count]
    return nn.Sequential(*(RectifiedConvolution(a, outputs, norm, dilation) for a in widths[:-1]))


class SmallEncoder(nn.Module):
    """Stages with 2×2 max-pooling between them.

    Dilated, the last two poolings are left out, and the stages behind them spread their kernels by 2 and 4 instead: each
    pixel sees as much, and there are as many parameters (Yu and Koltun 2016).

    Args:
        widths: channels of each stage.
        convolutions: how many convolutions each has; a last stage may have none.
        norm: whether batch norm follows each.
        dilated: whether to dilate instead of pooling twice.
    """

    def __init__(
        self, widths: Sequence[int], convolutions: Sequence[int], norm: bool, dilated: bool = False
    ) -> None:
        super().__init__()
        count = len(widths)
        spread = {count - 2: 2, count - 1: 4} if dilated else {}
        inputs = [3, *widths[:-1]]
        self.stages = nn.ModuleList(
            build_stage(a, b, n, norm, spread.get(place, 1))
            for place, (a, b, n) in enumerate(zip(inputs, widths, convolutions, strict=True))
        )
        self.pools = count - 1 - (2 if dilated else 0)

    @property
    def stride(self) -> int:
        """Pixels per cell of the coarsest map."""
        return 1 << self.pools

    def forward(self, x: Tensor) -> Encoded:
        """Return all maps of images N×3×H×W."""
        found = Encoded([], [])
        for place, stage in enumerate(self.stages):
            x = stage(x)
            found.maps.append(x)
            if place < self.pools:
                x, switches = F.max_pool2d(x, 2, return_indices=True)
                found.switches.append(switches)
        return found
