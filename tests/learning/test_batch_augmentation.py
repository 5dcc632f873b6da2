"""Augmentation of batches: draws of each sample's own, and steps against torchvision and closed forms."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torchvision.transforms import v2 as T

from harness.errors import OptionError
from harness.learning import batch_augmentation
from harness.learning.augmentation_names import AUGMENTATION_OPTIONS
from harness.learning.batch_augmentation import SampleDraws, build_batch_augmentation

COUNT, SIDE = 10, 16
BILINEAR = T.InterpolationMode.BILINEAR
STEPS: dict[str, list[Any]] = {
    "keras": [{"name": "keras", "rotation": 30, "width_shift": 0.1, "zoom": 0.2, "channel_shift": 0.1, "vertical_flip": True}],
    "flip": ["flip"],
    "shift-crop": [{"name": "shift-crop", "padding": 2, "fill": "reflect"}],
    "resized-crop": ["resized-crop"],
    "resize": ["resize"],
    "randaugment": ["randaugment"],
    "trivialaugment": ["trivialaugment"],
    "autoaugment": [{"name": "autoaugment", "policy": "cifar10"}],
    "erasing": [{"name": "erasing", "p": 0.8, "value": "random"}],
    "all": ["resized-crop", "flip", "trivialaugment", {"name": "keras", "shear": 20, "horizontal_flip": True}, "erasing"],
}  # fmt: skip


def images_of(channels: int, count: int = COUNT, height: int = SIDE, width: int = SIDE) -> torch.Tensor:
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(3))


def test_every_step_is_tested() -> None:
    assert {*AUGMENTATION_OPTIONS} == {*STEPS} - {"all"}


@given(
    rows=st.lists(st.integers(0, 19), min_size=1, max_size=30),
    epochs=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    more=st.integers(0, 4),
)
def test_draws_depend_on_seed_epoch_row_and_number_alone(
    rows: list[int], epochs: list[int], more: int
) -> None:
    draws, larger = SampleDraws(7, 20, 3), SampleDraws(7, 20 + more, 3 + more)
    for epoch in epochs:
        whole = SampleDraws(7, 20, 3).take(epoch, range(20))
        found = draws.take(epoch, rows)
        assert found.shape == (len(rows), 3)
        assert found.dtype == torch.float64
        assert torch.equal(found, whole[rows])
        assert torch.equal(larger.take(epoch, np.array(rows))[:, :3], found)


def test_draws_are_uniform_and_independent() -> None:
    draws = SampleDraws(0, 4000, 4)
    columns = torch.cat([draws.take(epoch, range(4000)) for epoch in (0, 1)], 1).numpy().T
    columns = np.vstack([columns, SampleDraws(1, 4000, 1).take(0, range(4000)).numpy().T])
    for column in columns:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    off = np.corrcoef(columns)[~np.eye(len(columns), dtype=bool)]
    assert np.abs(off).max() < 0.07  # 4.4 standard errors
    # NumPy's generator of [seed, epoch], from which an epoch's order is drawn, is also that of [seed, epoch, 0]
    assert not (columns[0] == np.random.default_rng([0, 0]).random(4000)).any()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", STEPS)
def test_neither_batches_nor_their_order_change_a_samples_augmentation(name: str, channels: int) -> None:
    augment, images = build_batch_augmentation(STEPS[name], SIDE), images_of(channels)
    draws = SampleDraws(5, COUNT, augment.numbers)

    def of(rows: list[int], epoch: int = 2) -> torch.Tensor:
        return augment(images[rows], draws.take(epoch, rows))

    state = torch.get_rng_state()
    whole = of([*range(COUNT)])
    assert torch.equal(torch.get_rng_state(), state)
    assert whole.shape == images.shape
    assert whole.dtype == images.dtype
    for rows in ([4], [9, 0, 4], [3, 3]):
        assert torch.equal(of(rows), whole[rows])
    if name == "resize":
        assert torch.equal(whole, images)
        return
    assert not torch.equal(of([*range(COUNT)], 3), whole)
    same = images[:1].expand(COUNT, -1, -1, -1)
    changed = augment(same, draws.take(0, range(COUNT)))
    assert len({image.numpy().tobytes() for image in changed}) >= (2 if name == "flip" else 4)
    assert torch.equal(same, images[:1].expand(COUNT, -1, -1, -1))


@pytest.mark.parametrize(
    ("step", "transform"),
    [
        ({"name": "randaugment", "magnitude": 7, "interpolation": "bilinear"}, T.RandAugment(2, 7, 31, BILINEAR)),
        ("trivialaugment", T.TrivialAugmentWide()),
        ("autoaugment", T.AutoAugment()),
        ({"name": "erasing", "p": 1.0, "value": [0.5, 0.4, 0.3]}, T.RandomErasing(1.0, value=[0.5, 0.4, 0.3])),
        ({"name": "resized-crop", "scale": [0.3, 1.0]}, T.RandomResizedCrop((12, 10), (0.3, 1.0))),
    ],
)  # fmt: skip
def test_torchvisions_transforms_of_each_image_alone(step: Any, transform: Any) -> None:
    size = (12, 10) if "resized-crop" in str(step) else (20, 14)
    images, augment = images_of(3, 6, 20, 14), build_batch_augmentation([step], size)
    uniforms = SampleDraws(0, 6, 1).take(0, range(6))
    found = augment(images, uniforms)
    assert found.shape == (6, 3, *size)
    for image, changed, uniform in zip(images, found, uniforms[:, 0].tolist(), strict=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(uniform * 2**53))
            assert torch.equal(changed, transform(image))


def test_resizing_is_torchvisions() -> None:
    images = images_of(3, 2, 20, 14)
    found = build_batch_augmentation(["resize"], (9, 11))(images, torch.empty(2, 0, dtype=torch.float64))
    torch.testing.assert_close(found, T.Resize((9, 11))(images))


@pytest.mark.parametrize(("horizontal", "vertical"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (0.0, 0.0)])
def test_flips(horizontal: float, vertical: float) -> None:
    images = images_of(3)
    augment = build_batch_augmentation(
        [{"name": "flip", "horizontal": horizontal, "vertical": vertical}], SIDE
    )
    dims = [dim for dim, flipped in ((3, horizontal), (2, vertical)) if flipped]
    assert torch.equal(augment(images, SampleDraws(0, COUNT, 2).take(0, range(COUNT))), images.flip(dims))


def test_half_of_many_samples_are_flipped() -> None:
    images = torch.tensor([[[[0.0, 1.0]]]]).expand(2000, 1, 1, 2)
    found = build_batch_augmentation(["flip"], (1, 2))(images, SampleDraws(0, 2000, 2).take(0, range(2000)))
    assert abs(float(found[:, 0, 0, 0].mean()) - 0.5) < 4 * (0.25 / 2000) ** 0.5


@pytest.mark.parametrize("fill", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("size", [(6, 5), (4, 7)])
def test_every_place_of_a_crop_occurs(fill: str, size: tuple[int, int]) -> None:
    images = images_of(2, 1, 6, 5).expand(400, -1, -1, -1)
    augment = build_batch_augmentation([{"name": "shift-crop", "padding": 1, "fill": fill}], size)
    found = augment(images, SampleDraws(0, 400, 2).take(0, range(400)))
    mode = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}[fill]
    padded = np.pad(images[0].numpy(), ((0, 0), (1, 1), (1, 1)), mode=mode)  # type: ignore[call-overload]
    places = {
        padded[:, top : top + size[0], left : left + size[1]].tobytes()
        for top in range(8 - size[0] + 1)
        for left in range(7 - size[1] + 1)
    }
    assert {image.numpy().tobytes() for image in found} == places


def test_no_step_changes_nothing() -> None:
    images = images_of(3)
    augment = build_batch_augmentation([], SIDE)
    assert augment.numbers == 0
    assert torch.equal(augment(images, torch.empty(COUNT, 0, dtype=torch.float64)), images)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ("trivialaugmnt", "no augmentation 'trivialaugmnt'; did you mean 'trivialaugment'"),
        ({"rotation": 3}, "a step has no name: {'rotation': 3}"),
        ({"name": "keras", "zom": 0.1}, "'keras': no option 'zom'; did you mean 'zoom'"),
        ({"name": "flip", "size": 3}, "'flip': no option 'size'"),
        ({"name": "flip", "horizontal": 2}, "'flip': horizontal must be from 0 to 1, not 2"),
        ({"name": "keras", "rotation": "much"}, "'keras': "),
        ({"name": "shift-crop", "fill": "edge"}, "fill can't be 'edge'"),
        ({"name": "shift-crop", "padding": -1}, "padding must be at least 0"),
        ({"name": "randaugment", "magnitude": 31}, "magnitude must be from 0 to 30, not 31"),
        ({"name": "autoaugment", "policy": "cifar"}, "no policy 'cifar'; did you mean 'cifar10'"),
        (
            {"name": "resize", "interpolation": "cubic"},
            "interpolation can't be 'cubic'; did you mean 'bicubic'",
        ),
        ({"name": "erasing", "p": 1.5}, "p must be from 0 to 1"),
        ({"name": "erasing", "scale": [2, 3]}, "'erasing': "),
    ],
)
def test_names_and_options_that_make_no_sense(step: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_batch_augmentation([step], SIDE)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "images are 16×16, not 20×20: add 'resize'"),
        ([{"name": "shift-crop", "padding": 1}], "padded images are 18×18, too small to crop 20×20"),
        ([{"name": "shift-crop", "padding": 16, "fill": "reflect"}], "too small to reflect 16 pixels"),
    ],
)
def test_images_of_another_size(steps: list[Any], message: str) -> None:
    augment = build_batch_augmentation(steps, 20)
    with pytest.raises(OptionError, match=message):
        augment(images_of(3), SampleDraws(0, COUNT, augment.numbers).take(0, range(COUNT)))


def test_names_known_without_torch_are_those_that_are_built():
    made = {**batch_augmentation._STEPS, "keras": batch_augmentation.KerasImages}
    taken = {
        name: [p for p in inspect.signature(make).parameters if p != "size"] for name, make in made.items()
    }
    assert taken == {name: list(options) for name, options in AUGMENTATION_OPTIONS.items()}
