"""Overlapping windows of an image, and the mean of what is found in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

AT_ONCE = 16
"""Windows of one image that run together."""


def place_windows(length: int, window: int, stride: int) -> list[int]:
    """Return where windows begin along a side: every `stride` pixels, the last one moved back to end at the edge."""
    room = max(0, length - window)
    count = -(-room // stride) + 1
    return [min(number * stride, room) for number in range(count)]


def average_windows(
    image: torch.Tensor,
    window: tuple[int, int],
    stride: int,
    run: Callable[[torch.Tensor], Iterator[torch.Tensor]],
) -> torch.Tensor:
    """Return the maps Q×H×W of an image 3×H×W: at each pixel the mean over the windows that hold it.

    `run` takes windows N×3×h×w and yields the maps Q×h×w of each.
    """
    import torch

    height, width = image.shape[-2:]
    corners = [
        (top, left)
        for top in place_windows(height, window[0], stride)
        for left in place_windows(width, window[1], stride)
    ]
    total: torch.Tensor | None = None
    times = image.new_zeros(height, width)
    for at in range(0, len(corners), AT_ONCE):
        some = corners[at : at + AT_ONCE]
        cut = torch.stack([image[:, t : t + window[0], x : x + window[1]] for t, x in some])
        for (top, left), maps in zip(some, run(cut), strict=True):
            if total is None:
                total = maps.new_zeros(len(maps), height, width)
            total[:, top : top + window[0], left : left + window[1]] += maps
            times[top : top + window[0], left : left + window[1]] += 1
    assert total is not None
    return total / times
