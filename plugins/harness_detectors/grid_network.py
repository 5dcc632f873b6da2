"""A network that finds objects in one pass: each cell of a grid tells whether an object's centre is in it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms

from harness_dense.images_by_size import compute_by_size
from harness_detectors.small_backbones import SmallBackbone

COORDINATES, EMPTY = 5.0, 0.5
"""YOLO's weights of the losses of coordinates and of cells without an object."""

CANDIDATES = 100
"""Cells that non-maximum suppression looks at, those with the highest scores."""


class GridNetwork(nn.Module):
    """One box per cell of a grid: whether an object's centre is in it, where, how large, and of which class.

    After YOLO (Redmon et al., CVPR 2016): the cell of an object's centre is responsible for it, and of several the
    largest is kept; √ of sizes relative to `side`, λ 5 for coordinates and 0.5 for empty cells. Scores are
    P(object)·P(class | object). Called as torchvision's detectors are.
    """

    def __init__(
        self, width: int, stride: int, outputs: int, side: int, threshold: float, nms: float, most: int
    ) -> None:
        super().__init__()
        self.backbone = SmallBackbone(width, stride)
        self.predict = nn.Conv2d(self.backbone.out_channels, 5 + outputs - 1, 1)
        self.stride, self.side = stride, side
        self.threshold, self.nms, self.most = threshold, nms, most

    def forward(
        self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]] | None = None
    ) -> dict[str, Tensor] | list[dict[str, Tensor]]:
        """Return losses in train mode, else boxes, scores and labels (from 1) of each image 3×H×W."""
        if self.training:
            assert targets is not None
            return self._lose(images, targets)
        return [self._find(*one) for one in compute_by_size(images, self._run)]

    def _run(self, images: Sequence[Tensor]) -> list[tuple[Tensor, tuple[int, int], float]]:
        """Return the predictions (5+C)×h×w of each image, its size, and the factor by which it was resized."""
        batch = torch.stack(list(images))
        height, width = batch.shape[-2:]
        factor = self.side / min(height, width)
        # cells beyond the border are padded with the mean
        wanted = [-(-round(n * factor) // self.stride) * self.stride for n in (height, width)]
        if factor != 1:
            sides = (round(height * factor), round(width * factor))
            batch = F.interpolate(batch, sides, mode="bilinear", align_corners=False, antialias=True)
        batch = F.pad((batch - 0.5) / 0.25, (0, wanted[1] - batch.shape[-1], 0, wanted[0] - batch.shape[-2]))
        predicted = self.predict(self.backbone(batch)["0"])
        return [(one, (height, width), factor) for one in predicted]

    def _decode(self, predicted: Tensor) -> Tensor:
        """Return the boxes h×w×4 in pixels of the resized image."""
        rows, columns = (torch.arange(n, device=predicted.device) for n in predicted.shape[-2:])
        x = (columns[None, :] + predicted[1].sigmoid()) * self.stride
        y = (rows[:, None] + predicted[2].sigmoid()) * self.stride
        half = predicted[3:5].relu().square() * self.side / 2
        return torch.stack([x - half[0], y - half[1], x + half[0], y + half[1]], dim=-1)

    def _find(self, predicted: Tensor, size: tuple[int, int], factor: float) -> dict[str, Tensor]:
        classes = predicted[5:].softmax(dim=0).flatten(1)
        scores = (predicted[0].sigmoid().flatten() * classes).flatten()
        best = torch.topk(scores, min(CANDIDATES, len(scores))).indices
        best = best[scores[best] > self.threshold]
        cells, labels = best % classes.shape[1], best // classes.shape[1]
        boxes = self._decode(predicted).flatten(0, 1)[cells] / factor
        limits = boxes.new_tensor([size[1], size[0], size[1], size[0]])
        boxes = torch.minimum(boxes.clamp(min=0), limits)
        kept = batched_nms(boxes, scores[best], labels, self.nms)[: self.most]
        return {"boxes": boxes[kept], "scores": scores[best][kept], "labels": labels[kept] + 1}

    def _lose(self, images: Sequence[Tensor], targets: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        there, boxes, classes, empty = [], [], [], []
        for (predicted, _, factor), target in zip(compute_by_size(images, self._run), targets, strict=True):
            rows, columns, wanted, labels = self._assign(target, factor, predicted.shape[-2:])
            own = predicted[:, rows, columns].T
            free = torch.ones(predicted.shape[-2:], dtype=torch.bool, device=predicted.device)
            free[rows, columns] = False
            there.append(own[:, 0])
            empty.append(predicted[0][free])
            given = torch.cat([own[:, 1:3].sigmoid(), own[:, 3:5].relu()], dim=1)
            boxes.append((given - wanted).square().sum(dim=1))
            classes.append(F.cross_entropy(own[:, 5:], labels, reduction="none"))
        objects = max(1, sum(len(one) for one in there))
        found, missed = torch.cat(there), torch.cat(empty)
        return {
            "object": F.binary_cross_entropy_with_logits(found, torch.ones_like(found), reduction="sum")
            / objects,
            "empty": EMPTY
            * F.binary_cross_entropy_with_logits(missed, torch.zeros_like(missed), reduction="sum")
            / objects,
            "box": COORDINATES * torch.cat(boxes).sum() / objects,
            "class": torch.cat(classes).sum() / objects,
        }

    def _assign(
        self, target: dict[str, Tensor], factor: float, cells: Sequence[int]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return rows and columns of the M responsible cells, what they should predict M×4, and classes M from 0."""
        boxes = target["boxes"] * factor
        order = torch.argsort((boxes[:, 2:] - boxes[:, :2]).prod(dim=1), descending=True, stable=True)
        boxes, labels = boxes[order], target["labels"][order] - 1
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2 / self.stride
        columns = centres[:, 0].long().clamp(0, cells[1] - 1)
        rows = centres[:, 1].long().clamp(0, cells[0] - 1)
        first = _find_first(rows * cells[1] + columns)
        rows, columns, centres, boxes = rows[first], columns[first], centres[first], boxes[first]
        within = centres - torch.stack([columns, rows], dim=1)
        roots = ((boxes[:, 2:] - boxes[:, :2]) / self.side).sqrt()
        return rows, columns, torch.cat([within, roots], dim=1), labels[first]


def _find_first(values: Tensor) -> Tensor:
    """Return the place of the first of each of the different values."""
    seen: dict[int, int] = {}
    for place, value in enumerate(values.tolist()):
        seen.setdefault(value, place)
    return torch.tensor(list(seen.values()), dtype=torch.long, device=values.device)
