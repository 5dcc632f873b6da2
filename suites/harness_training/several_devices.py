"""One training over several devices: a process each, which share every batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from harness.learning.distributed import evaluate_in_shares, train_distributed
from harness.learning.draws import Rows
from harness.learning.processes import Rank, run_distributed
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_context import CellContext, Phase
from harness_training.cell_images import CellImages
from harness_training.image_sets import ImageSet, InputScale
from harness_training.recipes import TrainingRecipe
from harness_training.seed_training import SeedObjective, evaluate_seeds, judge_logits, score_images
from harness_training.single_training import build_loss_of, find_read_crop


@dataclass
class SharedTraining:
    """Everything that a process needs to take part in a training; it can be pickled."""

    network: nn.Module
    method: TrainingRecipe
    recipe: Recipe
    images: CellImages
    scale: InputScale
    size: int
    seed: int
    folder: Path
    checkpoint_every: int
    decides: list[Any]
    peek: bool


def train_on_devices(
    cell: CellContext, phase: Phase, recipe: Recipe, network: nn.Module, seed: int, folder: Path
) -> TrainingOutcome:
    """Train a network in place on the devices that the options ask for.

    Augmentation, dropout and the order of images are those of one device. Mixing pairs the images of each
    process, so its draws are other ones, which is remarked. Raises Diverged as one process does.
    """
    options = cell.options
    if recipe.mixup or recipe.cutmix:
        cell.remark(f"images are mixed within each of {options.devices} processes")
    images = cell.images.to_process(torch.device("cpu"))
    shared = SharedTraining(
        network.cpu(), phase.method, recipe, images, cell.scale, options.size, seed, folder, options.checkpoint_every,
        cell.describe_decisions(phase), options.peek,
    )  # fmt: skip
    outcome, weights = run_distributed(options.devices, train_on_rank, shared, device=cell.job.device.type)
    network.load_state_dict(weights)
    network.to(cell.job.device).eval()
    done: TrainingOutcome = outcome
    return done


def train_on_rank(rank: Rank, shared: SharedTraining) -> tuple[TrainingOutcome, dict[str, torch.Tensor]]:
    """Take part in a training as one process; return the outcome and the weights."""
    images, network = shared.images.to_process(rank.device), shared.network.to(rank.device)
    objective = SeedObjective(shared.method, shared.recipe, images, shared.scale, shared.size, [shared.seed])

    def evaluate(part: ImageSet, rows: Rows) -> torch.Tensor:
        own, precision = part.part(rows), shared.recipe.precision
        logits, _ = score_images(lambda x: network(x[0])[None], own, shared.scale, 1, precision)
        return logits[0]

    def score(part: ImageSet, judge: str) -> list[dict[str, float]]:
        logits = evaluate_in_shares(rank, len(part), partial(evaluate, part))
        return judge_logits(logits[None], part.targets.cpu(), judge)

    def validate() -> dict[str, float]:
        return evaluate_seeds(images, shared.peek, shared.method.judge, score)[0]

    evaluates = images.needs_evaluation(shared.peek)
    outcome = train_distributed(
        rank, network, images.train.make_source(shared.seed, find_read_crop(shared.method, images)),
        build_loss_of(network, objective), shared.recipe, shared.seed, folder=shared.folder,
        checkpoint_every=shared.checkpoint_every, decides=shared.decides, validate=validate if evaluates else None,
    )  # fmt: skip
    return outcome, {name: tensor.cpu() for name, tensor in network.state_dict().items()}
