"""Named recipes: what their sources state, converted to what the harness counts in."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from timm.data import auto_augment

from harness import OptionError
from harness.learning.losses import build_loss
from harness_training.recipes import (
    StrikesBackA1,
    StrikesBackA2,
    StrikesBackA3,
    TorchvisionNew,
    TrainingRecipe,
)

IMAGENET = 1_281_167


@pytest.mark.parametrize(("epochs", "batch"), [(600, 1024), (100, 512)])
def test_torchvisions_average_forgets_as_its_adjusted_decay_every_32_updates(epochs: int, batch: int) -> None:
    made = TorchvisionNew(batch=batch).build_recipe(IMAGENET, epochs, None)
    alpha = (1 - 0.99998) * batch * 32 / epochs  # references/classification/train.py
    assert made.ema is not None
    assert made.ema**32 == pytest.approx(1 - alpha, rel=2e-5)


def test_of_a_short_training_it_is_no_average_over_the_initial_weights() -> None:
    made = TorchvisionNew().build_recipe(2048, 10, None)
    assert made.ema is not None
    assert made.steps == 20
    assert made.ema**made.steps < 0.01
    assert TorchvisionNew(ema=0.9).build_recipe(2048, 10, None).ema == 0.9
    assert TorchvisionNew(ema=0.0).build_recipe(2048, 10, None).ema is None


@pytest.mark.parametrize(
    ("recipe", "magnitude"), [(StrikesBackA1, 7), (StrikesBackA2, 7), (StrikesBackA3, 6)]
)
def test_randaugment_turns_as_far_as_timms(recipe: type[TrainingRecipe], magnitude: int) -> None:
    from torchvision.transforms.v2 import RandAugment

    policy = recipe().augmentation[-1]
    angles, _ = RandAugment._AUGMENTATION_SPACE["Rotate"]
    torchvisions = float(angles(31, 224, 224)[policy["magnitude"]])
    assert torchvisions == pytest.approx(abs(auto_augment._rotate_level_to_arg(magnitude, {})[0]))


def test_the_loss_of_a2_is_timms_binary_cross_entropy_with_its_threshold() -> None:
    from timm.loss import BinaryCrossEntropy

    recipe = StrikesBackA2()
    logits, shares = (
        torch.randn(4, 3),
        torch.tensor([[0.7, 0.3, 0], [0.9, 0.1, 0], [0, 0.5, 0.5], [1.0, 0, 0]]),
    )
    found = build_loss(recipe.loss, 0.0, recipe.threshold)(logits, shares).mean()
    assert torch.allclose(found, BinaryCrossEntropy(target_threshold=0.2)(logits, shares))
    both = torch.tensor([[1.0, 1, 0], [1, 0, 0], [0, 1, 1], [1, 0, 0]])
    assert torch.allclose(found, F.binary_cross_entropy_with_logits(logits, both))


def test_another_loss_drops_the_recipes_threshold_and_refuses_ones_own() -> None:
    assert StrikesBackA2(loss="cross-entropy").threshold is None
    with pytest.raises(OptionError, match="goes with loss = 'bce' alone"):
        TrainingRecipe(threshold=0.2)
