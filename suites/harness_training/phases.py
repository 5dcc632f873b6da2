"""One phase of a training: the networks of several seeds by one recipe, together or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from torch import nn

from harness import DataError, OptionError
from harness.errors import Diverged
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_training.cell_context import CellContext, Phase
from harness_training.greedy import train_greedily
from harness_training.recipes import TrainingRecipe
from harness_training.several_devices import train_on_devices
from harness_training.single_training import train_alone, train_only
from harness_training.together import train_together

NORM_OF_ONE = "Expected more than 1 value per channel"
"""How torch begins what it says of batch norm over a single value."""


def build_phase_recipe(cell: CellContext, phase: Phase) -> Recipe:
    """Return what decides a phase besides network, data and seed.

    Without held-out images nothing is evaluated or chosen: the last weights count.
    """
    options, method, samples = cell.options, phase.method, len(cell.images.train)
    made = method.build_recipe(
        samples, options.choose_epochs(method.epochs), options.steps, evaluate_epochs=options.evaluate_epochs, rate=phase.rate,
        precision=cell.job.precision,
    )  # fmt: skip
    if cell.images.held_out is None:
        made = replace(made, patience=None, keep_best=False)
    return made


def train_phase(
    cell: CellContext,
    phase: Phase,
    networks: Sequence[nn.Module],
    seeds: Sequence[int],
    folders: Sequence[Path],
    numbers: Sequence[int],
) -> list[TrainingOutcome | Diverged]:
    """Train networks in place, each for the cell's job of its number; return what each tells, or why it diverged.

    Raises DataError if batch norm has a batch of a single value.
    """
    recipe = build_phase_recipe(cell, phase)
    with _explain_norms(recipe, len(cell.images.train)):
        return _train_by(cell, phase, recipe, networks, seeds, folders, numbers)


def _train_by(
    cell: CellContext,
    phase: Phase,
    recipe: Recipe,
    networks: Sequence[nn.Module],
    seeds: Sequence[int],
    folders: Sequence[Path],
    numbers: Sequence[int],
) -> list[TrainingOutcome | Diverged]:
    if cell.stacks and len(networks) > 1:
        return train_together(cell, phase, recipe, networks, seeds, folders, numbers)
    found: list[TrainingOutcome | Diverged] = []
    for network, seed, folder, number in zip(networks, seeds, folders, numbers, strict=True):
        try:
            if phase.method.greedy:
                found.append(train_greedily(cell, phase, recipe, network, seed, folder, number))
            elif cell.options.devices > 1:
                found.append(train_on_devices(cell, phase, recipe, network, seed, folder))
            else:
                set_mode = _freeze_all_but_head(cell, phase.method, network)
                found.append(train_alone(cell, phase, recipe, network, seed, folder, number, set_mode))
        except Diverged as error:
            found.append(error)
    return found


@contextmanager
def _explain_norms(recipe: Recipe, samples: int) -> Iterator[None]:
    """Raise DataError in place of what torch says of batch norm over a single value."""
    try:
        yield
    except ValueError as error:
        if NORM_OF_ONE not in str(error):
            raise
        raise DataError(describe_batch_of_one(recipe, samples)) from error


def describe_batch_of_one(recipe: Recipe, samples: int) -> str:
    """Return why batch norm has too few values in a batch, and what helps."""
    least = min(recipe.batch_sizes(samples))
    ways = (
        "choose another batch, or last = 'even' or 'drop'"
        if least < recipe.batch
        else "choose a larger batch"
    )
    return (
        f"batch norm needs more than one value per channel, but the smallest of the batches of {samples} training "
        f"images has {least}: {ways}"
    )


def _freeze_all_but_head(
    cell: CellContext, method: TrainingRecipe, network: nn.Module
) -> Callable[[], object] | None:
    """Freeze a network but its head if the recipe trains that alone; return what sets the modes."""
    if method.train == "all":
        return None
    classes = cell.images.classes
    heads = [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == classes]
    if not heads:
        raise OptionError(
            f"recipe: train = 'head' needs a linear layer with {classes} outputs; the network has none"
        )
    return train_only(network, heads[-1:])
