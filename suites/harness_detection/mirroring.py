"""Mirrored images with their objects."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from harness import Boxes


def mirror_boxes(truth: Boxes, width: int) -> Boxes:
    """Return an image's objects after the image, `width` pixels wide, was mirrored left to right: x becomes width − x."""
    boxes = np.array(np.reshape(truth.boxes, (-1, 4)), float)
    boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
    if truth.masks is None:
        return replace(truth, boxes=boxes)
    from hotcoco import mask

    turned = [np.asarray(mask.decode(dict(one)))[:, ::-1] for one in truth.masks]
    return replace(truth, boxes=boxes, masks=[mask.encode(np.asfortranarray(one)) for one in turned])
