"""What the progress of a training tells: its curves, and when it reached a target or began to overfit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness_training.overfit_point import find_overfit_point

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe
    from harness.learning.training_progress import TrainingOutcome

Columns = dict[str, list[float]]

MOST_POINTS = 300
"""Losses of single steps are thinned to about this many."""


def build_evaluation_curve(outcome: TrainingOutcome, recipe: Recipe, samples: int) -> Columns:
    """Return a column per quantity and a row per evaluation on held-out images.

    `step`, `epoch`, `images` (seen so far), `seconds` (of training alone, a seed's share if several
    trained at once), `train_loss` (mean since the last evaluation, as trained: augmented, with dropout), and
    what evaluations returned (`loss`, `accuracy`, maybe `test_accuracy`).
    """
    steps = sorted(outcome.values)
    found: Columns = {name: [] for name in ("step", "epoch", "images", "seconds", "train_loss")}
    last = 0
    for step in steps:
        for name, value in measure_extent(outcome, recipe, samples, step).items():
            found[name].append(value)
        found["train_loss"].append(float(np.mean(outcome.losses[last:step])))
        last = step
    for name in dict.fromkeys(key for values in outcome.values.values() for key in values if key != "score"):
        found[name] = [outcome.values[step].get(name, math.nan) for step in steps]
    return found


def measure_extent(outcome: TrainingOutcome, recipe: Recipe, samples: int, steps: int) -> dict[str, float]:
    """Return the steps, epochs, images and seconds of a training's first steps."""
    sizes = recipe.batch_sizes(samples)
    epochs, rest = divmod(steps, len(sizes))
    return {
        "step": float(steps),
        "epoch": steps / len(sizes),
        "images": float(epochs * sum(sizes) + sum(sizes[:rest])),
        "seconds": sum(outcome.seconds[:steps]),
    }


def join_evaluation_curves(phases: Sequence[tuple[TrainingOutcome, Recipe]], samples: int) -> Columns:
    """Return the evaluations of trainings one after the other as one curve, whose progress goes on."""
    found: Columns = {}
    start: dict[str, float] = {}
    for outcome, recipe in phases:
        for name, column in build_evaluation_curve(outcome, recipe, samples).items():
            found.setdefault(name, []).extend(value + start.get(name, 0.0) for value in column)
        extent = measure_extent(outcome, recipe, samples, outcome.steps)
        start = {name: start.get(name, 0.0) + value for name, value in extent.items()}
    return found


def build_training_curve(outcome: TrainingOutcome) -> Columns:
    """Return steps, losses and rates, thinned to a few hundred."""
    kept = range(0, len(outcome.losses), max(1, len(outcome.losses) // MOST_POINTS))
    return {
        "step": [float(i + 1) for i in kept],
        "loss": [outcome.losses[i] for i in kept],
        "rate": [outcome.rates[i] for i in kept],
    }


def time_targets(curve: Mapping[str, Sequence[float]], targets: Sequence[float]) -> dict[str, float]:
    """Return epochs, images and seconds to the first evaluation of each held-out accuracy; NaN if never reached."""
    found = {}
    for target in targets:
        reached = [n for n, accuracy in enumerate(curve.get("accuracy", ())) if accuracy >= target]
        for name, column in (("epochs", "epoch"), ("images", "images"), ("seconds", "seconds")):
            found[f"{name}_to.{target:g}"] = curve[column][reached[0]] if reached else math.nan
    return found


def find_overfit_epoch(curve: Mapping[str, Sequence[float]]) -> float:
    """Return the epoch from which the held-out loss rises while the training loss falls; NaN if there is none."""
    if not curve.get("loss"):
        return math.nan
    point = find_overfit_point(curve["loss"], curve["train_loss"])
    return math.nan if point is None else float(curve["epoch"][point])
