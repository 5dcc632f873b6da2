"""Pictures of an image, its true classes, the predicted ones, and the pixels where they differ."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_segmentation.truths import UNKNOWN

SIDE = 192
"""Pixels of the shorter side of each part, at least: small images are enlarged in whole steps."""

GAP = 6
WHITE, WRONG, GREY = (255, 255, 255), (213, 94, 0), (224, 224, 224)


def make_palette(count: int) -> NDArray[np.uint8]:
    """Return count×3 colours that differ as much as VOC's: the bits of a class's number, spread over RGB; 0 is black."""
    numbers = np.arange(count)
    colours = np.zeros((count, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((numbers >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours


def draw_classes(
    pixels: NDArray[np.uint8], truth: NDArray[Any], predicted: NDArray[Any], classes: int
) -> NDArray[np.uint8]:
    """Return a picture of four parts: the image H×W×3, true classes, predicted ones, and wrong pixels in vermilion.

    Pixels without a true class are light grey.
    """
    palette = np.full((256, 3), GREY, np.uint8)
    palette[:classes] = make_palette(classes)
    faded = (pixels.astype(np.float32) / 3 + 170).round().astype(np.uint8)
    wrong = np.where(((truth != predicted) & (truth != UNKNOWN))[..., None], np.array(WRONG, np.uint8), faded)
    factor = max(1, -(-SIDE // min(truth.shape)))
    parts = [pixels, palette[truth], palette[predicted], wrong]
    large = [part.repeat(factor, axis=0).repeat(factor, axis=1) for part in parts]
    gap = np.full((large[0].shape[0], GAP, 3), WHITE, np.uint8)
    return np.concatenate([large[0], *(one for part in large[1:] for one in (gap, part))], axis=1)
