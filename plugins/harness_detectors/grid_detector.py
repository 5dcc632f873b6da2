"""The model `grid-detector`: one stage, one box per cell of a grid, trained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import OptionError
from harness_detectors.small_model import SmallDetector

if TYPE_CHECKING:
    from torch import nn


class GridDetector(SmallDetector):
    """A detector of one stage, after YOLO (Redmon et al., CVPR 2016): one box per cell of a grid.

    The cell with an object's centre predicts it; of several centres in a cell only the largest object is learned.

    Args:
        width: channels of the first layer.
        stride: side of a cell in pixels, 4 or 8.
        side: the shorter side that images are resized to.
        score_threshold: least score of what it finds.
        nms: intersection over union above which the lower of two boxes is dropped.
        max_found: objects that it finds in an image at most, those with the highest scores.
        class_names: the classes of a checkpoint, in order.
        checkpoint: a safetensors or torch file with weights.
    """

    def __init__(
        self,
        width: int = 24,
        stride: int = 8,
        side: int = 64,
        score_threshold: float = 0.05,
        nms: float = 0.5,
        max_found: int = 20,
        class_names: list[str] | None = None,
        checkpoint: Path | None = None,
    ) -> None:
        if stride not in (4, 8):
            raise OptionError(f"grid-detector: stride must be 4 or 8, not {stride}")
        positive = {"width": width, "side": side, "max_found": max_found}
        super().__init__("grid-detector", class_names, checkpoint, positive, score_threshold, nms)
        self.width, self.stride, self.side, self.max_found = width, stride, side, max_found

    def build_network(self, outputs: int) -> nn.Module:
        """Return the network."""
        from harness_detectors.grid_network import GridNetwork

        return GridNetwork(
            self.width, self.stride, outputs, self.side, self.score_threshold, self.nms, self.max_found
        )
