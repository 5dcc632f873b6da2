"""Normalisation of contrast: invariances, constants, and the sums that define it."""

from __future__ import annotations

import pytest
import torch

from harness import OptionError
from harness_networks.layers.normalisations import (
    BatchNormalisation,
    GlobalContrast,
    GroupNormalisation,
    LocalContrast,
)


def test_global_contrast_ignores_brightness_and_contrast():
    images = torch.rand(4, 3, 6, 5, dtype=torch.float64)
    layer = GlobalContrast().build((3, 6, 5))
    made = layer(images)
    torch.testing.assert_close(made.mean((1, 2, 3)), torch.zeros(4, dtype=torch.float64))
    torch.testing.assert_close(made.std((1, 2, 3), correction=0), torch.ones(4, dtype=torch.float64))
    torch.testing.assert_close(layer(3.5 * images + 2), made)
    torch.testing.assert_close(layer(-images), -made)


@pytest.mark.parametrize("layer", [GlobalContrast(), LocalContrast(size=3)])
def test_constant_images_become_zero(layer):
    images = torch.full((2, 3, 6, 6), 0.7).requires_grad_()
    made = layer.build((3, 6, 6))(images)
    torch.testing.assert_close(made, torch.zeros_like(made), rtol=0, atol=5e-3)
    made.square().sum().backward()
    assert images.grad.isfinite().all()


def test_low_contrast_is_not_blown_up():
    images = torch.rand(1, 1, 4, 4, dtype=torch.float64) * 1e-6
    made = GlobalContrast(epsilon=1e-3).build((1, 4, 4))(images)
    torch.testing.assert_close(made, (images - images.mean()) / 1e-3)


def test_local_contrast_is_the_sums_that_define_it():
    images = torch.randn(1, 2, 5, 6, dtype=torch.float64)
    made = LocalContrast(size=3, deviation=0.8).build((2, 5, 6)).double()(images)
    steps = torch.tensor([-1.0, 0, 1], dtype=torch.float64)
    line = torch.exp(-(steps**2) / (2 * 0.8**2))

    def average(maps: torch.Tensor, i: int, j: int) -> torch.Tensor:
        total, mass = torch.zeros((), dtype=torch.float64), 0.0
        for a in (-1, 0, 1):
            for b in (-1, 0, 1):
                if 0 <= i + a < 5 and 0 <= j + b < 6:
                    weight = float(line[a + 1] * line[b + 1])
                    total, mass = total + weight * maps[0, :, i + a, j + b].sum(), mass + 2 * weight
        return total / mass

    places = [(i, j) for i in range(5) for j in range(6)]
    centred = images - torch.stack([average(images, *at) for at in places]).reshape(5, 6)
    deviation = torch.stack([average(centred**2, *at) for at in places]).reshape(5, 6).sqrt()
    torch.testing.assert_close(
        made, centred / torch.maximum(deviation, deviation.mean()), rtol=1e-5, atol=1e-6
    )


def test_local_contrast_ignores_brightness_and_contrast():
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64)
    layer = LocalContrast(size=5).build((3, 8, 8)).double()
    torch.testing.assert_close(layer(4 * images + 1), layer(images), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "layer", [BatchNormalisation(), GroupNormalisation(2), GlobalContrast(), LocalContrast(5)]
)
def test_shapes_are_kept(layer):
    maps = torch.randn(3, 4, 7, 5)
    assert layer.build((4, 7, 5))(maps).shape == maps.shape
    assert layer.fits((4, 7, 5)) is None


def test_bad_options_are_named():
    with pytest.raises(OptionError, match="local-contrast: size must be odd, found 4"):
        LocalContrast(4)
    with pytest.raises(OptionError, match="global-contrast: epsilon must be above 0, found 0"):
        GlobalContrast(0)
    assert GroupNormalisation(3).fits((4, 2, 2)) == "4 channels can't be normalised in 3 groups"
