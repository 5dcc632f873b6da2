"""Random crops that are taken when images are read, and accuracies that are compared with targets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from harness_training.image_sets import build_reader
from harness_training.recipe_remarks import describe_crops
from harness_training.recipes import TrainingRecipe
from harness_training.seed_training import judge_logits
from harness_training.single_training import find_read_crop

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)
WHOLE = {"name": "resized-crop", "scale": [0.9, 1.0], "ratio": [1.0, 1.0], "interpolation": "nearest"}


def of_images(held: Any) -> Any:
    return SimpleNamespace(train=SimpleNamespace(held=held))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("resized-crop", v2.RandomResizedCrop(8)),
        (WHOLE, v2.RandomResizedCrop(8, (0.9, 1.0), (1.0, 1.0), v2.InterpolationMode.NEAREST)),
    ],
)
def test_crops_of_files_take_the_options_of_the_step(step: Any, expected: v2.Transform) -> None:
    crop = find_read_crop(TrainingRecipe(augmentation=["flip", step]), of_images(None))
    image = Image.fromarray(PIXELS)
    torch.manual_seed(3)
    found = build_reader(8, grey=False, crop=crop)(image)
    torch.manual_seed(3)
    assert torch.equal(found, v2.PILToTensor()(expected(image)))


def test_crops_of_held_images_are_remarked() -> None:
    cropping, held = TrainingRecipe(augmentation=[WHOLE]), of_images(torch.zeros(1))
    assert find_read_crop(cropping, held) is None
    (told,) = describe_crops(cropping, held, 8)
    assert "held images of 8×8 pixels" in told
    assert not describe_crops(cropping, of_images(None), 8)
    assert not describe_crops(TrainingRecipe(augmentation=["flip"]), held, 8)


@pytest.mark.parametrize("right", range(11))
def test_an_accuracy_equals_its_target_when_it_is_reached(right: int) -> None:
    labels = torch.zeros(10, dtype=torch.long)
    logits = torch.tensor([[1.0, 0.0]] * right + [[0.0, 1.0]] * (10 - right))
    assert judge_logits(logits[None], labels, "accuracy")[0]["accuracy"] == right / 10
