"""Stacked layers against torch's own, spectral normalisation against the SVD, batch features."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness_gan.batchwise import BatchCloseness, BatchDeviation
from harness_generative.spectral import add_spectral_norm
from harness_generative.stacked_layers import StackedBatchNorm, StackedConvolution, StackedLinear, StackOfOne
from harness_generative.streams import Streams

STREAMS = Streams([0, 1, 2])


def test_linear_layers_are_each_seeds_own() -> None:
    layer, x = StackedLinear(5, 4, STREAMS), torch.randn(3, 7, 5)
    for s in range(3):
        expected = F.linear(x[s], layer.weight[s].T, layer.bias[s])
        torch.testing.assert_close(layer(x)[s], expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_convolutions_are_each_seeds_own(transposed: bool) -> None:
    layer = StackedConvolution(3, 5, 4, 2, 1, STREAMS, transposed=transposed)
    x = torch.randn(3, 2, 3, 8, 8)
    apply = F.conv_transpose2d if transposed else F.conv2d
    out = layer(x)
    for s in range(3):
        expected = apply(x[s], layer.weight[s], layer.bias[s], 2, 1)
        torch.testing.assert_close(out[s], expected)


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 5, 5)])
def test_batch_norm_is_torchs(shape: tuple[int, ...]) -> None:
    layer, x = StackedBatchNorm(4, STREAMS), torch.randn(3, *shape) * 2 + 1
    theirs = [nn.BatchNorm1d(4) if len(shape) == 2 else nn.BatchNorm2d(4) for _ in range(3)]
    for s, norm in enumerate(theirs):
        norm.load_state_dict({"weight": layer.weight[s], "bias": layer.bias[s]}, strict=False)
    for _ in range(3):
        ours = layer(x)
        for s, norm in enumerate(theirs):
            torch.testing.assert_close(ours[s], norm(x[s]), rtol=1e-4, atol=1e-5)
    layer.eval()
    for s, norm in enumerate(theirs):
        torch.testing.assert_close(layer(x)[s], norm.eval()(x[s]), rtol=1e-4, atol=1e-5)


def test_seeds_start_from_their_own_numbers() -> None:
    together, alone = StackedLinear(5, 4, Streams([4, 7])), StackedLinear(5, 4, Streams([7]))
    assert torch.equal(together.weight[1:], alone.weight)
    assert not torch.equal(together.weight[:1], alone.weight)


@pytest.mark.parametrize(
    "layer",
    [
        StackedLinear(12, 9, Streams([0, 1])),
        StackedConvolution(3, 6, 3, 1, 1, Streams([0, 1])),
        StackedConvolution(4, 5, 4, 2, 1, Streams([0, 1]), transposed=True),
    ],
    ids=["linear", "convolution", "transposed"],
)
def test_spectral_norm_reaches_one(layer: nn.Module) -> None:
    """The largest singular value of the reshaped weight after 200 passes, by the SVD."""
    axis = 2 if isinstance(layer, StackedLinear) or layer.transposed else 1
    network = add_spectral_norm(layer, 1, Streams([0, 1]))
    inputs = (
        torch.randn(2, 3, 12)
        if isinstance(layer, StackedLinear)
        else torch.randn(2, 2, layer.weight.shape[2], 8, 8)
    )
    if isinstance(layer, StackedConvolution) and layer.transposed:
        inputs = torch.randn(2, 2, 4, 8, 8)
    for _ in range(200):
        network(inputs)
    network.eval()
    sigma = torch.linalg.matrix_norm(network.weight.movedim(axis, 1).flatten(2), ord=2)
    torch.testing.assert_close(sigma, torch.ones(2), rtol=1e-4, atol=1e-4)


def test_spectral_norm_gradient_is_torchs() -> None:
    """With the same vectors, the weight's gradient equals that of torch's parametrisation."""
    ours = add_spectral_norm(StackedLinear(6, 4, Streams([0])), 1, Streams([0]))
    plain = nn.Linear(6, 4)
    with torch.no_grad():
        plain.weight.copy_(ours.parametrizations.weight.original[0].T)
        plain.bias.copy_(ours.bias[0])
    theirs = nn.utils.parametrizations.spectral_norm(plain)
    x = torch.randn(1, 5, 6)
    for network in (ours, theirs):
        for _ in range(100):
            network(x if network is ours else x[0])
    ours(x).square().sum().backward()
    theirs(x[0]).square().sum().backward()
    gradient = ours.parametrizations.weight.original.grad[0].T
    torch.testing.assert_close(gradient, theirs.parametrizations.weight.original.grad, rtol=1e-3, atol=1e-5)


def test_ordinary_layers_take_torchs_own_normalisation() -> None:
    network = add_spectral_norm(
        StackOfOne(nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 1))), 1, Streams([0])
    )
    for _ in range(50):
        network(torch.randn(1, 4, 6))
    network.eval()
    assert torch.linalg.matrix_norm(network.network[0].weight, ord=2).item() == pytest.approx(1, abs=1e-3)


def test_closeness_counts_the_others_that_are_the_same() -> None:
    layer = BatchCloseness(5, 3, 2, STREAMS)
    identical = torch.randn(3, 1, 5).expand(3, 8, 5)
    torch.testing.assert_close(layer.measure_closeness(identical), torch.full((3, 8, 3), 7.0))
    far = 1e4 * torch.randn(3, 8, 5)
    assert layer.measure_closeness(far).abs().max() < 1e-6
    assert layer(far).shape == (3, 8, 8)


def test_spread_is_the_deviation_over_the_batch() -> None:
    x = torch.randn(2, 16, 5)
    out = BatchDeviation()(x)
    expected = x.std(1, unbiased=False).mean(1)
    torch.testing.assert_close(out[..., -1], expected[:, None].expand(2, 16), rtol=1e-5, atol=1e-5)
    assert BatchDeviation()(torch.ones(1, 4, 3))[0, 0, -1] < 1e-3
