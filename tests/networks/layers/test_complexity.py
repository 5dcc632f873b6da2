"""Costs of networks against closed forms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness_networks.layers.complexity import count_macs, count_weights
from harness_networks.layers.convolutions import LocallyConnected, PlainConvolution, TiledConvolution
from harness_networks.small_cnn import SmallCNN


@pytest.mark.parametrize(
    "layer", [PlainConvolution(), TiledConvolution(2), LocallyConnected()], ids=lambda one: type(one).__name__
)
def test_tiles_cost_memory_and_no_time(layer):
    """Two stages of 3×3 on 8×8 and 4×4, then 6 → 10: every kind of convolution computes the same products."""
    network = SmallCNN([4, 6], convolution=layer).build((3, 8, 8), 10)
    assert count_macs(network, (3, 8, 8)) == 64 * 27 * 4 + 16 * 36 * 6 + 6 * 10


def test_counting_leaves_the_network_as_it_was():
    network = SmallCNN([4]).build((1, 8, 8), 3).double().train()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    assert count_macs(network, (1, 8, 8)) == 64 * 9 * 4 + 4 * 3
    assert network.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_frozen_weights_can_be_left_out():
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    network[0].requires_grad_(False)
    assert count_weights(network) == 16 + 10
    assert count_weights(network, trained_alone=True) == 10
