"""The models `rcnn` and `fast-rcnn`: small ones, which classify regions that something else proposes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import OptionError
from harness_detectors.region_proposals import explain_missing_search, propose
from harness_detectors.small_model import SmallDetector

if TYPE_CHECKING:
    import torch
    from torch import nn

Kind = Literal["grid", "selective-search"]


class ProposalDetector(SmallDetector):
    """A detector whose regions are proposed from outside."""

    proposals: Kind
    sides: list[int]
    most: int
    max_found: int

    def _check_proposals(self, where: str, proposals: Kind, sides: list[int] | None, most: int) -> None:
        self.proposals, self.sides, self.most = proposals, [8, 14, 24] if sides is None else sides, most
        if not self.sides or min(self.sides) < 2:
            raise OptionError(f"{where}: sides must be at least 2 pixels, at least one, not {self.sides}")

    def unavailable(self) -> str | None:
        """Return what is missing here, or None."""
        missing = explain_missing_search(self.proposals)
        return f"{self._where}: {missing}" if missing else super().unavailable()

    @property
    def thresholds(self) -> dict[str, Any]:
        """What of its findings is kept, as torchvision's `RoIHeads` calls it."""
        return {
            "score_thresh": self.score_threshold,
            "nms_thresh": self.nms,
            "detections_per_img": self.max_found,
        }

    def propose(self, image: torch.Tensor) -> torch.Tensor:
        """Return the proposed boxes M×4 of an image 3×H×W in [0, 1]."""
        import torch

        pixels = (image.detach().cpu().permute(1, 2, 0).numpy() * 255).round().astype("uint8")
        return torch.from_numpy(propose(self.proposals, pixels, self.sides, self.most)).to(image.device)


class FastRCNN(ProposalDetector):
    """Fast R-CNN (Girshick, ICCV 2015) on a small backbone: one map, from which proposed regions are taken.

    Args:
        proposals: `grid`, windows of all places, or `selective-search`, with opencv-contrib.
        roi: how a region's features are taken: `pool`, as the paper, `align` or `aligned`.
        sides: sides of the windows in pixels; by default 8, 14 and 24.
        most: the most regions of an image.
        width: channels of the first layer.
        stride: pixels per cell of the map, 4 or 8.
        score_threshold: least score of what it finds.
        nms: intersection over union above which the lower of two boxes is dropped.
        max_found: objects that it finds in an image at most, those with the highest scores.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        proposals: Kind = "grid",
        roi: Literal["pool", "align", "aligned"] = "pool",
        sides: list[int] | None = None,
        most: int = 2000,
        width: int = 24,
        stride: int = 4,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        max_found: int = 20,
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        if stride not in (4, 8):
            raise OptionError(f"fast-rcnn: stride must be 4 or 8, not {stride}")
        positive = {"most": most, "width": width, "max_found": max_found}
        super().__init__("fast-rcnn", class_names, checkpoint, positive, score_threshold, nms)
        self._check_proposals("fast-rcnn", proposals, sides, most)
        self.roi, self.width, self.stride, self.max_found = roi, width, stride, max_found

    def build_network(self, outputs: int) -> nn.Module:
        """Return the network."""
        from harness_detectors.region_network import build_fast

        return build_fast(self.width, self.stride, self.roi, outputs, self.propose, self.thresholds)


class RCNN(ProposalDetector):
    """R-CNN (Girshick et al., CVPR 2014) with a small network, which sees each proposed region of the image on its own.

    Regions are warped with their surroundings, and regions under an overlap of 0.3 are background, as in the paper;
    a softmax decides in place of its support vector machines, and all is trained together.

    Args:
        proposals: `grid`, windows of all places, or `selective-search`, with opencv-contrib.
        sides: sides of the windows in pixels; by default 8, 14 and 24.
        most: the most regions of an image.
        side: height and width in pixels that regions are warped to.
        context: of these, pixels on each side around the region; the paper has 16 of 227.
        width: channels of the first layer.
        score_threshold: least score of what it finds.
        nms: intersection over union above which the lower of two boxes is dropped.
        max_found: objects that it finds in an image at most, those with the highest scores.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        proposals: Kind = "grid",
        sides: list[int] | None = None,
        most: int = 2000,
        side: int = 24,
        context: int = 2,
        width: int = 24,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        max_found: int = 20,
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        if side < 8 or not 0 <= 2 * context < side:
            raise OptionError(
                f"rcnn: side must be at least 8 and above twice the context, not {side} and {context}"
            )
        positive = {"most": most, "width": width, "max_found": max_found}
        super().__init__("rcnn", class_names, checkpoint, positive, score_threshold, nms)
        self._check_proposals("rcnn", proposals, sides, most)
        self.side, self.context, self.width, self.max_found = side, context, width, max_found

    def build_network(self, outputs: int) -> nn.Module:
        """Return the network."""
        from harness_detectors.region_network import build_separate

        return build_separate(self.width, self.side, self.context, outputs, self.propose, self.thresholds)
