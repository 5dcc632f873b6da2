"""Regions that may hold objects, from outside of a network."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness import Unavailable

ProposalKind = Literal["grid", "selective-search"]

RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the windows."""

MISSING = (
    "selective search needs opencv-contrib-python: pip install opencv-contrib-python, or proposals='grid'"
)


def explain_missing_search(kind: ProposalKind) -> str | None:
    """Return what is missing here for proposals of a kind, or None."""
    from importlib.util import find_spec

    if kind == "grid":
        return None
    return None if find_spec("cv2") is not None else MISSING


def slide_windows(height: int, width: int, sides: list[int]) -> NDArray[np.float32]:
    """Return windows M×4 of each side and ratio, half a side apart, cut at the image's edges."""
    found = []
    for side in sides:
        x, y = np.meshgrid(np.arange(side / 4, width, side / 2), np.arange(side / 4, height, side / 2))
        centres = np.stack([x.ravel(), y.ravel()], axis=1)
        for ratio in RATIOS:
            half = np.array([side / ratio**0.5, side * ratio**0.5]) / 2
            found.append(np.concatenate([centres - half, centres + half], axis=1))
    boxes = np.clip(np.concatenate(found), 0, [width, height, width, height])
    return np.unique(boxes, axis=0).astype(np.float32)


def search_selectively(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the boxes M×4 of selective search (Uijlings et al., IJCV 2013), in its fast mode, for RGB H×W×3.

    Raises Unavailable without opencv-contrib.
    """
    try:
        cv2: Any = import_module("cv2")
    except ImportError:
        raise Unavailable(MISSING) from None
    if not hasattr(cv2, "ximgproc"):
        raise Unavailable(MISSING)
    cv2.setRNGSeed(0)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))
    search.switchToSelectiveSearchFast()
    boxes = np.asarray(search.process(), np.float32).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def propose(
    kind: ProposalKind, pixels: NDArray[np.uint8], sides: list[int], most: int
) -> NDArray[np.float32]:
    """Return at most `most` boxes M×4 of an image H×W×3."""
    if kind == "selective-search":
        return search_selectively(pixels)[:most]
    boxes = slide_windows(pixels.shape[0], pixels.shape[1], sides)
    # windows have no order of merit: of too many, evenly spread ones are kept
    kept: NDArray[np.float32] = boxes[
        np.linspace(0, len(boxes) - 1, min(most, len(boxes))).round().astype(int)
    ]
    return kept
