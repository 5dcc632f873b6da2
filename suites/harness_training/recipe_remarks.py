"""What a recipe can't do in a training as short as this one, in words for the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from harness.learning.optimizers import count_warm_up
from harness_training.seed_training import is_crop

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe
    from harness_training.cell_images import CellImages
    from harness_training.recipes import TrainingRecipe

MOST_LEFT = 0.05
"""Share of the initial weights in averaged ones from which it is remarked."""


def describe_shortfalls(recipe: Recipe, samples: int) -> list[str]:
    """Return remarks on an average, a warm-up and steps of the rate that are too slow for the training."""
    per_epoch, by_epoch = recipe.batches_per_epoch(samples), recipe.schedule_by == "epoch"
    total = -(-recipe.steps // per_epoch) if by_epoch else recipe.steps
    unit, found = "epoch" if by_epoch else "step", []
    if recipe.ema and recipe.ema_warmup is None and (left := recipe.ema**recipe.steps) > MOST_LEFT:
        found.append(
            f"ema = {recipe.ema:g} is slow for {_count(recipe.steps, 'step')}: {left:.0%} of the averaged weights "
            "are still the initial ones"
        )
    warm = 0 if recipe.schedule == "one-cycle" else count_warm_up(recipe, total)
    if warm >= total:
        found.append(
            f"the warm-up of {_count(warm, unit)} outlasts the training of {total}: the rate is never reached"
        )
        return found
    if recipe.schedule == "multistep" and not recipe.schedule_options.get("decay_t"):
        found.append("schedule 'multistep' without decay_t never lowers the rate")
    first = _find_first_cut(recipe.schedule, recipe.schedule_options)
    if first is not None and warm + first >= total:
        found.append(
            f"the training of {_count(total, unit)} ends before the first step of the rate, after {warm + first:g}"
        )
    return found


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def _find_first_cut(schedule: str, options: Mapping[str, object]) -> float | None:
    """Return when a schedule in steps first cuts the rate, counted from the warm-up's end; None for others."""
    at = options.get("decay_t", 30 if schedule == "step" else [])
    if schedule == "step" and isinstance(at, int | float):
        return float(at)
    if schedule == "multistep" and isinstance(at, list | tuple) and at:
        return float(min(at))
    return None


def describe_crops(method: TrainingRecipe, images: CellImages, size: int) -> list[str]:
    """Return a remark if random crops are taken from images that have already been made small."""
    if images.train.held is None or not any(map(is_crop, method.augmentation)):
        return []
    return [
        f"random crops are of the held images of {size}×{size} pixels; hold = 'no' takes them of the files'"
    ]
