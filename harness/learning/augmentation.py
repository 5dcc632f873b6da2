"""Augmentation of images by name, for each sample on its own, in threads or on the device; mixing of batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

from harness.contract.models import Preparation
from harness.contract.seeds import derive_seed
from harness.errors import OptionError
from harness.inference.images import decode
from harness.learning.randomness import drawing_from
from harness.learning.recipe import AugmentationKind, Recipe


def build_augmentation(
    kind: AugmentationKind, preparation: Preparation | None, erasing: float = 0.0
) -> Callable[[Any], torch.Tensor]:
    """Return a random preparation: from an image of any kind to C×H×W, sized and normalised as the model's own.

    "flip" is the model's own preparation and a horizontal flip; "crop-flip" a crop of 0.08 to 1 of the
    area instead of the centre; "randaugment" two operations of magnitude 9 after that (Cubuk et al., CVPR
    Workshops 2020). `erasing` is the probability that a rectangle is then set to the mean. All draws are
    from torch's global generator, or from that of `drawing_from`. Raises OptionError for a model without a
    preparation as data.
    """
    preparation = _require_preparation(kind, preparation)
    change, normal = _build_change(kind, preparation), _build_normalising(preparation, erasing)
    pixels = T.PILToTensor()
    return lambda image: normal(pixels(change(decode(image))))


def build_device_augmentation(
    kind: AugmentationKind, preparation: Preparation | None, seed: int, erasing: float = 0.0
) -> Callable[[Sequence[torch.Tensor], int, Sequence[int]], torch.Tensor]:
    """Return the same for uint8 images 3×H×W that are already on the device, of any sizes.

    It takes the images, the epoch and the rows, and returns B×3×H×W; each image's draws come from
    `seed`, epoch and row alone. A transform of a whole batch would draw once for all its images.
    """
    preparation = _require_preparation(kind, preparation)
    change, normal = _build_change(kind, preparation), _build_normalising(preparation, erasing)

    def augment(images: Sequence[torch.Tensor], epoch: int, rows: Sequence[int]) -> torch.Tensor:
        done = []
        for image, row in zip(images, rows, strict=True):
            with drawing_from(derive_seed("sample", seed, epoch, int(row))):
                done.append(normal(change(image)))
        return torch.stack(done)

    return augment


def to_pixels(image: Any) -> torch.Tensor:
    """Return an image of any kind as uint8 3×H×W, for augmentation on the device; it draws nothing."""
    found: torch.Tensor = T.PILToTensor()(decode(image))
    return found


def build_mixing(
    recipe: Recipe, classes: int
) -> Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Return the recipe's mixing of a batch: from images and labels B to images and shares B×C.

    Mixup (Zhang et al., ICLR 2018), CutMix (Yun et al., ICCV 2019), or one of the two for each batch; with
    neither, images and labels stay. It draws from torch's global generator, which the loop seeds.
    """
    ways: list[Any] = [T.MixUp(alpha=recipe.mixup, num_classes=classes)] if recipe.mixup else []
    ways += [T.CutMix(alpha=recipe.cutmix, num_classes=classes)] if recipe.cutmix else []
    if not ways:
        return lambda images, labels: (images, labels)
    mix: Callable[..., tuple[torch.Tensor, torch.Tensor]] = T.RandomChoice(ways) if len(ways) > 1 else ways[0]
    return mix


def _build_change(kind: AugmentationKind, preparation: Preparation) -> Callable[[Any], Any]:
    mode = InterpolationMode(preparation.interpolation)
    crop = preparation.crop if isinstance(preparation.crop, tuple) else (preparation.crop,) * 2
    steps: list[Any] = [T.RandomResizedCrop(crop, (0.08, 1.0), interpolation=mode)]
    if kind in ("none", "flip"):
        steps = [T.Resize(preparation.resize, mode), T.CenterCrop(crop)]
    if kind != "none":
        steps.append(T.RandomHorizontalFlip())
    if kind == "randaugment":
        steps.append(T.RandAugment(2, 9, interpolation=mode))
    changed: Callable[[Any], Any] = T.Compose(steps)
    return changed


def _build_normalising(preparation: Preparation, erasing: float) -> Callable[[torch.Tensor], torch.Tensor]:
    scale, shift = (torch.tensor(v).reshape(3, 1, 1) for v in (preparation.std, preparation.mean))
    erase = T.RandomErasing(p=erasing) if erasing else lambda image: image

    def normal(pixels: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = erase((pixels.float() / 255 - shift.to(pixels.device)) / scale.to(pixels.device))
        return out

    return normal


def _require_preparation(kind: AugmentationKind, preparation: Preparation | None) -> Preparation:
    if preparation is None:
        raise OptionError(f"augmentation '{kind}' needs a model that says its preparation as data")
    return preparation
