"""Layer-wise training: stage after stage, each under a linear head of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from harness import derive_seed
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_context import CellContext, Phase
from harness_training.single_training import list_trainable, train_alone, train_only, unfreeze


def train_greedily(
    cell: CellContext, phase: Phase, recipe: Recipe, network: nn.Module, seed: int, folder: Path, number: int
) -> TrainingOutcome:
    """Train stage after stage, each under an auxiliary linear head, then the network's own head.

    The steps are divided evenly over stages that are not frozen. Earlier stages stay as they are,
    normalisation included (Bengio et al., NeurIPS 2006, for supervised stages). Returns the last part's
    outcome, with the steps and times of all.
    """
    stages: list[nn.Module] = cell.job.model.stages(network)
    takes = [n for n, stage in enumerate(stages) if list_trainable(stage)]
    trainable = list_trainable(network)
    steps = max(1, recipe.steps // (len(takes) + 1))
    done: list[TrainingOutcome] = []
    for place in takes:
        unfreeze(trainable)
        trunk = nn.Sequential(*stages[: place + 1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("auxiliary head", seed, place))
            head = _build_auxiliary_head(trunk, cell)
        whole = nn.Sequential(trunk, head)
        set_mode = train_only(whole, [stages[place], head])
        part = shorten_recipe(recipe, steps)
        done.append(train_alone(cell, phase, part, whole, seed, folder / f"stage-{place}", number, set_mode))
    stage_parts = {id(p) for stage in stages for p in stage.parameters()}
    modules = [
        m for m in network.modules() if any(id(p) not in stage_parts for p in m.parameters(recurse=False))
    ]
    unfreeze(trainable)
    if modules:
        last = shorten_recipe(recipe, max(1, recipe.steps - steps * len(takes)))
        set_mode = train_only(network, modules)
        done.append(train_alone(cell, phase, last, network, seed, folder / "head", number, set_mode))
    unfreeze(trainable)
    return join_outcomes(done)


def shorten_recipe(recipe: Recipe, steps: int) -> Recipe:
    """Return a recipe of so many steps, evaluated at its end at the latest."""
    return replace(recipe, steps=steps, evaluate_every=min(recipe.evaluate_every, steps))


def _build_auxiliary_head(trunk: nn.Module, cell: CellContext) -> nn.Module:
    """Return average pooling and a linear classifier on the output of a trunk."""
    trunk.eval()
    with torch.no_grad():
        out = trunk(torch.zeros(1, *cell.shape, device=cell.job.device))
    pool = [nn.AdaptiveAvgPool2d(1)] if out.ndim == 4 else []
    return nn.Sequential(*pool, nn.Flatten(), nn.Linear(out.shape[1], cell.images.classes)).to(
        cell.job.device
    )


def join_outcomes(outcomes: Sequence[TrainingOutcome]) -> TrainingOutcome:
    """Return trainings one after the other as one; the best step is that of the last, if it restored one."""
    joined = TrainingOutcome()
    for outcome in outcomes:
        joined.values |= {joined.steps + step: values for step, values in outcome.values.items()}
        joined.best_step = joined.steps + outcome.best_step if outcome.best_step else 0
        joined.losses += outcome.losses
        joined.rates += outcome.rates
        joined.seconds += outcome.seconds
        joined.steps += outcome.steps
        joined.optimizer_bytes = max(joined.optimizer_bytes, outcome.optimizer_bytes)
    return joined
