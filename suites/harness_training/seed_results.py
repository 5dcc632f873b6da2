"""The record of one trained seed: test metrics, training accuracy, curves and costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import Job, Predictions, Result
from harness.inference.evaluate import classification_result, measure_evidence
from harness.learning.costs import estimate_training_memory, measure_inference_rate, read_peak_memory
from harness.learning.recipe import Recipe
from harness.learning.training_progress import TrainingOutcome
from harness_networks.complexity import measure_complexity
from harness_training.cell_context import CellContext, Phase, TrainedSeed
from harness_training.image_sets import ImageSet
from harness_training.phases import build_phase_recipe
from harness_training.progress_measures import (
    build_evaluation_curve,
    build_training_curve,
    find_overfit_epoch,
    join_evaluation_curves,
    time_targets,
)

if TYPE_CHECKING:
    from harness.learning.recipe import Recipe
    from harness.learning.training_progress import TrainingOutcome


def build_result(
    cell: CellContext, job: Job, seed: TrainedSeed, rate: float, tuning_seconds: float
) -> Result:
    """Measure a trained network and return its record's content; a diverged one has no metrics."""
    notes, curves = dict(cell.notes), build_curves(cell, seed)
    if seed.diverged is not None:
        return Result({}, status="diverged", reason=str(seed.diverged), curves=curves, notes=notes)
    tested, measured = predict(cell, seed, cell.images.test), predict(cell, seed, cell.images.measured)
    # NaN tells what did not happen: a target that was never reached, no overfitting
    curve = join_evaluation_curves(list_phases(cell, seed), len(cell.images.train))
    times = {**time_targets(curve, cell.options.targets), "overfit_epoch": find_overfit_epoch(curve)}
    cost = {**measure_costs(cell, seed, tuning_seconds), **times}
    result = classification_result(job, tested, cost=cost, notes=notes, curves=curves)
    if result.status != "ok":
        return result
    own = read_choice(cell, seed, curve)
    train_top1, top1 = (float(np.mean(p.predicted == p.targets)) for p in (measured, tested))
    own |= {"gap": train_top1 - top1, "chosen_rate": rate}
    trained = measure_evidence(job, {"train": measured})
    evidence = {**result.evidence, "train": measured}
    return replace(result, metrics={**result.metrics, **trained, **own}, evidence=evidence)


def predict(cell: CellContext, seed: TrainedSeed, images: ImageSet) -> Predictions:
    """Return a network's predictions on images, in eval mode and without augmentation."""
    logits, labels = cell.score(seed.network, images)
    return Predictions(logits.numpy(), labels.numpy(), images.ids, cell.images.class_names)


def list_phases(cell: CellContext, seed: TrainedSeed) -> list[tuple[TrainingOutcome, Recipe]]:
    """Return what each phase of a training tells, with its recipe."""
    recipes = [build_phase_recipe(cell, Phase(m, m.rate, n)) for n, m in enumerate(cell.method.phases)]
    return list(zip(seed.outcomes, recipes, strict=False))  # a diverged training has fewer outcomes


def build_curves(cell: CellContext, seed: TrainedSeed) -> dict[str, dict[str, list[float]]]:
    """Return the curves `training` and `evaluation` of a training's first phase, and of later ones by number."""
    found: dict[str, dict[str, list[float]]] = {}
    for number, (outcome, recipe) in enumerate(list_phases(cell, seed)):
        mark = f"-{number + 1}" if number else ""
        found[f"training{mark}"] = build_training_curve(outcome)
        if outcome.values:
            found[f"evaluation{mark}"] = build_evaluation_curve(outcome, recipe, len(cell.images.train))
    return found


def read_choice(cell: CellContext, seed: TrainedSeed, curve: Mapping[str, list[float]]) -> dict[str, float]:
    """Return which weights count, what they get on the held-out images, and what the test images would have chosen."""
    found: dict[str, float] = {}
    last = seed.outcomes[-1]
    judged = last.values.get(last.best_step or last.steps, {})  # of the very weights that count
    if "accuracy" in judged:
        found["held_out_top1"] = judged["accuracy"]
    elif cell.images.held_out is not None:
        found["held_out_top1"] = cell.judge(seed.network, cell.images.held_out, "accuracy")["accuracy"]
    if len(seed.outcomes) == 1:
        recipe = build_phase_recipe(cell, Phase(cell.method, cell.method.rate, 0))
        found["best_epoch"] = (last.best_step or last.steps) / recipe.batches_per_epoch(
            len(cell.images.train)
        )
    if peeked := curve.get("test_accuracy"):
        found["peeked_top1"] = max(peeked)
    return found


def measure_costs(cell: CellContext, seed: TrainedSeed, tuning_seconds: float) -> dict[str, float]:
    """Return size, operations, time and memory of a training; times are a seed's share of those trained together."""
    size = measure_complexity(seed.network, cell.shape)
    steps, samples = sum(o.steps for o in seed.outcomes), len(cell.images.train)
    seconds = sum(sum(o.seconds) for o in seed.outcomes)
    first = build_phase_recipe(cell, Phase(cell.method, cell.method.rate, 0))
    per_step, per_epoch = seed.outcomes[0].seconds_per_step(), first.batches_per_epoch(samples)
    cost: dict[str, Any] = {
        "parameters": size.parameters,
        "trainable_parameters": size.trained,
        "macs": size.macs,
    }
    cost |= {
        "training_seconds": seconds,
        "tuning_seconds": tuning_seconds,
        "steps": steps,
        "epochs": steps / per_epoch,
    }
    if per_step is not None:
        cost["seconds_per_epoch"] = per_step * per_epoch
        cost["training_samples_per_second"] = samples / cost["seconds_per_epoch"]
    memory = estimate_training_memory(seed.network, max(o.optimizer_bytes for o in seed.outcomes))
    few = next(cell.images.test.iterate(min(len(cell.images.test), cell.job.batch_size)))[0]
    rate = measure_inference_rate(seed.network, cell.scale(few.float() / 255))
    return {**cost, **memory, **read_peak_memory(cell.job.device), "samples_per_second": rate}
