"""The model `small-faster-rcnn`: two stages on a small backbone, for small images, trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import OptionError
from harness_detectors.small_model import SmallDetector

if TYPE_CHECKING:
    from torch import nn

SAMPLES = 1
"""Of RoIAlign along each side of a bin: with objects this small, bins are smaller than the map's cells."""


class SmallFasterRCNN(SmallDetector):
    """Faster R-CNN (Ren et al., NeurIPS 2015), or Mask R-CNN (He et al., ICCV 2017), by torchvision with few channels.

    Args:
        roi: how a region's features are taken from the map: `pool` (RoIPool), `align` (RoIAlign as torchvision's
            detectors have it, half a cell off) or `aligned` (without that shift).
        masks: whether it also learns masks, which the data set must have.
        width: channels of the first layer; the map has twice as many.
        stride: pixels per cell of the map, 4 or 8.
        anchors: sides of the square anchors in pixels; by default 7, 14 and 24.
        side: the shorter side that images are resized to.
        proposals: regions that the second stage looks at.
        score_threshold: least score of what it finds.
        nms: intersection over union above which the lower of two boxes is dropped.
        max_found: objects that it finds in an image at most, those with the highest scores.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        roi: Literal["align", "aligned", "pool"] = "align",
        masks: bool = False,
        width: int = 24,
        stride: int = 4,
        anchors: list[int] | None = None,
        side: int = 64,
        proposals: int = 50,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        max_found: int = 20,
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        self.anchors = [7, 14, 24] if anchors is None else anchors
        where = "small-faster-rcnn"
        if stride not in (4, 8):
            raise OptionError(f"{where}: stride must be 4 or 8, not {stride}")
        if not self.anchors or min(self.anchors) < 1:
            raise OptionError(f"{where}: anchors must be sides in pixels, at least one, not {self.anchors}")
        positive = {"width": width, "side": side, "proposals": proposals, "max_found": max_found}
        super().__init__(where, class_names, checkpoint, positive, score_threshold, nms)
        self.roi, self.masks, self.width, self.stride = roi, masks, width, stride
        self.side, self.proposals, self.max_found = side, proposals, max_found

    def build_network(self, outputs: int) -> nn.Module:
        """Return torchvision's network around the small backbone."""
        from torchvision.models.detection import FasterRCNN, MaskRCNN
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor
        from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
        from torchvision.models.detection.rpn import AnchorGenerator

        from harness_detectors.region_layers import ConvolutionalHead, RegionLayer
        from harness_detectors.small_backbones import SmallBackbone

        backbone = SmallBackbone(self.width, self.stride)
        channels, hidden = backbone.out_channels, 2 * backbone.out_channels
        more = {}
        if self.masks:
            more = {
                "mask_roi_pool": RegionLayer(self.roi, 14, self.stride, SAMPLES),
                "mask_head": MaskRCNNHeads(channels, (channels, channels), 1),
                "mask_predictor": MaskRCNNPredictor(channels, channels, outputs),
            }
        network: nn.Module = (MaskRCNN if self.masks else FasterRCNN)(
            backbone,
            min_size=self.side,
            max_size=4 * self.side,
            image_mean=[0.5] * 3,
            image_std=[0.25] * 3,
            rpn_anchor_generator=AnchorGenerator((tuple(self.anchors),), ((1.0,),)),
            rpn_pre_nms_top_n_train=4 * self.proposals,
            rpn_pre_nms_top_n_test=4 * self.proposals,
            rpn_post_nms_top_n_train=self.proposals,
            rpn_post_nms_top_n_test=self.proposals,
            rpn_batch_size_per_image=32,
            box_roi_pool=RegionLayer(self.roi, 7, self.stride, SAMPLES),
            box_head=ConvolutionalHead(channels, 7, hidden),
            box_predictor=FastRCNNPredictor(hidden, outputs),
            box_score_thresh=self.score_threshold,
            box_nms_thresh=self.nms,
            box_detections_per_img=self.max_found,
            box_batch_size_per_image=16,
            **more,
        )
        return network
