"""True objects as torchvision's detectors are trained on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness import Boxes


def select_learnable(truth: Boxes) -> NDArray[np.int64]:
    """Return the rows of objects to learn from: no crowds, none that count neither way, none without an area."""
    boxes = np.reshape(truth.boxes, (-1, 4))
    good = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    for flags in (truth.crowd, truth.ignored):
        if flags is not None:
            good &= ~np.asarray(flags, bool)
    return np.flatnonzero(good)


def to_torchvision(truth: Boxes, device: torch.device, masks: bool) -> dict[str, torch.Tensor]:
    """Return boxes M×4, labels M from 1 (0 is the background) and, if asked for, masks M×H×W uint8."""
    import torch

    rows = select_learnable(truth)
    boxes = np.reshape(truth.boxes, (-1, 4))[rows]
    target = {
        "boxes": torch.as_tensor(boxes, dtype=torch.float32, device=device),
        "labels": torch.as_tensor(np.asarray(truth.labels, np.int64)[rows] + 1, device=device),
    }
    if masks:
        target["masks"] = torch.from_numpy(decode_masks(truth, rows)).to(device)
    return target


def decode_masks(truth: Boxes, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return the masks M×H×W of some of an image's objects."""
    from hotcoco import mask

    assert truth.masks is not None
    if not len(rows):
        height, width = truth.masks[0]["size"] if len(truth.masks) else (1, 1)
        return np.zeros((0, height, width), np.uint8)
    decoded = mask.decode([dict(truth.masks[row]) for row in rows.tolist()])
    return np.ascontiguousarray(np.asarray(decoded).transpose(2, 0, 1))
