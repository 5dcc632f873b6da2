"""The training of one network of a cell, and which of its parts it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.learning.augmentation_names import read_augmentation_step
from harness.learning.loop import train
from harness.learning.pipeline import Batch
from harness.learning.recipe import Recipe
from harness.learning.stacked import StackedBatch
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_context import CellContext, Phase
from harness_training.cell_images import CellImages
from harness_training.image_sets import ImageSet
from harness_training.recipes import TrainingRecipe
from harness_training.seed_training import SeedObjective, evaluate_seeds, is_crop


def train_alone(
    cell: CellContext,
    phase: Phase,
    recipe: Recipe,
    network: nn.Module,
    seed: int,
    folder: Path,
    number: int,
    set_mode: Callable[[], object] | None = None,
) -> TrainingOutcome:
    """Train one network in place, for the cell's job of that number. Raises Diverged if its loss is not finite."""
    images, method, job = cell.images, phase.method, cell.jobs[number]
    objective = SeedObjective(method, recipe, images, cell.scale, cell.options.size, [seed])
    return train(
        network, images.train.make_source(seed, find_read_crop(method, images)), build_loss_of(network, objective),
        recipe, seed,
        folder=folder, checkpoint_every=cell.options.checkpoint_every, decides=cell.describe_decisions(phase),
        validate=_build_validation(cell, method, network), set_mode=set_mode,
        report=lambda step, values: job.report("training", step, values) if step % 10 == 0 else None,
        advance=job.advance,
    )  # fmt: skip


def find_read_crop(method: TrainingRecipe, images: CellImages) -> dict[str, Any] | None:
    """Return the options of the random crop that is taken when images are read, at their full resolution."""
    crops = [step for step in method.augmentation if is_crop(step)]
    return read_augmentation_step(crops[0])[1] if crops and images.train.held is None else None


def build_loss_of(network: nn.Module, objective: SeedObjective) -> Callable[[Batch, int], torch.Tensor]:
    """Return the loss of one network on batches without an axis of seeds."""

    def compute_loss(batch: Batch, step: int) -> torch.Tensor:
        assert batch.targets is not None
        rows, data, targets = batch.rows[None], batch.data[None], batch.targets[None]
        own = StackedBatch(batch.step, batch.epoch, rows, data, targets, [0], [])
        return objective(lambda x: network(x[0])[None], own, step)[0]

    return compute_loss


def _build_validation(
    cell: CellContext, method: TrainingRecipe, network: nn.Module
) -> Callable[[], dict[str, float]] | None:
    """Return what an evaluation of one network computes; None if there is nothing to evaluate on."""
    peek = cell.options.peek
    if not cell.images.needs_evaluation(peek):
        return None

    def score(images: ImageSet, judge: str) -> list[dict[str, float]]:
        return [cell.judge(network, images, judge)]

    return lambda: evaluate_seeds(cell.images, peek, method.judge, score)[0]


def train_only(network: nn.Module, parts: Sequence[nn.Module]) -> Callable[[], object]:
    """Freeze a network but for what is trainable of some parts; return what sets those alone to train mode."""
    trained = {id(p) for part in parts for p in part.parameters() if p.requires_grad}
    for parameter in network.parameters():
        parameter.requires_grad_(id(parameter) in trained)

    def set_mode() -> None:
        network.eval()
        for part in parts:
            part.train()

    return set_mode


def list_trainable(network: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [p for p in network.parameters() if p.requires_grad]


def unfreeze(parameters: Sequence[nn.Parameter]) -> None:
    """Make parameters trainable again, after a training of a part of the network."""
    for parameter in parameters:
        parameter.requires_grad_(True)
