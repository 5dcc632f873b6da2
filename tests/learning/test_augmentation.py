"""Augmentation: draws of each sample's own, in threads and on the device, and mixing in the training thread."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.transforms import v2 as T

from harness.contract.data import Sample
from harness.contract.models import Preparation
from harness.errors import OptionError
from harness.learning.augmentation import (
    build_augmentation,
    build_device_augmentation,
    build_mixing,
    to_pixels,
)
from harness.learning.pipeline import Pipeline
from harness.learning.randomness import drawing_from, seed_step
from harness.learning.recipe import AugmentationKind, Recipe

CPU = torch.device("cpu")
PREPARATION = Preparation(36, 32, "bilinear", (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
KINDS: list[AugmentationKind] = ["flip", "crop-flip", "randaugment"]


class Same:
    """Samples that all have the same image."""

    def __init__(self, count: int) -> None:
        self.ids = [f"n{i}" for i in range(count)]
        self.targets = np.zeros(count, np.int64)
        self.image = np.random.default_rng(0).integers(0, 256, (48, 40, 3), np.uint8)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.ids[index], self.image)


def prepared(kind: AugmentationKind, workers: int, epoch: int = 0, count: int = 24) -> torch.Tensor:
    source = Pipeline(
        Same(count), build_augmentation(kind, PREPARATION, erasing=0.5), device=CPU, workers=workers, seed=5
    )
    (batch,) = source.batches([(0, epoch, np.arange(count))])
    found: torch.Tensor = batch.data
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_threads_change_no_draw_and_samples_and_epochs_differ(kind: AugmentationKind) -> None:
    torch.manual_seed(0)
    serial = prepared(kind, 0)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert torch.equal(prepared(kind, 4), serial)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(prepared(kind, 4, epoch=1), serial)
    assert len({image.numpy().tobytes() for image in serial}) >= (20 if kind != "flip" else 10)


@pytest.mark.parametrize(
    "change",
    [
        T.RandomResizedCrop(8), T.RandomHorizontalFlip(), T.RandAugment(), T.RandomErasing(1.0, value="random"),
        T.ColorJitter(0.5, 0.5, 0.5), T.TrivialAugmentWide(), T.AutoAugment(), T.AugMix(), T.RandomAffine(30, (0.1, 0.1)),
        T.RandomPerspective(), T.RandomPhotometricDistort(), T.GaussianBlur(3), T.RandomCrop(8), T.RandomRotation(40),
    ],
    ids=lambda change: type(change).__name__,
)  # fmt: skip
def test_all_that_torchvision_draws_comes_from_the_samples_own_generator(change: Any) -> None:
    image = torch.from_numpy(Same(1).image).permute(2, 0, 1)

    def changed(seed: int) -> torch.Tensor:
        with drawing_from(seed):
            found: torch.Tensor = change(image)
            return found

    state = torch.get_rng_state()
    serial = [changed(seed) for seed in range(12)]
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    with ThreadPoolExecutor(4) as pool:
        for a, b in zip(serial, pool.map(changed, range(12)), strict=True):
            assert torch.equal(a, b)
    assert len({image.numpy().tobytes() for image in serial}) > 1


def test_draws_are_those_of_a_seeded_torch() -> None:
    torch.manual_seed(7)
    expected = [
        torch.rand(2),
        torch.randn(2),
        torch.randperm(5),
        torch.empty(2).uniform_(1, 2),
        torch.randint(9, (2,)),
    ]
    with drawing_from(7):
        found = [
            torch.rand(2),
            torch.randn(2),
            torch.randperm(5),
            torch.empty(2).uniform_(1, 2),
            torch.randint(9, (2,)),
        ]
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_on_the_device_each_image_has_draws_of_its_own(kind: AugmentationKind) -> None:
    images = [to_pixels(Same(1).image)] * 24
    augment = build_device_augmentation(kind, PREPARATION, 5)
    batch = augment(images, 2, range(24))
    assert batch.shape == (24, 3, 32, 32)
    assert len({image.numpy().tobytes() for image in batch}) >= (20 if kind != "flip" else 2)
    assert torch.equal(augment(images[:3], 2, [4, 0, 9]), batch[[4, 0, 9]])  # whatever its company
    assert not torch.equal(augment(images, 3, range(24)), batch)


def test_what_is_not_random_is_the_models_own_preparation() -> None:
    from harness.inference.images import exact_prepare

    image = to_pixels(Same(1).image)
    expected = exact_prepare(PREPARATION)(T.ToPILImage()(image))
    torch.testing.assert_close(build_augmentation("none", PREPARATION)(Same(1).image), expected)


def test_a_model_without_a_preparation() -> None:
    with pytest.raises(OptionError, match="'flip' needs a model that says its preparation"):
        build_augmentation("flip", None)


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_mixing(mixup: float, cutmix: float) -> None:
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 4
    mix = build_mixing(Recipe(1, mixup=mixup, cutmix=cutmix), 4)

    def at(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.random.fork_rng(devices=[]):
            seed_step(step, CPU)
            return mix(images, labels)

    mixed, shares = at(3)
    assert torch.equal(at(3)[0], mixed)
    if not mixup and not cutmix:
        assert torch.equal(mixed, images)
        assert torch.equal(shares, labels)
        return
    assert not torch.equal(at(4)[0], mixed)
    assert shares.shape == (8, 4)
    torch.testing.assert_close(shares.sum(1), torch.ones(8))
    torch.testing.assert_close(mixed.mean((2, 3)).sum(0), images.mean((2, 3)).sum(0), rtol=0.2, atol=0.3)


@pytest.mark.parametrize(("mixup", "cutmix"), [(1.0, 0.0), (0.0, 1.0), (0.4, 1.0), (1e-4, 0.0)])
def test_a_mixed_image_holds_as_much_of_each_as_its_share_says(mixup: float, cutmix: float) -> None:
    """Sample i is white in channel i alone, so that the means of the channels are its parts of each sample.

    Mixup at a share of 1 leaves images as they are, and CutMix's share is the area that stays.
    """
    images = torch.eye(6)[:, :, None, None].expand(6, 6, 8, 10).contiguous()
    mix = build_mixing(Recipe(1, mixup=mixup, cutmix=cutmix), 6)
    for seed in range(12):
        with torch.random.fork_rng(devices=[]):
            seed_step(seed, CPU)
            mixed, shares = mix(images, torch.arange(6))
        torch.testing.assert_close(mixed.mean((2, 3)), shares)
