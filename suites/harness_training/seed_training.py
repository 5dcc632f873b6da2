"""The training of networks of several seeds by one recipe: its loss, and its evaluations on held-out images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from harness import derive_seed
from harness.inference.batches import autocast
from harness.learning.augmentation import build_mixing
from harness.learning.batch_augmentation import SampleDraws, build_batch_augmentation
from harness.learning.losses import build_loss
from harness.learning.randomness import drawing_from

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe
    from harness.learning.stacked import StackedBatch
    from harness_training.cell_images import CellImages
    from harness_training.image_sets import ImageSet
    from harness_training.recipes import TrainingRecipe

EVALUATION_BATCH = 256

Forward = Callable[[torch.Tensor], torch.Tensor]
"""From images S×B×C×H×W, each seed's own, to logits S×B×classes."""


class SeedObjective:
    """The mean loss of each seed's batch: augmented, scaled, mixed and judged, each from the seed's own draws.

    Draws of an image depend on the seed, the epoch and the image alone, those of mixing on seed and step:
    neither the other seeds nor a restart change them.
    """

    def __init__(
        self,
        method: TrainingRecipe,
        recipe: Recipe,
        images: CellImages,
        scale: Callable[[torch.Tensor], torch.Tensor],
        size: int,
        seeds: Sequence[int],
    ) -> None:
        self.seeds, self.scale = list(seeds), scale
        steps = method.augmentation
        if images.train.held is None:  # the reader crops at full resolution
            steps = [step for step in steps if not is_crop(step)]
        self.augment = build_batch_augmentation(steps, size)
        count = self.augment.numbers
        self.draws = [SampleDraws(seed, len(images.train), count) for seed in self.seeds] if count else []
        self.loss = build_loss(method.loss, recipe.label_smoothing, method.threshold)
        self.mix = build_mixing(recipe, images.classes) if recipe.mixup or recipe.cutmix else None

    def __call__(self, forward: Forward, batch: StackedBatch, step: int) -> torch.Tensor:
        """Return losses S of those seeds that still train, from uint8 images S×B×C×H×W and labels S×B."""
        assert batch.targets is not None
        seeds, size = batch.data.shape[:2]
        images = batch.data.flatten(0, 1).float() / 255
        if self.draws:
            drawing = [self.draws[number] for number in batch.slices]
            own = [d.take(batch.epoch, rows) for d, rows in zip(drawing, batch.rows, strict=True)]
            images = self.augment(images, torch.cat(own))
        images, targets = self.scale(images).unflatten(0, (seeds, size)), batch.targets
        if self.mix is not None:
            images, targets = self._mix(images, targets, [self.seeds[n] for n in batch.slices], step)
        logits = forward(images).float()
        losses: torch.Tensor = self.loss(logits.flatten(0, 1), targets.flatten(0, 1))
        means: torch.Tensor = losses.unflatten(0, (seeds, size)).mean(1)
        return means

    def _mix(
        self, images: torch.Tensor, targets: torch.Tensor, seeds: Sequence[int], step: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        assert self.mix is not None
        mixed = []
        for own, labels, seed in zip(images, targets, seeds, strict=True):
            with drawing_from(derive_seed("mixing", seed, step)):
                mixed.append(self.mix(own, labels))
        return torch.stack([pixels for pixels, _ in mixed]), torch.stack([shares for _, shares in mixed])


def is_crop(step: object) -> bool:
    """Return whether a step of augmentation is the random crop that reads images at full resolution."""
    return step == "resized-crop" or (isinstance(step, dict) and step.get("name") == "resized-crop")


def score_images(
    forward: Forward,
    images: ImageSet,
    scale: Callable[[torch.Tensor], torch.Tensor],
    seeds: int,
    precision: str,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits S×N×classes of each seed's network on the same images, float32 on the CPU, and labels N."""
    found, labels = [], []
    with torch.inference_mode(), autocast(images.device, precision):
        for pixels, targets in images.iterate(EVALUATION_BATCH):
            scaled = scale(pixels.float() / 255)
            found.append(forward(scaled.expand(seeds, *scaled.shape)).float().cpu())
            labels.append(targets.cpu())
    return torch.cat(found, 1), torch.cat(labels)


def judge_logits(logits: torch.Tensor, labels: torch.Tensor, judge: str) -> list[dict[str, float]]:
    """Return each seed's accuracy, loss (cross-entropy) and score, from logits S×N×classes and labels N."""
    values = []
    for own in logits:
        accuracy = float((own.argmax(1) == labels).double().mean())  # in float32, 7 of 10 is less than 0.7
        loss = float(F.cross_entropy(own, labels))
        score = accuracy if judge == "accuracy" else -loss
        values.append({"accuracy": accuracy, "loss": loss, "score": score})
    return values


def evaluate_seeds(
    images: CellImages, peek: bool, judge: str, score: Callable[[ImageSet, str], list[dict[str, float]]]
) -> list[dict[str, float]]:
    """Return what an evaluation finds for each seed: on the held-out images and, if it peeks, on the test images.

    `score(images, judge)` returns each seed's accuracy, loss and score. Test images decide nothing: without held-out
    ones the score is 0.
    """
    values = [] if images.held_out is None else score(images.held_out, judge)
    if not peek:
        return values
    peeked = score(images.test, "accuracy")
    found = values or [{"score": 0.0} for _ in peeked]
    return [{**own, "test_accuracy": on["accuracy"]} for own, on in zip(found, peeked, strict=True)]
