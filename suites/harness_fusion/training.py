"""Training a fusion head: class weights, AdamW, cosine, early stopping, best weights; and predicting."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import f1_score
from torch import nn

from harness import DataError, Diverged, OptionError, derive_seed
from harness_fusion.contracts import Pairs, Source
from harness_fusion.early_stopping import EarlyStopping
from harness_fusion.heads import Head

COLUMNS = ("epoch", "rate", "loss", "validation_loss", "weighted_f1")


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides head, data and seed.

    The cosine falls to 0 over `t_max` epochs or optimiser steps, as `cosine_over` says (all of them
    by default): over epochs, the rate changes once per epoch. `patience` epochs without a better
    weighted F1 on the validation part end it; None trains all epochs and keeps the best all the same.
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


@dataclass
class Trained:
    """What a training gave besides the head's new weights.

    `epochs` run, `best_epoch` whose weights are kept (from 1; 0 when nothing was trained), `curves`
    with a value per epoch for each of `COLUMNS`, `seconds` and `samples` (training samples seen) with
    those of the parts, `parts` that were trained before.
    """

    epochs: int = 0
    best_epoch: int = 0
    curves: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    seconds: float = 0.0
    samples: int = 0
    parts: dict[str, Trained] = field(default_factory=dict)


class Augmented:
    """Training data that are encoded anew for each epoch, from augmented images and texts.

    `encode(epoch)` gives the N pairs of an epoch (from 0), in the order of `targets`; the last epoch
    is kept.
    """

    def __init__(self, targets: torch.Tensor, encode: Callable[[int], Pairs]) -> None:
        self.targets, self.encode = targets, encode
        self._epoch, self._pairs = -1, None

    def __len__(self) -> int:
        return len(self.targets)

    def batch(self, epoch: int, rows: torch.Tensor) -> Pairs:
        """The pairs at these rows as they are in that epoch."""
        if self._pairs is None or epoch != self._epoch:
            self._epoch, self._pairs = epoch, self.encode(epoch)
        return self._pairs.take(rows)


def class_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """N/(C·n_c) for each class, float32 C; 1 for a class without a training sample."""
    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 1.0)


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    """All rows in a random order, in batches of nearly equal length, `size` at most.

    A last batch of one sample would undo the class weights, which a weighted mean divides by.
    """
    return iter(torch.randperm(count, generator=generator).tensor_split(math.ceil(count / size)))


def train_head(
    head: Head,
    train: Source,
    validation: Source | None,
    recipe: Recipe,
    seed: int,
    *,
    encoders: nn.Module | None = None,
    encoder_rate: float = 1e-5,
    tell: Callable[[int, Mapping[str, float]], None] = lambda epoch, values: None,
) -> Trained:
    """Trains in place and leaves the head in eval(), with the weights of the best validation epoch.

    A head's parts are trained first, each alone with the same recipe and seed, so they are what they
    would be as arms of their own. Without `validation` the last weights stay. For end-to-end training,
    what requires a gradient in `encoders` is trained along at its own rate (their train/eval mode is
    the caller's), and `train.batch` must run them; a head with parts trains them with its parts only.
    Raises Diverged when the loss is not finite, DataError for unlabelled or no training samples.
    """
    if not len(train):
        raise DataError("there are no training samples")
    if int(train.targets.min()) < 0:
        raise DataError("some training samples have no label; leave them out or predict them instead")
    began = time.perf_counter()
    trained = Trained()
    for name, part in head.parts.items():
        trained.parts[name] = train_head(
            part, train, validation, recipe, seed, encoders=encoders, encoder_rate=encoder_rate, tell=tell
        )
        trained.samples += trained.parts[name].samples
    head.observe(train.targets)
    in_parts = {id(p) for part in head.parts.values() for p in part.parameters()}
    groups = [{"params": [p for p in head.parameters() if id(p) not in in_parts], "lr": recipe.rate}]
    if encoders is not None and not in_parts:
        thawed = [p for p in encoders.parameters() if p.requires_grad]
        groups.append({"params": thawed, "lr": encoder_rate})
    groups = [group for group in groups if group["params"]]
    if groups:
        buffers = list(encoders.buffers()) if encoders is not None else []
        _descend(head, train, validation, recipe, seed, groups, buffers, trained, tell)
    head.eval()
    trained.seconds = time.perf_counter() - began
    return trained


def _descend(
    head: Head,
    train: Source,
    validation: Source | None,
    recipe: Recipe,
    seed: int,
    groups: list[dict[str, object]],
    buffers: list[torch.Tensor],
    trained: Trained,
    tell: Callable[[int, Mapping[str, float]], None],
) -> None:
    optimizer = torch.optim.AdamW(groups, weight_decay=recipe.weight_decay, fused=True)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    scheduler = _scheduler(optimizer, recipe, len(train))
    device = train.targets.device
    weight = None
    stopping, best = EarlyStopping(recipe.patience), None
    order = torch.Generator().manual_seed(derive_seed("order", seed))
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(derive_seed("dropout", seed))
        for epoch in range(recipe.epochs):
            _train_mode(head)
            rate, total = optimizer.param_groups[0]["lr"], torch.zeros((), device=device)
            for chosen in batches(len(train), recipe.batch, order):
                pairs = train.batch(epoch, chosen.to(device))
                scores = head(pairs.text, pairs.image)
                if weight is None and recipe.class_weights:
                    weight = class_weights(train.targets, scores.shape[1])
                loss = F.cross_entropy(scores, pairs.targets, weight=weight)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if recipe.cosine_over == "steps":
                    scheduler.step()
                total += loss.detach() * len(chosen)
            if recipe.cosine_over == "epochs":
                scheduler.step()
            mean = float(total) / len(train)
            if not math.isfinite(mean):
                raise Diverged(f"the loss is {mean} in epoch {epoch + 1} of {recipe.epochs}")
            values = {"epoch": epoch + 1.0, "rate": rate, "loss": mean}
            if validation is not None:
                values |= _judge(head, validation, weight)
                if stopping.update(values["weighted_f1"]):
                    best = [t.detach().clone() for t in (*parameters, *buffers)]
            for name in COLUMNS:
                trained.curves[name].append(values.get(name, math.nan))
            trained.epochs, trained.samples = epoch + 1, trained.samples + len(train)
            tell(epoch + 1, values)
            if validation is not None and stopping.stop:
                break
    trained.best_epoch = stopping.best_epoch or trained.epochs
    if best is not None:
        with torch.no_grad():
            for tensor, kept in zip((*parameters, *buffers), best, strict=True):
                tensor.copy_(kept)


def _scheduler(
    optimizer: torch.optim.Optimizer, recipe: Recipe, count: int
) -> torch.optim.lr_scheduler.LRScheduler:
    if recipe.schedule == "constant":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1.0)
    steps = recipe.epochs * (math.ceil(count / recipe.batch) if recipe.cosine_over == "steps" else 1)
    return torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=recipe.t_max or steps)


def _train_mode(head: Head) -> None:
    """Training mode, but for parts that are already trained: their dropout stays off."""
    head.train()
    for part in head.parts.values():
        part.eval()


def _judge(head: Head, validation: Source, weight: torch.Tensor | None) -> dict[str, float]:
    """Loss and weighted F1 on the validation part."""
    scores, targets = predict(head, validation), validation.targets.cpu()
    loss = F.cross_entropy(scores, targets, weight=None if weight is None else weight.cpu())
    f1 = f1_score(targets.numpy(), np.asarray(scores.argmax(1)), average="weighted", zero_division=0)
    return {"validation_loss": float(loss), "weighted_f1": float(f1)}


def predict(head: Head, source: Source, batch: int = 1024) -> torch.Tensor:
    """Scores N×C (float32, on the CPU) for all samples of a source; softmax gives the probabilities.

    A bound (the oracle) is shown the targets. Leaves the head in eval().
    """
    head.eval()
    found = []
    with torch.inference_mode():
        for rows in torch.arange(len(source), device=source.targets.device).split(batch):
            pairs = source.batch(0, rows)
            found.append(head.judged(pairs.text, pairs.image, pairs.targets).float().cpu())
    return torch.cat(found)
