"""R-CNN and Fast R-CNN: a classifier of regions that something else proposes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.ops import roi_align

from harness_detectors.region_layers import ConvolutionalHead, RegionLayer, RoiKind
from harness_detectors.small_backbones import SmallBackbone, convolve

Propose = Callable[[Tensor], Tensor]
"""From an image 3×H×W to boxes M×4 on its device."""


class Warp(nn.Module):
    """Regions of the image itself, each with a share of its surroundings, warped to n×n (bilinear)."""

    def __init__(self, side: int, context: int) -> None:
        super().__init__()
        self.side, self.context = side, context

    def forward(
        self, x: Mapping[str, Tensor], boxes: Sequence[Tensor], image_shapes: Sequence[tuple[int, int]]
    ) -> Tensor:
        """Return R×3×n×n; `context` of the n pixels on each side show what is around the box."""
        (images,) = x.values()
        wider = []
        for one in boxes:
            sides = (one[:, 2:] - one[:, :2]) * self.context / (self.side - 2 * self.context)
            wider.append(torch.cat([one[:, :2] - sides, one[:, 2:] + sides], dim=1))
        return cast("Tensor", roi_align(images, wider, self.side, 1.0, 2, aligned=True))


class CropClassifier(nn.Module):
    """A small network that sees one warped region at a time."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            convolve(3, width, 2), convolve(width, 2 * width, 2), convolve(2 * width, 2 * width), nn.Flatten(),
            nn.LazyLinear(hidden), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, regions: Tensor) -> Tensor:
        """Return R×hidden of regions R×3×n×n."""
        return cast("Tensor", self.features(regions))


class RegionNetwork(nn.Module):
    """Classes and refined boxes of proposed regions; called as torchvision's detectors are.

    `backbone` computes the map that `pool` takes regions from; without one they come from the image.
    """

    def __init__(
        self, backbone: nn.Module | None, pool: nn.Module, head: nn.Module, hidden: int, outputs: int,
        propose: Propose, background: float, thresholds: Mapping[str, Any],
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.propose = backbone, propose
        self.roi_heads = RoIHeads(
            pool, head, FastRCNNPredictor(hidden, outputs), fg_iou_thresh=0.5, bg_iou_thresh=background,
            batch_size_per_image=32, positive_fraction=0.25, bbox_reg_weights=None, **thresholds,
        )  # fmt: skip

    def forward(
        self, images: Sequence[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in train mode, else boxes, scores and labels (from 1) of each image 3×H×W.

        The images of a batch have one size in evaluation mode; in train mode smaller ones are padded.
        """
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        height, width = (max(side) for side in zip(*sizes, strict=True))
        batch = torch.stack(
            [
                nn.functional.pad((i - 0.5) / 0.25, (0, width - i.shape[-1], 0, height - i.shape[-2]))
                for i in images
            ]
        )
        features = {"0": batch} if self.backbone is None else self.backbone(batch)
        proposals = [self.propose(image) for image in images]
        found, losses = self.roi_heads(features, proposals, sizes, targets)
        return cast("dict[str, Tensor] | list[dict[str, Tensor]]", losses if self.training else found)


def build_fast(
    width: int, stride: int, roi: RoiKind, outputs: int, propose: Propose, thresholds: Mapping[str, Any]
) -> RegionNetwork:
    """Return Fast R-CNN (Girshick, ICCV 2015): one map of the image, from which all regions are taken."""
    backbone = SmallBackbone(width, stride)
    channels, hidden = backbone.out_channels, 2 * backbone.out_channels
    pool, head = RegionLayer(roi, 7, stride), ConvolutionalHead(channels, 7, hidden)
    return RegionNetwork(backbone, pool, head, hidden, outputs, propose, 0.5, thresholds)


def build_separate(
    width: int, side: int, context: int, outputs: int, propose: Propose, thresholds: Mapping[str, Any]
) -> RegionNetwork:
    """Return R-CNN (Girshick et al., CVPR 2014): a network for each region of the image on its own."""
    hidden = 4 * width
    head = CropClassifier(width, hidden)
    with torch.no_grad():
        head(torch.zeros(1, 3, side, side))  # so that the linear layer knows its inputs
    return RegionNetwork(None, Warp(side, context), head, hidden, outputs, propose, 0.3, thresholds)
