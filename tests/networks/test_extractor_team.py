"""The extractor team against its published layers: parameters, operations, maps and receptive fields."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from harness_networks.complexity import measure_complexity
from harness_networks.extractor_team import ExtractorTeamFamily
from harness_networks.network_parts import ResidualSum, SameMaxPool
from harness_networks.receptive_field import measure_receptive_field

SHAPE = (3, 64, 64)


def count_by_formula(width: int, depth: int, hidden: int, classes: int) -> int:
    w = 16 * width
    return 28 * w + depth * (30 * w**2 + 6 * w) + hidden * (w + 1) + classes * (hidden + 1)


@pytest.mark.parametrize(
    ("options", "parameters", "macs"),
    [
        ({}, 142_856, 127_709_184),
        ({"width": 2}, 244_040, 506_974_208),
        ({"width": 4}, 630_728, 2_020_478_976),
        ({"depth": 8}, 173_960, 253_538_304),
        ({"pool_stride": 2}, 142_856, 33_337_344),
        ({"hidden": 200}, 75_152, 127_641_792),
    ],
)
def test_published_sizes(options: dict[str, Any], parameters: int, macs: int) -> None:
    with torch.device("meta"):
        network = ExtractorTeamFamily(**options).build(SHAPE, 200)
    assert measure_complexity(network, SHAPE) == (parameters, parameters, macs)


@given(st.integers(1, 3), st.integers(1, 5), st.integers(1, 40), st.integers(2, 30))
def test_parameters_follow_the_formula(width: int, depth: int, hidden: int, classes: int) -> None:
    with torch.device("meta"):
        network = ExtractorTeamFamily(width, depth, hidden=hidden).build(SHAPE, classes)
    found = sum(weights.numel() for weights in network.parameters())
    assert found == count_by_formula(width, depth, hidden, classes)


@pytest.mark.parametrize(("depth", "convolutions"), [(4, 25), (8, 49)])
def test_weighted_layers(depth: int, convolutions: int) -> None:
    layers = list(ExtractorTeamFamily(depth=depth).build(SHAPE, 10).modules())
    assert sum(isinstance(layer, nn.Conv2d) for layer in layers) == convolutions
    assert sum(isinstance(layer, nn.Linear) for layer in layers) == 2


def test_batch_norm_adds_a_scale_and_an_offset_per_map() -> None:
    plain, normed = (ExtractorTeamFamily(batch_norm=bn).build(SHAPE, 10) for bn in (False, True))
    difference = measure_complexity(normed, SHAPE).parameters - measure_complexity(plain, SHAPE).parameters
    assert difference == 2 * 16 * 25


def test_maps_keep_their_size_to_the_end() -> None:
    family = ExtractorTeamFamily()
    maps = torch.rand(1, *SHAPE)
    for stage in family.stages(family.build(SHAPE, 10)):
        maps = stage(maps)
        assert maps.shape == (1, 16, 64, 64)


@pytest.mark.parametrize(
    ("options", "pixels"),
    [
        ({"pool": 1}, 27),
        ({}, 28),
        ({"depth": 8, "pool": 1}, 51),
        ({"pool": 2, "pool_stride": 2}, 52),
        ({"pool": 3, "pool_stride": 2}, 53),
        ({"pool": 1, "stem_kernel": 7}, 31),
        ({"pool": 1, "kernels": [1, 3, 5], "depth": 1}, 3 + 3 * 2 + 3 * 4),
        ({"pool": 1, "activation": "tanh", "batch_norm": True, "activate_sum": True}, 27),
        ({"pool": 1, "design": "branches"}, 3 + 4 * 2),
    ],
)
def test_receptive_fields(options: dict[str, Any], pixels: int) -> None:
    family = ExtractorTeamFamily(**options)
    body = nn.Sequential(*family.stages(family.build(SHAPE, 10)))
    assert measure_receptive_field(body, (3, 59, 59), draws=3) == (pixels, pixels)


def test_receptive_fields_of_dilated_layers() -> None:
    # Yu & Koltun (2016), table 1: the basic context module
    layers, fields = [], []
    for dilation in (1, 1, 2, 4, 8, 16, 1):
        layers.append(nn.Conv2d(1 if not layers else 2, 2, 3, padding=dilation, dilation=dilation))
        fields.append(measure_receptive_field(nn.Sequential(*layers), (1, 81, 81), draws=1)[0])
    assert fields == [3, 5, 9, 17, 33, 65, 67]


def test_a_receptive_field_of_nothing_is_refused() -> None:
    class Blind(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images * 0.0 + images.detach()

    with pytest.raises(ValueError, match="depends on the images"):
        measure_receptive_field(Blind(), (1, 5, 5))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_block_without_its_last_convolution_is_the_identity(activation: Any) -> None:
    family = ExtractorTeamFamily(activation=activation)
    blocks = [m for m in family.build(SHAPE, 10).modules() if isinstance(m, ResidualSum)]
    assert len(blocks) == 8
    for block in blocks:
        last = [layer for layer in block.modules() if isinstance(layer, nn.Conv2d)][-1]
        nn.init.zeros_(last.weight)
        maps = torch.randn(1, 16, 8, 8)
        assert torch.equal(block(maps), maps)


def test_an_activated_sum_has_no_negative_values() -> None:
    family = ExtractorTeamFamily(activate_sum=True, depth=1)
    block = next(m for m in family.build(SHAPE, 10).modules() if isinstance(m, ResidualSum))
    maps = torch.randn(1, 16, 8, 8)
    assert torch.equal(block(maps), torch.relu(block.body(maps) + maps))
    assert (block.body(maps) < 0).any()


def test_one_network_takes_images_of_several_sizes() -> None:
    network = ExtractorTeamFamily(depth=1).build((3, 32, 32), 7)
    assert network(torch.rand(2, 3, 32, 32)).shape == network(torch.rand(2, 3, 64, 64)).shape == (2, 7)


def test_without_zero_padding_it_does_not_see_a_shift() -> None:
    network = ExtractorTeamFamily(depth=2, pool=1, padding="circular").build((1, 12, 12), 4)
    images = torch.rand(2, 1, 12, 12)
    torch.testing.assert_close(network(images.roll((3, 5), (2, 3))), network(images))


def test_pooling_of_padded_maps() -> None:
    maps = -torch.arange(1.0, 17).reshape(1, 1, 4, 4)
    # even sizes pad at the end alone, as Keras does; padding is no value
    torch.testing.assert_close(SameMaxPool(2, 1)(maps), maps)
    assert SameMaxPool(3, 2)(maps).flatten().tolist() == [-1.0, -3.0, -9.0, -11.0]
    assert SameMaxPool(2, 2)(-maps[:, :, :3, :3]).flatten().tolist() == [6.0, 7.0, 10.0, 11.0]


def test_first_weights_are_keras_or_torchs() -> None:
    network = ExtractorTeamFamily(hidden=1000).build(SHAPE, 10)
    hidden = next(layer for layer in network.modules() if isinstance(layer, nn.Linear))
    bound = (6 / (16 + 1000)) ** 0.5
    assert bound * 0.99 < hidden.weight.abs().max().item() <= bound
    assert not any(weights.any() for name, weights in network.named_parameters() if name.endswith("bias"))
    torchs = ExtractorTeamFamily(hidden=1000, initialiser="torch").build(SHAPE, 10)
    hidden = next(layer for layer in torchs.modules() if isinstance(layer, nn.Linear))
    assert 0.24 < hidden.weight.abs().max().item() <= 0.25  # 1/√16


@pytest.mark.parametrize(
    ("padding", "least"), [("zeros", 1), ("circular", 1), ("reflect", 2), ("replicate", 1)]
)
def test_smallest_images(padding: Any, least: int) -> None:
    family = ExtractorTeamFamily(depth=1, hidden=4, padding=padding)
    assert family.fits((1, least, least), 3) is None
    assert family.build((1, least, least), 3)(torch.rand(2, 1, least, least)).shape == (2, 3)
    if least > 1:
        said = family.fits((1, least - 1, least), 3)
        assert said is not None
        assert f"too small for padding={padding}" in said


def test_complexity_leaves_modes_and_counts_frozen_weights_apart() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.BatchNorm1d(3).eval())
    network[1].weight.requires_grad_(False)
    assert measure_complexity(network, (1, 2, 2)) == (15 + 6, 15 + 6 - 12, 12)
    assert (network.training, network[1].training, network[2].training) == (True, True, False)
