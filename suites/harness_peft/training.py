"""The training loop: optimiser, schedule, checks, checkpoints; a killed run goes on to the same end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import nn

from harness import Diverged, derive_seed
from harness.inference.batches import autocast
from harness_peft.checkpoints import Progress, adapter_state, read_progress, write_progress
from harness_peft.checks import GradientCheck, trained
from harness_peft.data import Batches, epoch_order

Schedule = Literal["cosine", "linear", "constant"]


@dataclass(frozen=True)
class Recipe:
    """What decides a training besides network, data and seed. `steps` counts updates."""

    steps: int
    batch: int = 32
    rate: float = 1e-3
    optimizer: Literal["adamw", "sgd"] = "adamw"
    schedule: Schedule = "cosine"
    warmup: float = 0.1
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = 1.0
    patience: int | None = None
    evaluate_every: int = 0
    precision: str = "float32"


@dataclass
class Trained:
    """What a training gave besides the network's new weights."""

    steps: int
    losses: list[float]
    step_seconds: list[float]
    optimizer_bytes: int = 0
    scores: dict[int, float] = field(default_factory=dict)


def rate_at(step: int, recipe: Recipe) -> float:
    """The learning rate of a step from 0: linear warm-up, then the schedule down to 0 (or constant)."""
    warm = round(recipe.warmup * recipe.steps)
    if step < warm:
        return recipe.rate * (step + 1) / (warm + 1)
    along = (step - warm) / max(recipe.steps - warm, 1)
    if recipe.schedule == "cosine":
        return recipe.rate * 0.5 * (1 + math.cos(math.pi * along))
    return recipe.rate * (1 - along if recipe.schedule == "linear" else 1)


def optimizer_for(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """An optimiser over exactly the trainable tensors; no weight decay on vectors."""
    groups = [
        {"params": chosen, "weight_decay": decay}
        for decay, chosen in (
            (recipe.weight_decay, [p for p in network.parameters() if p.requires_grad and p.ndim > 1]),
            (0.0, [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]),
        )
        if chosen
    ]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.rate, momentum=0.9)
    fused = all(p.device.type in ("cpu", "cuda") for p in network.parameters())
    return torch.optim.AdamW(groups, lr=recipe.rate, fused=fused)


def set_mode(network: nn.Module, base: Collection[nn.Module]) -> None:
    """Training mode for what is added and for what trains as a whole; the frozen rest stays in eval().

    `base` holds the modules that were there before the method: `train()` on all would bring dropout
    back and move batch norm's statistics in frozen parts. Those statistics move only when the whole
    network trains.
    """
    if all(p.requires_grad for p in network.parameters()):
        network.train()
        return
    network.eval()
    for module in network.modules():
        parameters = list(module.parameters())
        if module not in base:
            module.training = True
        elif parameters and all(p.requires_grad for p in parameters):
            module.train()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def train(
    network: nn.Module,
    data: Batches,
    recipe: Recipe,
    seed: int,
    *,
    base: Collection[nn.Module],
    validate: Callable[[], float] | None = None,
    folder: Path | None = None,
    checkpoint_every: int = 200,
    tell: Callable[[int, dict[str, float]], None] = lambda step, values: None,
) -> Trained:
    """Trains in place and leaves the network in eval() (with the best weights, under `patience`).

    With a `folder`, progress is written there every `checkpoint_every` steps and taken up again.
    Every step's randomness comes from seed and step alone, so a continued run ends the same.
    Raises Diverged when the loss is not finite, and what `GradientCheck` raises.
    """
    optimizer = optimizer_for(network, recipe)
    check = GradientCheck(network)
    progress = read_progress(folder, network, optimizer) if folder else None
    progress = progress or Progress()
    set_mode(network, base)
    per_epoch = math.ceil(len(data) / recipe.batch)
    parameters = trained(network)
    first_seed = derive_seed("steps", seed)
    seconds: list[float] = []
    order, epoch = None, -1
    for step in range(progress.step, recipe.steps):
        if progress.stopped(recipe.patience):
            break
        began = time.perf_counter()
        if step // per_epoch != epoch:
            epoch = step // per_epoch
            order = epoch_order(len(data), seed, epoch)
        assert order is not None
        at = step % per_epoch * recipe.batch
        _seed(first_seed + step, parameters)
        images, labels = data.take(order[at : at + recipe.batch])
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, recipe)
        optimizer.zero_grad(set_to_none=True)
        with autocast(images.device, recipe.precision):
            loss = F.cross_entropy(network(images), labels, label_smoothing=recipe.label_smoothing)
        loss.backward()
        if not check.done:
            check.after_backward()
        if recipe.clip_norm:
            nn.utils.clip_grad_norm_(parameters.values(), recipe.clip_norm)
        optimizer.step()
        value = float(loss.detach())
        seconds.append(time.perf_counter() - began)
        if not math.isfinite(value):
            raise Diverged(f"the loss is {value} at step {step + 1} of {recipe.steps}")
        progress.losses.append(value)
        progress.step = step + 1
        tell(step + 1, {"loss": value})
        if validate and recipe.evaluate_every and (step + 1) % recipe.evaluate_every == 0:
            network.eval()
            progress.judge(step + 1, validate(), adapter_state(network) if recipe.patience else None)
            set_mode(network, base)
        if folder and (step + 1) % checkpoint_every == 0 and step + 1 < recipe.steps:
            write_progress(folder, network, optimizer, progress)
    check.finish()
    if recipe.patience and progress.best:
        own = adapter_state(network)
        with torch.no_grad():
            for name, tensor in progress.best.items():
                own[name].copy_(tensor)
    network.eval()
    held = sum(
        t.numel() * t.element_size()
        for state in optimizer.state.values()
        for t in state.values()
        if isinstance(t, torch.Tensor)
    )
    return Trained(progress.step, progress.losses, seconds, held, progress.scores)


def _seed(seed: int, parameters: dict[str, nn.Parameter]) -> None:
    """Seeds the generators that this training draws from; `torch.manual_seed` visits every back end."""
    torch.default_generator.manual_seed(seed)
    if next(iter(parameters.values())).is_cuda:
        torch.cuda.manual_seed(seed)


def base_modules(network: nn.Module) -> Collection[nn.Module]:
    """The modules that `set_mode` wants, taken before a method adds its own.

    Weakly: what a method takes out is not kept alive. Ids would not do, since a module that is added
    may get the id of one that is gone.
    """
    return WeakSet(network.modules())


def steps_for(samples: int, batch: int, epochs: float | None, steps: int | None) -> int:
    """Updates for so many epochs, unless they are given themselves."""
    if steps is not None:
        return steps
    return max(1, round((epochs or 1) * math.ceil(samples / batch)))


def summary(result: Trained) -> dict[str, Any]:
    """Median seconds per step without the first two, and steps per second."""
    usual = sorted(result.step_seconds[2:] or result.step_seconds)
    return {"seconds_per_step": usual[len(usual) // 2]} if usual else {}
