"""The training of a cell's seeds at once, and whether that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from harness.errors import Diverged
from harness.learning.recipe import Recipe
from harness.learning.stacked import can_stack, train_stacked
from harness.learning.stacked_forward import StackedNetworks
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_context import CellContext, Phase
from harness_training.image_sets import ImageSet
from harness_training.seed_training import SeedObjective, evaluate_seeds, judge_logits, score_images

TRIED = 4
"""Images on which networks are tried out together."""


def explain_alone(cell: CellContext, recipes: Sequence[Recipe], networks: Sequence[nn.Module]) -> str | None:
    """Return why seeds of a cell can't train at once by the recipes of all phases, or None if they can."""
    if any(method.greedy or method.train == "head" for method in cell.method.phases):
        return "the recipe trains a part of the network"
    if cell.images.train.held is None:
        return "the images are not held in memory"
    few = cell.scale(next(cell.images.measured.iterate(TRIED))[0].float() / 255)
    return next((why for recipe in recipes if (why := can_stack(networks, recipe, few))), None)


def train_together(
    cell: CellContext,
    phase: Phase,
    recipe: Recipe,
    networks: Sequence[nn.Module],
    seeds: Sequence[int],
    folders: Sequence[Path],
    numbers: Sequence[int],
) -> list[TrainingOutcome | Diverged]:
    """Train networks at once, in place, each for the cell's job of its number.

    Return what each training tells, or why it diverged.
    """
    objective = SeedObjective(phase.method, recipe, cell.images, cell.scale, cell.options.size, seeds)
    source = cell.images.train.make_source(seeds[0])

    peek = cell.options.peek

    def validate(stack: StackedNetworks, slices: list[int]) -> list[dict[str, float]]:
        return evaluate_seeds(cell.images, peek, phase.method.judge, partial(_judge, cell, stack))

    def report(number: int, step: int, values: dict[str, float]) -> None:
        if step % 10 == 0:
            cell.jobs[numbers[number]].report("training", step, values)

    def advance(done: int, total: int) -> None:
        for job in cell.jobs:
            job.advance(done, total)

    evaluates = cell.images.needs_evaluation(peek)
    return train_stacked(
        networks, [source] * len(networks), objective, recipe, seeds,
        folders=folders, checkpoint_every=cell.options.checkpoint_every,
        decides=[cell.describe_decisions(phase)] * len(networks),
        validate=validate if evaluates else None, report=report, advance=advance,
    )  # fmt: skip


def _judge(cell: CellContext, stack: StackedNetworks, images: ImageSet, judge: str) -> list[dict[str, float]]:
    logits, labels = score_images(stack.forward, images, cell.scale, len(stack), cell.job.precision)
    return judge_logits(logits, labels, judge)
