"""Unpooling: numbers put back where the maxima of a pooling were."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


def unpool(x: Tensor, switches: Tensor, size: Sequence[int]) -> Tensor:
    """Return N×C×H×W with x at the places in their maps that `switches` hold, and 0 elsewhere.

    It is torch's `max_unpool2d` for windows that don't overlap, where no place occurs twice; that one warns that it
    may not be deterministic.
    """
    count, channels = x.shape[:2]
    flat = x.new_zeros(count, channels, size[0] * size[1])
    return flat.scatter(2, switches.flatten(2), x.flatten(2)).view(count, channels, *size)
