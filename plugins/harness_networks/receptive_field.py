"""The receptive field of a network's maps, measured by gradients instead of computed from its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape


def measure_receptive_field(body: nn.Module, shape: Shape, draws: int = 8, seed: int = 0) -> tuple[int, int]:
    """Return height and width, in pixels, of what a map's central value can depend on.

    `body` goes from images B×C×H×W to maps B×K×H'×W'; it is copied and left as it is. In the copy all
    weights are positive, so that no activation is cut off and no two paths cancel; max-pooling passes the
    gradient of one pixel at a time, so that the union over `draws` random images is taken. A field that
    reaches the border of `shape` is cut there: give large images. Raises ValueError if nothing depends on
    the images.
    """
    import copy

    import torch

    copied = copy.deepcopy(body).double().cpu().eval()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in copied.parameters():
            drawn = torch.rand(weights.shape, generator=generator, dtype=torch.float64) + 0.1
            # about one unit of output per unit of input: no overflow, no saturation
            weights.copy_(drawn / max(1, weights[0].numel()) if weights.ndim > 1 else drawn * 0.1)
    images = torch.rand((draws, *shape), generator=generator, dtype=torch.float64, requires_grad=True)
    maps = copied(images)
    maps[:, :, maps.shape[2] // 2, maps.shape[3] // 2].sum().backward()
    assert images.grad is not None
    seen = (images.grad != 0).any(0).any(0)
    if not bool(seen.any()):
        raise ValueError("no value of the maps' centre depends on the images")
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1
