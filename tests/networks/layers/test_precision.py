"""Layers whose outputs are small differences of large numbers leave mixed precision aside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness_networks.layers.coates import PatchEncoder
from harness_networks.layers.contracts import Window
from harness_networks.layers.normalisations import GlobalContrast, LocalContrast
from harness_networks.layers.pooling import LpPool


@pytest.mark.parametrize(
    "module",
    [
        GlobalContrast().build((2, 8, 8)),
        LocalContrast(5).build((2, 8, 8)),
        LpPool(4.0).build((2, 8, 8)),
        PatchEncoder((2, 8, 8), 5, Window(3)),
    ],
    ids=lambda module: type(module).__name__,
)
def test_mixed_precision_changes_nothing(module: nn.Module):
    images = 100 + torch.rand(3, 2, 8, 8)  # half precision would keep no more than a digit of the contrast
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(images)
    assert mixed.dtype == torch.float32
    torch.testing.assert_close(mixed, module(images), rtol=0, atol=0)
    rounded = images.bfloat16()
    assert torch.equal(module(rounded), module(rounded.float()))
