"""Size and cost of a network: its parameters, and the multiplications of one image's forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape


class Complexity(NamedTuple):
    """Parameters of a network, those that are trained, and multiply-accumulate operations per image.

    `macs` counts convolutions and matrix products alone, as torch's counter of floating-point operations
    does: no normalisation, activation, pooling or addition.
    """

    parameters: int
    trained: int
    macs: int


def measure_complexity(network: nn.Module, shape: Shape) -> Complexity:
    """Return parameters and operations of a network for one image C×H×W.

    The network runs once in evaluation mode, on its own device, and is left in the mode it was in.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    parameters = list(network.parameters())
    like = parameters[0] if parameters else torch.empty(0)
    image = torch.zeros(1, *shape, device=like.device, dtype=like.dtype)
    modes = {module: module.training for module in network.modules()}
    network.eval()
    counter = FlopCounterMode(display=False)
    try:
        with torch.no_grad(), counter:
            network(image)
    finally:
        for module, training in modes.items():
            module.training = training
    trained = sum(p.numel() for p in parameters if p.requires_grad)
    # torch counts a multiplication and an addition as two operations
    return Complexity(sum(p.numel() for p in parameters), trained, counter.get_total_flops() // 2)
