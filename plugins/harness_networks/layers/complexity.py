"""Cost of a network: multiplications with additions (MACs) and parameters."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from harness_networks.contracts import Shape


def count_macs(network: nn.Module, shape: Shape) -> int:
    """Return the multiply-accumulates of convolutions and matrix products for one image of `shape` (C, H, W).

    Torch counts two operations for each; biases, normalisation, activations and pooling count nothing.
    """
    probe = copy.deepcopy(network).cpu().eval()
    parameter = next(probe.parameters(), None)
    image = torch.zeros(1, *shape, dtype=torch.float32 if parameter is None else parameter.dtype)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        probe(image)
    return int(counter.get_total_flops()) // 2


def count_weights(network: nn.Module, trained_alone: bool = False) -> int:
    """Return the number of parameters, or of those alone that need a gradient."""
    return sum(p.numel() for p in network.parameters() if p.requires_grad or not trained_alone)
