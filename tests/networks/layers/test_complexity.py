"""Costs of layers against closed forms."""

from __future__ import annotations

import pytest

from harness_networks.complexity import measure_complexity
from harness_networks.layers.convolutions import LocallyConnected, PlainConvolution, TiledConvolution
from harness_networks.small_cnn import SmallCNN


@pytest.mark.parametrize(
    ("layer", "kernels"),
    [(PlainConvolution(), (1, 1)), (TiledConvolution(2), (4, 4)), (LocallyConnected(), (64, 16))],
)
def test_tiles_cost_memory_and_no_products(layer, kernels):
    """Two stages of 3×3 on 8×8 and 4×4, then 6 → 10: every kind of convolution computes the same products."""
    network = SmallCNN([4, 6], convolution=layer).build((3, 8, 8), 10)
    found = measure_complexity(network, (3, 8, 8))
    assert found.macs == 64 * 27 * 4 + 16 * 36 * 6 + 6 * 10
    assert found.parameters == kernels[0] * (27 * 4 + 4) + kernels[1] * (36 * 6 + 6) + 6 * 10 + 10


def test_frozen_kernels_are_not_trained():
    network = SmallCNN([4], kernels="k-means").build((1, 8, 8), 3)
    found = measure_complexity(network, (1, 8, 8))
    assert found.trained == 4 * 3 + 3
    assert found.parameters == found.trained + 9 + 9 * 9 + 4 * 9  # mean, whitening, centroids
