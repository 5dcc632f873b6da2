"""Train a fusion head with the core's loop (its parts first), and predict with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import nn

from harness import DataError, OptionError
from harness.learning.draws import class_weights
from harness.learning.loop import train
from harness.learning.pipeline import Batch
from harness.learning.recipe import Recipe
from harness_fusion.contracts import FeatureBatches, iterate_pairs, read_first_pair
from harness_fusion.fusion_head import FusionHead

FEATURES_AT_ONCE = 1024
"""Batch size of prediction from features in memory."""

COLUMNS = ("epoch", "rate", "loss", "validation_loss", "weighted_f1")


@dataclass(frozen=True)
class HeadRecipe:
    """Settings of a training. Raises OptionError for values out of range.

    The cosine falls to 0 over `t_max` epochs or optimiser steps, as `cosine_over` says (by default all
    of them); over epochs, the rate changes once per epoch. Training stops after `patience` epochs
    without a better weighted F1 on validation; None trains all epochs, and still keeps the best.
    `class_weights` weights the loss by N/(C·n_c) of the training part. AdamW decays all tensors.
    """

    epochs: int = 5
    rate: float = 1e-4
    batch: int = 64
    weight_decay: float = 0.01
    schedule: Literal["cosine", "constant"] = "cosine"
    cosine_over: Literal["epochs", "steps"] = "epochs"
    t_max: int | None = None
    patience: int | None = 2
    class_weights: bool = True

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "t_max", "patience"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise OptionError(f"training: {name} must be at least 1, not {value}")
        if not self.rate > 0:
            raise OptionError(f"training: rate must be above 0, not {self.rate}")

    def for_samples(self, samples: int) -> Recipe:
        """Return the core's recipe for this number of training samples.

        Batches have nearly equal lengths: the weighted mean divides by the batch's weights, so class
        weights would cancel in a last batch of one sample.
        """
        recipe = Recipe(
            steps=0, batch=self.batch, rate=self.rate, schedule=self.schedule, period=self.t_max,
            schedule_by="epoch" if self.cosine_over == "epochs" else "step", weight_decay=self.weight_decay,
            decay_vectors=True, patience=self.patience, keep_best=True, last="even",
        )  # fmt: skip
        return replace(recipe, steps=self.epochs * recipe.batches_per_epoch(samples))


@dataclass
class TrainedHead:
    """The results of a training besides the head's new weights.

    `epochs` run, `best_epoch` whose weights are kept (from 1; 0 if nothing was trained), `curves` with
    a value per epoch for each of `COLUMNS`, `seconds` of updates and `samples` seen, both including
    the parts', and `parts`, the results of the parts trained before.
    """

    epochs: int = 0
    best_epoch: int = 0
    curves: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    seconds: float = 0.0
    samples: int = 0
    parts: dict[str, TrainedHead] = field(default_factory=dict)


def train_head(
    head: FusionHead,
    training: FeatureBatches,
    validation: FeatureBatches | None,
    recipe: HeadRecipe,
    seed: int,
    *,
    encoders: nn.Module | None = None,
    encoder_rate: float = 1e-5,
    folder: Path | None = None,
    tell: Callable[[int, Mapping[str, float]], None] = lambda epoch, values: None,
) -> TrainedHead:
    """Train in place and leave the head in eval(), with the weights of the best validation epoch.

    A head's parts are trained first, each alone with the same recipe and seed, so they equal the
    unimodal arms. Without `validation` the last weights stay. For end-to-end training, parameters of
    `encoders` that require a gradient are trained at `encoder_rate` (the caller sets their mode), and
    `training` must run the encoders; a head with parts trains them with its parts only. Progress is
    saved below `folder`, so that a killed training resumes with the same result.
    Raises Diverged if the loss is not finite, DataError for unlabelled or no training samples.
    """
    if not len(training):
        raise DataError("there are no training samples")
    if int(training.targets.min()) < 0:
        raise DataError("some training samples have no label; leave them out or predict them instead")
    found = TrainedHead()
    for name, part in head.parts.items():
        found.parts[name] = train_head(
            part, training, validation, recipe, seed, encoders=encoders, encoder_rate=encoder_rate,
            folder=folder and folder / name, tell=tell,
        )  # fmt: skip
        found.samples += found.parts[name].samples
        found.seconds += found.parts[name].seconds
    head.observe(training.targets)
    in_parts = {id(p) for part in head.parts.values() for p in part.parameters()}
    groups = [{"params": [p for p in head.parameters() if id(p) not in in_parts], "lr": recipe.rate}]
    if encoders is not None and not in_parts:
        groups.append({"params": [p for p in encoders.parameters() if p.requires_grad], "lr": encoder_rate})
    groups = [group for group in groups if group["params"]]
    if groups:
        _train_parameters(head, training, validation, recipe, seed, groups, encoders, found, folder, tell)
    head.eval()
    return found


def _train_parameters(
    head: FusionHead,
    training: FeatureBatches,
    validation: FeatureBatches | None,
    head_recipe: HeadRecipe,
    seed: int,
    groups: list[dict[str, Any]],
    encoders: nn.Module | None,
    found: TrainedHead,
    folder: Path | None,
    tell: Callable[[int, Mapping[str, float]], None],
) -> None:
    """Train the parameters of the groups, and write the curves into `found`."""
    count = len(training)
    recipe = head_recipe.for_samples(count)
    per_epoch = recipe.batches_per_epoch(count)
    parameters = [p for group in groups for p in group["params"]]
    state = {f"parameter {n}": p.detach() for n, p in enumerate(parameters)}
    if encoders is not None:
        state |= {f"buffer {n}": b for n, b in enumerate(encoders.buffers())}
    # images take more memory than features, so predict them in batches of training's size
    at_once = FEATURES_AT_ONCE if encoders is None else recipe.batch
    weight = (
        class_weights(training.targets, _count_classes(head, training)) if head_recipe.class_weights else None
    )
    sizes, losses = recipe.batch_sizes(count), dict[int, float]()

    def objective(batch: Batch, step: int) -> torch.Tensor:
        return F.cross_entropy(head(batch.data.text, batch.data.image), batch.data.targets, weight=weight)

    def report(step: int, values: dict[str, float]) -> None:
        if "loss" in values:
            losses[step] = values["loss"]
        if step % per_epoch == 0 and (validation is None or "score" in values):
            own = [
                (losses[s], n)
                for s, n in zip(range(step - per_epoch + 1, step + 1), sizes, strict=True)
                if s in losses
            ]
            mean = sum(loss * n for loss, n in own) / sum(n for _, n in own)
            tell(step // per_epoch, {"epoch": step / per_epoch, "loss": mean, **_select_columns(values)})

    trained = train(
        parameters, training, objective, recipe, seed,
        groups=groups, state=state, folder=folder, checkpoint_every=per_epoch,
        validate=None if validation is None else lambda: _validate(head, validation, weight, at_once),
        set_mode=lambda: _train_mode(head), report=report,
    )  # fmt: skip
    found.curves |= trained.epochs(count, recipe)
    judged = [trained.values.get(epoch * per_epoch, {}) for epoch in range(1, len(found.curves["epoch"]) + 1)]
    for name in ("validation_loss", "weighted_f1"):
        found.curves[name] = [values.get(name, math.nan) for values in judged]
    found.epochs = len(judged)
    found.best_epoch = trained.best_step // per_epoch or found.epochs
    found.samples += found.epochs * count
    found.seconds += sum(trained.seconds)


def _select_columns(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name in COLUMNS and name != "loss"}


@torch.no_grad()
def _count_classes(head: FusionHead, source: FeatureBatches) -> int:
    """Return the head's number of classes."""
    pair = read_first_pair(source)
    return int(head.eval()(pair.text, pair.image).shape[1])


