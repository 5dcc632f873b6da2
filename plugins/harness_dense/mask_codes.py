"""Masks as COCO's run-length encodings, by hotcoco, and many of them in one array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode_masks(masks: NDArray[np.bool_]) -> list[bytes]:
    """Return the compressed counts of masks M×H×W, as COCO's files have them."""
    from hotcoco import mask

    return [bytes(mask.encode(np.asfortranarray(one, dtype=np.uint8))["counts"]) for one in masks]


def write_codes(counts: Sequence[bytes], size: Sequence[int]) -> list[dict[str, Any]]:
    """Return encodings as libraries take them, of masks of one size (height, width)."""
    return [{"size": [int(side) for side in size], "counts": one} for one in counts]


def measure_areas(codes: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
    """Return the number of pixels of each encoded mask, M."""
    from hotcoco import mask

    return np.asarray(mask.area([dict(one) for one in codes]), float) if codes else np.zeros(0)


def join_counts(counts: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return counts one after another, as an array of bytes, and where each ends."""
    ends = np.cumsum([len(one) for one in counts], dtype=np.int64)
    return np.frombuffer(b"".join(counts), np.uint8), ends


def split_counts(joined: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[bytes]:
    """Return the counts that `join_counts` joined."""
    text = np.asarray(joined, np.uint8).tobytes()
    return [text[start:end] for start, end in zip([0, *ends[:-1].tolist()], ends.tolist())]


def fill_boxes(boxes: NDArray[np.float64], side: int) -> NDArray[np.bool_]:
    """Return the masks M×side×side of boxes of whole pixels."""
    masks = np.zeros((len(boxes), side, side), bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.astype(int)):
        mask[top:bottom, left:right] = True
    return masks
