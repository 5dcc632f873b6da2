"""The method `segmenter-training`: how a segmenter is trained before it is evaluated."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import OptionError
from harness_dense.contracts import LearnsToSegment
from harness_dense.training_splits import TrainsOnSplit

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe


class SegmenterTraining(TrainsOnSplit):
    """Trains a segmenter on the training split, with new predictors for its classes.

    The defaults are those of torchvision's reference: SGD at 0.01 with poly 0.9 over 30 epochs, shorter sides from
    half to twice 520 pixels, crops of 480. Of a corrupted data set, the clean one is learned.

    Args:
        steps: updates; by default from `epochs`.
        epochs: passes over the training images.
        batch: images per update.
        rate: the highest learning rate.
        optimizer: `sgd` with momentum 0.9, or `adamw`.
        schedule: how the rate falls after the warm-up: `poly` with power 0.9, `cosine`, `linear` or `constant`.
        warmup: share of the updates during which the rate rises linearly.
        weight_decay: decay of matrices and kernels, not of vectors.
        clip_norm: largest norm of the gradient; 0 for no limit.
        side: the shorter side that images are resized to; 0 leaves them as they are.
        scales: smallest and largest factor on that size, drawn for each image; by default 0.5 and 2.
        crop: side of the square that is cut out; 0 for none. What lies outside of the image does not count.
        flip: probability that an image is mirrored.
        balance: weights of classes: `none`, or `median frequency` as SegNet's.
        gaps: weight of background pixels where two objects touch, as U-Net's (10 there); 0 for none.
        gap_width: how fast it falls with the sum of the distances to the two nearest objects, in pixels.
        split: the split to train on; by default that for training.
        checkpoint_every: updates between checkpoints, from which a killed run resumes.
    """

    needs = (LearnsToSegment,)
    operational = ("checkpoint_every",)
    smallest: ClassVar = {"steps": 4, "batch": 4, "side": 0, "crop": 0, "checkpoint_every": 2}

    def __init__(
        self,
        steps: int | None = None,
        epochs: float = 30,
        batch: int = 16,
        rate: float = 0.01,
        optimizer: Literal["sgd", "adamw"] = "sgd",
        schedule: Literal["poly", "cosine", "linear", "constant"] = "poly",
        warmup: float = 0.0,
        weight_decay: float = 1e-4,
        clip_norm: float = 0.0,
        side: int = 520,
        scales: list[float] | None = None,
        crop: int = 480,
        flip: float = 0.5,
        balance: Literal["none", "median frequency"] = "none",
        gaps: float = 0.0,
        gap_width: float = 5.0,
        split: str | None = None,
        checkpoint_every: int = 200,
    ) -> None:
        counts = {"steps": steps, "batch": batch, "checkpoint_every": checkpoint_every}
        for name, value in counts.items():
            if value is not None and value < 1:
                raise OptionError(f"segmenter-training: {name} must be at least 1, not {value}")
        for name, number in (("epochs", epochs), ("rate", rate), ("gap_width", gap_width)):
            if not 0 < number < math.inf:
                raise OptionError(f"segmenter-training: {name} must be above 0 and finite, not {number}")
        numbers = {
            "clip_norm": clip_norm,
            "weight_decay": weight_decay,
            "side": side,
            "crop": crop,
            "gaps": gaps,
        }
        for name, number in numbers.items():
            if not number >= 0:
                raise OptionError(f"segmenter-training: {name} must be at least 0, not {number}")
        for name, share in (("flip", flip), ("warmup", warmup)):
            if not 0 <= share <= 1:
                raise OptionError(f"segmenter-training: {name} must be from 0 to 1, not {share}")
        self.scales = [0.5, 2.0] if scales is None else list(scales)
        if len(self.scales) != 2 or not 0 < self.scales[0] <= self.scales[1]:
            raise OptionError(
                f"segmenter-training: scales must be a smallest and a largest factor, not {scales}"
            )
        self.steps, self.epochs, self.batch, self.rate = steps, epochs, batch, rate
        self.optimizer, self.schedule, self.warmup = optimizer, schedule, warmup
        self.weight_decay, self.clip_norm = weight_decay, clip_norm
        self.side, self.crop, self.flip = side, crop, flip
        self.balance, self.gaps, self.gap_width = balance, gaps, gap_width
        self.split, self.checkpoint_every = split, checkpoint_every

    def build_recipe(self, images: int, precision: str) -> Recipe:
        """Return what the core's loop needs, for that many training images."""
        from harness.learning.recipe import Recipe, steps_for

        batch = min(self.batch, images)
        more: dict[str, Any] = {"power": 0.9} if self.schedule == "poly" else {}
        return Recipe(
            steps=steps_for(images, batch, self.epochs, self.steps, "even"), batch=batch, rate=self.rate,
            optimizer=self.optimizer, schedule=self.schedule, schedule_options=more,
            warmup=self.warmup if self.warmup < 1 else 0.999, weight_decay=self.weight_decay,
            clip_norm=self.clip_norm or None, precision=precision, last="even",
            optimizer_options={"momentum": 0.9} if self.optimizer == "sgd" else {},
        )  # fmt: skip
