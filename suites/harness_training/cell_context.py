"""What all steps of a cell's training share: its jobs, options, images, and the judging of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from harness import DataError, Job, OptionError
from harness.errors import Diverged
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_images import load_cell_images
from harness_training.image_sets import ImageSet, InputScale
from harness_training.recipe_remarks import describe_crops, describe_shortfalls
from harness_training.recipes import TrainingRecipe
from harness_training.seed_training import judge_logits, score_images
from harness_training.training_options import TrainingOptions


@dataclass(frozen=True)
class Phase:
    """A recipe with its learning rate, and its place among those of the cell."""

    method: TrainingRecipe
    rate: float
    number: int


@dataclass
class TrainedSeed:
    """A network after its training: what each phase tells, or why it diverged."""

    network: nn.Module
    outcomes: list[TrainingOutcome]
    diverged: Diverged | None = None


class CellContext:
    """The facts of cells that differ only in their seed and run as one.

    Raises DataError for images that the network can't take, and for data that can't be trained on.
    """

    def __init__(self, options: TrainingOptions, jobs: Sequence[Job]) -> None:
        self.options, self.jobs, self.job = options, list(jobs), jobs[0]
        self.method: TrainingRecipe = self.job.method
        self.images = self.job.shared(
            ("training images", options.data_options, self.job.cell.axes.get("images", "all")),
            lambda: load_cell_images(options, self.job),
            of="dataset",
        )
        self.stacks = False
        """Whether the seeds train at once."""
        self.shape = (options.channels, options.size, options.size)
        model, label = self.job.model, self.job.cell.dataset.label
        if hasattr(model, "fits") and (unfit := model.fits(self.shape, self.images.classes)):
            raise DataError(f"{label}: {unfit}")
        self.scale = self.images.scale
        if options.scale == "model":
            mean, deviation = getattr(model, "mean", None), getattr(model, "std", None)
            if mean is None or deviation is None:
                raise OptionError(
                    "scale = 'model' needs networks that state mean and std, such as timm-network"
                )
            self.scale = InputScale("model", own=(mean, deviation))
        self.notes: dict[str, Any] = {
            "chosen_on": self.images.chosen_on, "training_images": len(self.images.train), "classes": self.images.classes,
        }  # fmt: skip
        for job in self.jobs:
            for text in self.images.remarks:
                job.remark(text)
        self._remark_on_recipes()

    def _remark_on_recipes(self) -> None:
        """Remark what is not as the recipe, or one that continues it, means it to be."""
        method: TrainingRecipe | None = self.method
        count, options = len(self.images.train), self.options
        while method is not None:
            if method.batch > count:
                told = f"all {count} training images" if count > 1 else "the only training image"
                self.remark(f"the batch of {method.batch} is {told}")
            recipe = method.build_recipe(count, options.choose_epochs(method.epochs), options.steps)
            texts = [*describe_shortfalls(recipe, count), *describe_crops(method, self.images, options.size)]
            for text in texts:
                self.remark(text)
            method = method.then

    def describe_decisions(self, phase: Phase) -> list[Any]:
        """Return what decides a phase's training beside its recipe and seed, for its checkpoints."""
        cell = self.job.cell
        parts = (cell.model, cell.dataset, cell.method, cell.protocol)
        identities = [part.identity for part in parts if part is not None]
        return [phase.number, cell.limit, dict(cell.axes), *identities]

    def judge(self, network: nn.Module, images: ImageSet, judge: str) -> dict[str, float]:
        """Return a network's accuracy, loss and score on images."""
        logits, labels = self.score(network, images)
        return judge_logits(logits[None], labels, judge)[0]

    def score(self, network: nn.Module, images: ImageSet) -> tuple[torch.Tensor, torch.Tensor]:
        """Return logits N×classes of a network in eval mode, and labels N."""
        network.eval()
        logits, labels = score_images(
            lambda x: network(x[0])[None], images, self.scale, 1, self.job.precision
        )
        return logits[0], labels

    def remark(self, text: str) -> None:
        """Add a remark on the recipe to all jobs."""
        for job in self.jobs:
            job.remark(f"{job.cell.method.label if job.cell.method else ''}: {text}")
