"""Windows of convolutions: sizes, padding as torch and Keras have it, and the receptive field."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from harness import OptionError
from harness_networks.layers.contracts import Padding, Window
from harness_networks.layers.convolution_modules import build_convolution, build_padding
from harness_networks.receptive_field import measure_receptive_field

PADDINGS: list[Padding] = ["valid", "same", "same-keras", "circular"]


@given(
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from(PADDINGS),
)
def test_sizes_without_a_network_are_those_of_the_network(height, width, kernel, stride, dilation, padding):
    window = Window(kernel, stride, padding, dilation)
    if window.explain_misfit((height, width)):
        assert window.extent > min(height, width)
        return
    made = build_convolution((1, height, width), 2, window)(torch.zeros(1, 1, height, width))
    assert made.shape[2:] == window.output_size((height, width))
    if padding == "valid":
        assert made.shape[2] == (height - window.extent) // stride + 1
    else:
        assert made.shape[2:] == (-(-height // stride), -(-width // stride))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("mode", ["zeros", "circular"])
def test_same_padding_with_stride_1_is_torchs(kernel, dilation, mode):
    padding = "circular" if mode == "circular" else "same"
    window = Window(kernel, 1, padding, dilation)
    ours = build_convolution((2, 9, 7), 3, window)
    theirs = nn.Conv2d(2, 3, kernel, padding="same", dilation=dilation, padding_mode=mode)
    theirs.load_state_dict({k.rpartition(".")[2]: v for k, v in ours.state_dict().items()})
    images = torch.randn(2, 2, 9, 7)
    torch.testing.assert_close(ours(images), theirs(images))


def test_keras_pads_at_the_end_and_torch_on_both_sides():
    assert Window(3, 2, "same-keras").find_pads(64) == (0, 1)
    assert Window(3, 2, "same-keras").find_pads(63) == (1, 1)
    assert Window(3, 2, "same").find_pads(64) == (1, 1)
    assert Window(1, 2, "same-keras").find_pads(64) == (0, 0)  # never negative
    images = torch.arange(4.0).expand(1, 1, 4, 4)
    at = {}
    for padding in ("same", "same-keras"):
        made = build_convolution((1, 4, 4), 1, Window(3, 2, padding), bias=False)
        with torch.no_grad():
            for weight in made.parameters():
                weight.copy_(torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]]))
        at[padding] = made(images)[0, 0, 0].tolist()
    assert at == {"same": [0, 2], "same-keras": [1, 3]}  # equal shapes, centres one pixel apart


def test_receptive_fields_of_the_dilated_context_network():
    """The table of Yu & Koltun (2016): dilations 1, 1, 2, 4, 8, 16, 1 with 3×3, then 1×1."""
    dilations = [1, 1, 2, 4, 8, 16, 1]
    layers = [build_convolution((1, 75, 75), 1, Window(3, 1, "same", d)) for d in dilations]
    layers.append(build_convolution((1, 75, 75), 1, Window(1)))
    fields = []
    for count in range(1, 9):
        network = nn.Sequential(*[part for layer in layers[:count] for part in (layer, nn.ReLU())])
        fields.append(measure_receptive_field(network, (1, 75, 75)))
    assert fields == [(n, n) for n in (3, 5, 9, 17, 33, 65, 67, 67)]


def test_receptive_fields_through_strides_and_pooling():
    """r += (k − 1)·d·Πs: 3, then pooling of 2 gives 4, then 3×3 at stride 2 gives 8."""
    layers = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 2, (3, 1)))
    assert measure_receptive_field(layers[:1], (1, 20, 20)) == (3, 3)
    assert measure_receptive_field(layers[:2], (1, 20, 20)) == (4, 4)
    assert measure_receptive_field(layers, (1, 20, 20)) == (8, 4)
    assert measure_receptive_field(layers.append(nn.AdaptiveAvgPool2d(1)), (1, 20, 18)) == (20, 18)


def test_circular_padding_takes_the_other_border():
    padded = build_padding(Window(4, 1, "circular"), (3, 3))(torch.arange(9.0).reshape(1, 1, 3, 3))
    torch.testing.assert_close(padded[0, 0, 0], torch.tensor([8.0, 6, 7, 8, 6, 7]))
    torch.testing.assert_close(
        padded, F.pad(torch.arange(9.0).reshape(1, 1, 3, 3), (1, 2, 1, 2), mode="circular")
    )


def test_impossible_windows_are_named():
    assert Window(5, 1, "valid").explain_misfit((4, 6)) == "a kernel of side 5 is larger than its 4×6 map"
    dilated = "a kernel of side 3 (side 5 with dilation 2) is larger than its 4×4 map"
    assert Window(3, 1, "valid", 2).explain_misfit((4, 4)) == dilated
    assert "wraps a 2×2 map more than once" in Window(7, 1, "circular").explain_misfit((2, 2))
    assert Window(5, 1, "same").explain_misfit((1, 1)) is None
    with pytest.raises(OptionError, match="stride must be a whole number of at least 1, found 0"):
        Window(3, 0)
    with pytest.raises(OptionError, match=r"padding can't be 'circlar'.*'circular'"):
        Window(3, 1, "circlar")
