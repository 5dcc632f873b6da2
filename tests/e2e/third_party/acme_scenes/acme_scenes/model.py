"""A detector without weights: what is brighter than a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from harness import EncodedImage


class Threshold:
    """Finds one box in each half of a canvas.

    Args:
        level: channels brighter than this belong to an object.
    """

    def __init__(self, level: int = 60) -> None:
        self.level = level

    def load(self, device: torch.device) -> None:
        """It has no weights."""

    def prepare(self, image: Any) -> torch.Tensor:
        """3×H×W of any size."""
        import numpy as np
        import torch

        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1).float()

    def collate(self, samples: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Canvases differ in size, so a batch is a list."""
        return list(samples)

    def detect(self, images: Sequence[torch.Tensor]) -> list[dict[str, torch.Tensor]]:
        """Boxes, scores and labels of each canvas."""
        return [self._found(image) for image in images]

    def _found(self, image: torch.Tensor) -> dict[str, torch.Tensor]:
        import torch

        half = image.shape[2] // 2
        corners, scores, labels = [], [], []
        for start, part in ((0, image[:, :, :half]), (half, image[:, :, half:])):
            bright = part > self.level
            if not bright.any():
                continue
            channel, rows, columns = torch.nonzero(bright, as_tuple=True)
            left, top = int(columns.min()) + start, int(rows.min())
            corners.append([left, top, int(columns.max()) + start + 1, int(rows.max()) + 1])
            scores.append(float(part.max()) / 255)
            labels.append(int(channel.mode().values))
        return {
            "boxes": torch.tensor(corners, dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor(scores),
            "labels": torch.tensor(labels, dtype=torch.int64),
        }

    def describe(self, image: EncodedImage | Any) -> str:
        """What it sees, in words."""
        from acme_scenes.data import KINDS
        from harness import decode

        labels = self._found(self.prepare(decode(image, "a canvas")))["labels"].tolist()
        return " and ".join(f"a {KINDS[label]} rectangle" for label in labels) or "nothing"
