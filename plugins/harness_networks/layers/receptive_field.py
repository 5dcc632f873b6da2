"""Receptive field of a network, found by marking pixels."""

from __future__ import annotations

import copy

import torch
from torch import nn

from harness_networks.contracts import Shape


def measure_receptive_field(network: nn.Module, shape: Shape) -> tuple[int, int]:
    """Return height and width of the part of an image that the output in the middle depends on.

    Rows and columns of zero images are set to NaN in turn; what depends on them becomes NaN. Unlike a
    gradient, this passes maxima and units at 0, and vanishes in no depth. The field is cut at the border, so the
    image must be large enough.

    Args:
        network: from B×C×H×W to maps B×K×H'×W', or to vectors B×K (then all of an image is seen by design).
        shape: C, H, W of the images to try.
    """
    # in double precision on the CPU convolutions are plain products, in which no NaN reaches a neighbour's output
    probe = copy.deepcopy(network).cpu().double().eval()
    return _measure_span(probe, shape, 2), _measure_span(probe, shape, 3)


def _measure_span(probe: nn.Module, shape: Shape, axis: int) -> int:
    images = torch.zeros(shape[axis - 1], *shape, dtype=torch.float64)
    for line, image in enumerate(images):
        image.select(axis - 1, line).fill_(torch.nan)
    with torch.no_grad():
        maps = probe(images)
    middle = maps if maps.ndim == 2 else maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2]
    seen = middle.isnan().any(1).nonzero().flatten()
    return int(seen[-1] - seen[0]) + 1 if len(seen) else 0
