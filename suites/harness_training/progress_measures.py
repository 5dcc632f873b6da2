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
    sizes, steps = recipe.batch_sizes(samples), sorted(outcome.values)
    seconds = np.cumsum([0.0, *outcome.seconds])
    found: Columns = {name: [] for name in ("step", "epoch", "images", "seconds", "train_loss")}
    last = 0
    for step in steps:
        epochs, rest = divmod(step, len(sizes))
        found["step"].append(float(step))
        found["epoch"].append(step / len(sizes))
        found["images"].append(float(epochs * sum(sizes) + sum(sizes[:rest])))
        found["seconds"].append(float(seconds[min(step, len(seconds) - 1)]))
        found["train_loss"].append(float(np.mean(outcome.losses[last:step])))
        last = step
    for name in dict.fromkeys(key for values in outcome.values.values() for key in values if key != "score"):
        found[name] = [outcome.values[step].get(name, math.nan) for step in steps]
    return found


def join_evaluation_curves(phases: Sequence[tuple[TrainingOutcome, Recipe]], samples: int) -> Columns:
    """Return the evaluation curves of trainings one after the other as one, whose progress goes on."""
    whole: Columns = {}
    before = dict.fromkeys(("step", "epoch", "images", "seconds"), 0.0)
    for outcome, recipe in phases:
        for name, values in build_evaluation_curve(outcome, recipe, samples).items():
            whole.setdefault(name, []).extend(value + before.get(name, 0.0) for value in values)
        sizes = recipe.batch_sizes(samples)
        epochs, rest = divmod(outcome.steps, len(sizes))
        before["step"] += outcome.steps
        before["epoch"] += outcome.steps / len(sizes)
        before["images"] += epochs * sum(sizes) + sum(sizes[:rest])
        before["seconds"] += sum(outcome.seconds)
    return whole


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