def _train_mode(head: FusionHead) -> None:
    """Set training mode, except for parts that are already trained: their dropout stays off."""
    head.train()
    for part in head.parts.values():
        part.eval()


def _validate(
    head: FusionHead, validation: FeatureBatches, weight: torch.Tensor | None, batch: int
) -> dict[str, float]:
    """Return loss and weighted F1 on the validation part."""
    scores, targets = predict_with_head(head, validation, batch), validation.targets.cpu()
    loss = F.cross_entropy(scores, targets, weight=None if weight is None else weight.cpu())
    f1 = f1_score(targets.numpy(), np.asarray(scores.argmax(1)), average="weighted", zero_division=0)
    return {"score": float(f1), "validation_loss": float(loss), "weighted_f1": float(f1)}


def predict_with_head(
    head: FusionHead, source: FeatureBatches, batch: int = FEATURES_AT_ONCE
) -> torch.Tensor:
    """Return scores N×C (float32, on the CPU) of all samples; their softmax is the probabilities.

    A bound (the oracle) sees the targets. Leaves the head in eval().
    """
    head.eval()
    found = []
    with torch.inference_mode():
        for pairs in iterate_pairs(source, batch):
            found.append(head.score_with_targets(pairs.text, pairs.image, pairs.targets).float().cpu())
    return torch.cat(found)
