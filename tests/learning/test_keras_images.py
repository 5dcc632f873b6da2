"""Keras' image augmentation against scipy.ndimage with a product of homogeneous matrices."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from harness.errors import OptionError
from harness.learning.keras_images import KerasImages, warp_images

ALL = {
    "rotation": 40.0, "width_shift": 0.2, "height_shift": 0.3, "shear": 25.0, "zoom": (0.6, 1.7), "channel_shift": 0.3,
    "horizontal_flip": True, "vertical_flip": True,
}  # fmt: skip


def drawn(
    shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images, and their uniform draws."""
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.random(shape)).to(dtype), torch.from_numpy(rng.random((shape[0], 9)))


def by_scipy(image: NDArray[Any], u: NDArray[Any], options: dict[str, Any], axes: str) -> NDArray[Any]:
    """One image C×H×W: Keras' matrices one by one, and its order of steps."""
    _, height, width = image.shape
    signed = 2 * u - 1
    theta, shear = (math.radians(options[name] * signed[at]) for name, at in (("rotation", 0), ("shear", 3)))
    tx, ty = options["height_shift"] * signed[1] * height, options["width_shift"] * signed[2] * width
    low, high = options["zoom"]
    product = np.eye(3)
    for matrix in (
        [[1, 0, height / 2 - 0.5], [0, 1, width / 2 - 0.5], [0, 0, 1]],
        [[math.cos(theta), -math.sin(theta), 0], [math.sin(theta), math.cos(theta), 0], [0, 0, 1]],
        [[1, 0, tx], [0, 1, ty], [0, 0, 1]],
        [[1, -math.sin(shear), 0], [0, math.cos(shear), 0], [0, 0, 1]],
        [[low + (high - low) * u[4], 0, 0], [0, low + (high - low) * u[5], 0], [0, 0, 1]],
        [[1, 0, 0.5 - height / 2], [0, 1, 0.5 - width / 2], [0, 0, 1]],
    ):
        product = product @ np.array(matrix)
    if axes == "swapped":
        exchange = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])
        product = exchange @ product @ exchange
    out = np.stack([ndimage.affine_transform(channel, product[:2, :2], product[:2, 2], order=1, mode="nearest")
                    for channel in image])  # fmt: skip
    if options["channel_shift"]:
        out = np.clip(out + options["channel_shift"] * signed[6], out.min(), out.max())
    if options["horizontal_flip"] and u[7] < 0.5:
        out = out[:, :, ::-1]
    if options["vertical_flip"] and u[8] < 0.5:
        out = out[:, ::-1]
    return out


@pytest.mark.parametrize("axes", ["named", "swapped"])
@pytest.mark.parametrize("shape", [(12, 3, 16, 16), (12, 1, 9, 14), (3, 2, 1, 6)])
@pytest.mark.parametrize("left_out", [None, *ALL])
def test_an_independent_implementation(shape: tuple[int, ...], axes: Any, left_out: str | None) -> None:
    options = dict(ALL)
    if left_out:
        options[left_out] = (1.0, 1.0) if left_out == "zoom" else type(ALL[left_out])()  # type: ignore[operator]
    images, uniforms = drawn(shape, dtype=torch.float64)
    found = KerasImages(**options, axes=axes)(images, uniforms)  # type: ignore[arg-type]
    expected = [by_scipy(i, u, options, axes) for i, u in zip(images.numpy(), uniforms.numpy(), strict=True)]
    np.testing.assert_allclose(found.numpy(), np.stack(expected), atol=1e-12)
    single = KerasImages(**options, axes=axes)(images.float(), uniforms)  # type: ignore[arg-type]
    np.testing.assert_allclose(single.numpy(), np.stack(expected), atol=1e-4)


@pytest.mark.parametrize("zoom", [0.0, (1.0, 1.0)])
def test_ranges_of_zero_change_no_bit(zoom: Any) -> None:
    images, uniforms = drawn((4, 3, 11, 13))
    assert torch.equal(KerasImages(zoom=zoom)(images, uniforms), images)


def test_the_map_that_changes_nothing() -> None:
    images, _ = drawn((2, 3, 64, 48))
    same = torch.eye(2, 3, dtype=torch.float64).expand(2, 2, 3)
    torch.testing.assert_close(warp_images(images, same), images, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("axes", "moved"), [("named", 3), ("swapped", 2)])
def test_where_a_width_shift_moves(axes: Any, moved: int) -> None:
    """By a quarter of 8 pixels at the largest draw: the content moves to lower indices, the last edge is replicated."""
    images, _ = drawn((1, 1, 8, 8), dtype=torch.float64)
    uniforms = torch.full((1, 9), 0.5, dtype=torch.float64)
    uniforms[0, 2] = 1.0
    places = (torch.arange(8) + 2).clamp(max=7)
    found = KerasImages(width_shift=0.25, axes=axes)(images, uniforms)
    torch.testing.assert_close(found, images.index_select(moved, places))


def test_a_zoom_above_one_shrinks() -> None:
    images = torch.zeros(1, 1, 16, 16)
    images[:, :, 4:12, 4:12] = 1
    uniforms = torch.full((1, 9), 1.0, dtype=torch.float64)
    assert float(KerasImages(zoom=(2.0, 2.0))(images, uniforms).sum()) == pytest.approx(64 / 4, rel=0.1)
    assert float(KerasImages(zoom=(0.5, 0.5))(images, uniforms).sum()) == pytest.approx(256, rel=0.1)


def test_a_channel_shift_is_one_number_clipped_to_the_images_own_range() -> None:
    images, uniforms = drawn((5, 3, 6, 6), dtype=torch.float64)
    images = 0.25 + images / 2
    found = KerasImages(channel_shift=0.2)(images, uniforms)
    for image, changed, u in zip(images, found, uniforms[:, 6], strict=True):
        expected = (image + 0.2 * (2 * float(u) - 1)).clamp(image.min(), image.max())
        torch.testing.assert_close(changed, expected)


def test_switching_one_change_on_leaves_the_draws_of_the_others() -> None:
    images, uniforms = drawn((30, 3, 8, 8))
    turned = KerasImages(rotation=20)(images, uniforms)
    both = KerasImages(rotation=20, horizontal_flip=True)(images, uniforms)
    flipped = [not torch.equal(a, b) for a, b in zip(turned, both, strict=True)]
    assert flipped == (uniforms[:, 7] < 0.5).tolist()
    assert torch.equal(both[flipped], turned[flipped].flip(3))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotation": -1}, "rotation must be at least 0, not -1"),
        ({"width_shift": 4}, "width_shift is a share of the side, below 1, not 4"),
        ({"zoom": 1.0}, "zoom must be below 1"),
        ({"zoom": (1.2, 0.8)}, "zoom must be below 1, or two positive numbers that ascend"),
        ({"zoom": [0.8, 1.0, 1.2]}, "two positive numbers"),
        ({"axes": "swaped"}, "axes can't be 'swaped'; did you mean 'swapped'"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        KerasImages(**options)
