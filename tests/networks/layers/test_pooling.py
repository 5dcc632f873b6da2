"""Pooling layers: the textbook's figure, limits, sizes and gradients."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness import OptionError
from harness_networks.layers.pooling import AveragePool, LpPool, MaxPool, NoPool, SoftmaxPool

FIGURE = torch.tensor([[12.0, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])[None, None]


def test_the_figure_of_pooling():
    """The slides of it state 20 for the last average, whose window sums to 78."""
    assert MaxPool().build((1, 4, 4))(FIGURE)[0, 0].tolist() == [[20, 30], [112, 37]]
    assert AveragePool().build((1, 4, 4))(FIGURE)[0, 0].tolist() == [[13, 8], [79, 19.5]]


def test_softmax_pooling_goes_from_average_to_maximum():
    maps = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    average, largest = AveragePool().build((3, 6, 6))(maps), MaxPool().build((3, 6, 6))(maps)
    torch.testing.assert_close(SoftmaxPool(0.0).build((3, 6, 6))(maps), average)
    torch.testing.assert_close(SoftmaxPool(1e4).build((3, 6, 6))(maps), largest)
    torch.testing.assert_close(SoftmaxPool(-1e4).build((3, 6, 6))(-maps), -largest)
    means = [SoftmaxPool(beta).build((3, 6, 6))(maps).mean() for beta in (0.0, 0.5, 1.0, 2.0, 8.0)]
    assert means == sorted(means)
    window = maps[0, 0, :2, :2].flatten()
    expected = (window * (2 * window).exp()).sum() / (2 * window).exp().sum()
    torch.testing.assert_close(SoftmaxPool(2.0).build((3, 6, 6))(maps)[0, 0, 0, 0], expected)


def test_softmax_pooling_does_not_overflow():
    maps = torch.tensor([[1e4, 0.0], [0.0, -1e4]]).reshape(1, 1, 2, 2)
    assert SoftmaxPool(100.0).build((1, 2, 2))(maps).item() == 1e4


def test_power_means_go_from_average_to_maximum():
    maps = torch.rand(2, 3, 6, 6, dtype=torch.float64)
    average, largest = AveragePool().build((3, 6, 6))(maps), MaxPool().build((3, 6, 6))(maps)
    torch.testing.assert_close(LpPool(1.0).build((3, 6, 6))(maps), average)
    torch.testing.assert_close(LpPool(400.0).build((3, 6, 6))(maps), largest, rtol=0.01, atol=0)
    window = maps[0, 0, :2, :2].flatten()
    torch.testing.assert_close(LpPool(3.0).build((3, 6, 6))(maps)[0, 0, 0, 0], (window**3).mean() ** (1 / 3))
    torch.testing.assert_close(LpPool(3.0).build((3, 6, 6))(-maps), LpPool(3.0).build((3, 6, 6))(maps))


@pytest.mark.parametrize("p", [1.0, 2.0, 2.5, 3.0])
def test_windows_of_zeros_have_a_gradient_of_zero(p):
    """After a ReLU they are common; the derivative of the root there is infinite."""
    maps = torch.zeros(1, 1, 4, 4, requires_grad=True)
    LpPool(p).build((1, 4, 4))(maps).sum().backward()
    assert torch.equal(maps.grad, torch.zeros_like(maps))


@given(
    st.sampled_from([MaxPool, AveragePool, LpPool, SoftmaxPool]),
    st.integers(1, 4),
    st.none() | st.integers(1, 4),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_sizes_without_a_network_are_those_of_the_network(layer, size, stride, height, width):
    pooling = layer(size=size, stride=stride)
    if pooling.fits((height, width)):
        assert size > min(height, width)
        return
    made = pooling.build((2, height, width))(torch.randn(3, 2, height, width))
    assert made.shape == (3, 2, *pooling.output_size((height, width)))


def test_no_pooling_changes_nothing():
    maps = torch.randn(2, 3, 5, 4)
    assert torch.equal(NoPool().build((3, 5, 4))(maps), maps)
    assert NoPool().output_size((5, 4)) == (5, 4)


def test_bad_options_are_named():
    with pytest.raises(OptionError, match=r"lp-pool: p must be a finite number of at least 1, found 0\.5"):
        LpPool(0.5)
    with pytest.raises(OptionError, match="softmax-pool: beta must be finite"):
        SoftmaxPool(float("nan"))
    with pytest.raises(OptionError, match="size must be a whole number of at least 1, found 0"):
        MaxPool(0)
    assert MaxPool(3).fits((2, 5)) == "a pooling window of side 3 is larger than its 2×5 map"
