"""Convolutions: the textbook's figures and gradients, adjoints, tiles, and shifts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness_networks.complexity import measure_complexity
from harness_networks.layers.contracts import Window
from harness_networks.layers.convolution_modules import TiledConv2d, build_convolution
from harness_networks.layers.convolutions import LocallyConnected, PlainConvolution, TiledConvolution


def count_parameters_of(module: nn.Module) -> int:
    """Count all parameters."""
    return sum(p.numel() for p in module.parameters())


def set_kernel(module: nn.Module, kernel: list[list[float]]) -> nn.Module:
    """Give a convolution of one map a kernel."""
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.tensor(kernel))
    return module


def test_the_figure_of_a_convolution():
    image = torch.tensor(
        [[1.0, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
    )
    layer = build_convolution((1, 5, 5), 1, Window(3, padding="valid"), bias=False)
    set_kernel(layer, [[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
    assert layer(image[None, None])[0, 0].tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]


def test_kernels_are_not_flipped():
    """Libraries compute the cross-correlation; with an asymmetric kernel that is no convolution."""
    image, kernel = torch.randn(5, 5), torch.randn(3, 3)
    layer = set_kernel(
        build_convolution((1, 5, 5), 1, Window(3, padding="valid"), bias=False), kernel.tolist()
    )
    made = layer(image[None, None])[0, 0]
    direct = torch.tensor(
        [[float((image[i : i + 3, j : j + 3] * kernel).sum()) for j in range(3)] for i in range(3)]
    )
    torch.testing.assert_close(made, direct)
    flipped = F.conv2d(image[None, None], kernel.flip(0, 1)[None, None])[0, 0]
    assert not torch.allclose(made, flipped)


def test_costs_of_finding_vertical_edges():
    """Goodfellow et al. (2016), example 9.1: a difference of neighbours in an image of 320×280."""
    edges = nn.Conv2d(1, 1, (1, 2), bias=False)
    height, width = 280, 320
    macs = measure_complexity(edges, (1, height, width)).macs
    assert macs == 178_640  # also the entries of a sparse matrix
    assert macs + macs // 2 == 267_960  # two products and one sum for each output
    dense = nn.Linear(width * height, (width - 1) * height, bias=False, device="meta")
    assert count_parameters_of(dense) == 8_003_072_000


@pytest.mark.parametrize("stride", [1, 2])
def test_gradients_of_the_textbook_are_autograds(stride):
    """Goodfellow et al. (2016), equations 9.11 and 9.13, for a valid convolution with stride."""
    images = torch.randn(2, 5, 5, dtype=torch.float64, requires_grad=True)
    layer = build_convolution((2, 5, 5), 3, Window(3, stride, "valid"), bias=False).double()
    output = layer(images[None])[0]
    upstream = torch.randn_like(output)
    output.backward(upstream)
    weight = layer.weight
    v, k, g = (t.detach().numpy() for t in (images, weight, upstream))
    by_kernel, by_image = np.zeros_like(k), np.zeros_like(v)
    for i, j, row, column in np.ndindex(k.shape):
        by_kernel[i, j, row, column] = sum(
            g[i, m, n] * v[j, m * stride + row, n * stride + column] for m, n in np.ndindex(g.shape[1:])
        )
    for i, j, row in np.ndindex(v.shape):
        by_image[i, j, row] = sum(
            k[q, i, m, p] * g[q, line, n]
            for line, m in np.ndindex(g.shape[1], 3)
            if line * stride + m == j
            for n, p in np.ndindex(g.shape[2], 3)
            if n * stride + p == row
            for q in range(3)
        )
    np.testing.assert_allclose(weight.grad.numpy(), by_kernel)
    np.testing.assert_allclose(images.grad.numpy(), by_image)


@pytest.mark.parametrize(
    "window", [Window(3, 1, "valid"), Window(3, 2, "valid"), Window(3, 2, "same"), Window(3, 1, "same", 2)]
)
def test_the_transposed_convolution_is_the_adjoint(window):
    """⟨conv x, y⟩ = ⟨x, convᵀ y⟩."""
    layer = build_convolution((2, 9, 9), 3, window, bias=False).double()
    x = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    made = layer(x)
    y, pad = torch.randn_like(made), window.find_pads(9)[0]
    back = F.conv_transpose2d(y, layer.weight, stride=window.stride, padding=pad, dilation=window.dilation)
    assert back.shape == x.shape
    torch.testing.assert_close((made * y).sum(), (x * back).sum())


@pytest.mark.parametrize("padding", ["valid", "same", "same-keras", "circular"])
@pytest.mark.parametrize(("kernel", "stride", "dilation"), [(3, 1, 1), (3, 2, 1), (2, 1, 2), (4, 3, 1)])
def test_a_tile_of_one_is_a_convolution(padding, kernel, stride, dilation):
    window = Window(kernel, stride, padding, dilation)
    plain = build_convolution((2, 9, 10), 3, window)
    tiled = TiledConv2d((2, 9, 10), 3, window, 1)
    weight, bias = plain.parameters()
    with torch.no_grad():
        tiled.weight.copy_(weight[None, None])
        tiled.bias.copy_(bias[None, None])
    images = torch.randn(2, 2, 9, 10)
    torch.testing.assert_close(tiled(images), plain(images))


@pytest.mark.parametrize("size", [(8, 8), (7, 5), (3, 9)])
@pytest.mark.parametrize("tile", [2, 3, 8])
def test_tiles_take_turns(size, tile):
    """Every output is that of a convolution with the kernels of its place in the tile."""
    tiled = TiledConv2d((2, *size), 4, Window(3), tile)
    images = torch.randn(2, 2, *size)
    made = tiled(images)
    down, across = min(tile, size[0]), min(tile, size[1])
    assert tiled.weight.shape[:2] == (down, across)
    for i in range(down):
        for j in range(across):
            whole = F.conv2d(images, tiled.weight[i, j], tiled.bias[i, j], padding=1)
            torch.testing.assert_close(made[:, :, i::down, j::across], whole[:, :, i::down, j::across])


def test_parameters_grow_with_the_square_of_the_tile():
    """1 → 16 channels, 3×3, on maps of side 8: t²·(9·16 + 16), up to a locally connected layer."""
    counts = [count_parameters_of(TiledConvolution(t).build((1, 8, 8), 16, Window(3))) for t in (1, 2, 4, 8)]
    assert counts == [160, 640, 2_560, 10_240]
    local = LocallyConnected().build((1, 8, 8), 16, Window(3))
    assert (
        count_parameters_of(local)
        == count_parameters_of(TiledConvolution(99).build((1, 8, 8), 16, Window(3)))
        == 10_240
    )
    rectangular = LocallyConnected().build((1, 4, 6), 2, Window(3, padding="valid"))
    assert count_parameters_of(rectangular) == 2 * 4 * (2 * 9 + 2)


def test_a_locally_connected_layer_is_a_masked_linear_map():
    local = LocallyConnected().build((1, 4, 4), 2, Window(3, padding="valid")).double()
    images = torch.randn(3, 1, 4, 4, dtype=torch.float64)
    made = local(images)
    for i in range(2):
        for j in range(2):
            patch = images[:, :, i : i + 3, j : j + 3].flatten(1)
            expected = patch @ local.weight[i, j].flatten(1).T + local.bias[i, j]
            torch.testing.assert_close(made[:, :, i, j], expected)


def test_tiled_commutes_with_shifts_by_its_tile_alone():
    tiled = TiledConv2d((1, 8, 8), 4, Window(3, padding="circular"), 2)
    images = torch.randn(2, 1, 8, 8)

    @torch.no_grad()
    def differs(shift: int) -> float:
        moved = tiled(images.roll((shift, shift), (2, 3)))
        return float((moved - tiled(images).roll((shift, shift), (2, 3))).abs().max())

    assert differs(2) < 1e-5
    assert differs(4) < 1e-5
    assert differs(1) > 1e-2


@pytest.mark.parametrize("window", [Window(3, padding="circular"), Window(4, 1, "circular", 2)])
def test_circular_convolution_commutes_with_every_shift(window):
    layer = PlainConvolution().build((2, 7, 8), 3, window).double()
    images = torch.randn(2, 2, 7, 8, dtype=torch.float64)
    for shift in [(1, 0), (3, 5), (6, 7)]:
        moved = layer(images.roll(shift, (2, 3)))
        torch.testing.assert_close(moved, layer(images).roll(shift, (2, 3)), rtol=0, atol=1e-12)


def test_groups_must_divide_the_channels():
    depthwise = PlainConvolution(groups=4, bias=False)
    assert depthwise.fits((6, 8, 8), 4, Window(3)) == "6 and 4 channels can't be divided into 4 groups"
    assert depthwise.fits((4, 8, 8), 8, Window(3)) is None
    assert count_parameters_of(depthwise.build((4, 8, 8), 8, Window(3))) == 8 * 9
