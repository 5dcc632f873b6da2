"""The method `detector-training`: how a detector is trained before it is evaluated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import OptionError
from harness_dense.contracts import LearnsToDetect
from harness_dense.training_splits import TrainsOnSplit

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe


class DetectorTraining(TrainsOnSplit):
    """Trains a detector on the training split, with new predictors for its classes.

    Crowds, and objects that count neither way, are not learned. Of a corrupted data set, the clean one is learned.

    Args:
        steps: updates; by default from `epochs`.
        epochs: passes over the training images.
        batch: images per update.
        rate: the highest learning rate.
        optimizer: `sgd` with momentum 0.9, as torchvision's reference, or `adamw`.
        schedule: how the rate falls after the warm-up: `cosine`, `linear`, `constant`, or `multistep` to a tenth at
            16/26 and again at 22/26 of the updates, as torchvision's reference.
        warmup: share of the updates during which the rate rises linearly.
        weight_decay: decay of matrices and kernels, not of vectors.
        clip_norm: largest norm of the gradient; 0 for no limit.
        flip: probability that an image, with its objects, is mirrored.
        split: the split to train on; by default that for training.
        checkpoint_every: updates between checkpoints, from which a killed run resumes.
    """

    needs = (LearnsToDetect,)
    operational = ("checkpoint_every",)
    smallest: ClassVar = {"steps": 4, "batch": 4, "checkpoint_every": 2}

    def __init__(
        self,
        steps: int | None = None,
        epochs: float = 26,
        batch: int = 16,
        rate: float = 0.02,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        schedule: Literal["multistep", "cosine", "linear", "constant"] = "multistep",
        warmup: float = 0.02,
        weight_decay: float = 1e-4,
        clip_norm: float = 0.0,
        flip: float = 0.5,
        split: str | None = None,
        checkpoint_every: int = 200,
    ) -> None:
        for name, value, least in (
            ("steps", steps, 1),
            ("batch", batch, 1),
            ("checkpoint_every", checkpoint_every, 1),
        ):
            if value is not None and value < least:
                raise OptionError(f"detector-training: {name} must be at least {least}, not {value}")
        for name, number in (("epochs", epochs), ("rate", rate)):
            if not 0 < number < math.inf:
                raise OptionError(f"detector-training: {name} must be above 0 and finite, not {number}")
        for name, share in (("flip", flip), ("warmup", warmup)):
            if not 0 <= share <= 1:
                raise OptionError(f"detector-training: {name} must be from 0 to 1, not {share}")
        for name, number in (("clip_norm", clip_norm), ("weight_decay", weight_decay)):
            if not number >= 0:
                raise OptionError(f"detector-training: {name} must be at least 0, not {number}")
        self.steps, self.epochs, self.batch, self.rate = steps, epochs, batch, rate
        self.optimizer, self.schedule, self.warmup = optimizer, schedule, warmup
        self.weight_decay, self.clip_norm, self.flip = weight_decay, clip_norm, flip
        self.split, self.checkpoint_every = split, checkpoint_every

    def build_recipe(self, images: int, precision: str) -> Recipe:
        """Return what the core's loop needs, for that many training images."""
        from harness.learning.recipe import Recipe, steps_for

        batch = min(self.batch, images)
        steps = steps_for(images, batch, self.epochs, self.steps)
        more: dict[str, Any] = {}
        if self.schedule == "multistep":
            more = {"decay_t": [round(steps * 16 / 26), round(steps * 22 / 26)], "decay_rate": 0.1}
        return Recipe(
            steps=steps, batch=batch, rate=self.rate, optimizer=self.optimizer, schedule=self.schedule,
            schedule_options=more, warmup=self.warmup if self.warmup < 1 else 0.999, weight_decay=self.weight_decay,
            clip_norm=self.clip_norm or None, precision=precision,
            optimizer_options={"momentum": 0.9} if self.optimizer == "sgd" else {},
        )  # fmt: skip
