"""Features of regions of interest, taken from a map in three ways."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, cast

from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign, roi_align, roi_pool

RoiKind = Literal["align", "aligned", "pool"]


class RegionLayer(MultiScaleRoIAlign):  # type: ignore[misc]
    """Features C×n×n of each region, from the map of a backbone.

    "pool" is RoIPool (Girshick, ICCV 2015): edges are rounded to whole cells and each bin's largest value is taken.
    "align" is RoIAlign (He et al., ICCV 2017) as torchvision's detectors use it, bilinear without rounding, but with
    the features half a cell off, always by the same; "aligned" is RoIAlign without that shift.

    torchvision's networks take only a `MultiScaleRoIAlign` in this place.
    """

    def __init__(self, kind: RoiKind, side: int, stride: int, sampling: int = 2) -> None:
        super().__init__(["0"], side, sampling)
        self.kind, self.side, self.stride, self.sampling = kind, side, stride, sampling

    def forward(
        self, x: Mapping[str, Tensor], boxes: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Return features R×C×n×n of all boxes (in pixels) of all images, in their order, from the only map in `x`."""
        (own,) = x.values()
        scale, regions = 1 / self.stride, list(boxes)
        if self.kind == "pool":
            return cast("Tensor", roi_pool(own, regions, self.side, scale))
        aligned = self.kind == "aligned"
        return cast("Tensor", roi_align(own, regions, self.side, scale, self.sampling, aligned))


class ConvolutionalHead(nn.Module):
    """A vector of each region, from its features C×n×n by one hidden layer after a convolution."""

    def __init__(self, channels: int, side: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(inplace=True), nn.Flatten(),
            nn.Linear(channels * side * side, width), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, regions: Tensor) -> Tensor:
        """Return R×width of regions R×C×n×n."""
        return cast("Tensor", self.layers(regions))
