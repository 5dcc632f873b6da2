"""Optimisers and schedules by name, from torch and timm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import nn

from harness.errors import OptionError, did_you_mean
from harness.learning.plateau import build_plateau, plateau_options
from harness.learning.recipe import Recipe

Groups = Sequence[Mapping[str, Any]]

_NEED_MORE = ("lbfgs", "sparseadam", "optimizer")
"""What torch.optim has besides optimisers of one gradient per step."""

_TIMM: dict[str, tuple[str, dict[str, Any]]] = {
    "cosine": ("CosineLRScheduler", {}),
    "linear": ("PolyLRScheduler", {"power": 1.0}),
    "poly": ("PolyLRScheduler", {}),
    "tanh": ("TanhLRScheduler", {}),
    "step": ("StepLRScheduler", {"decay_t": 30, "decay_rate": 0.1}),
    "multistep": ("MultiStepLRScheduler", {"decay_t": [], "decay_rate": 0.1}),
    "constant": ("StepLRScheduler", {"decay_t": 1, "decay_rate": 1.0}),
}
_WITHOUT_PERIOD = ("step", "multistep", "constant")


def optimizer_names() -> list[str]:
    """Return the possible values of `Recipe.optimizer`: torch's classes in lower case, then timm's."""
    import timm.optim

    return sorted({*_list_torch_classes(), *map(str, timm.optim.list_optimizers())})


def build_optimizer(trained: nn.Module | Groups, recipe: Recipe) -> torch.optim.Optimizer:
    """Return an optimiser over a module's trainable tensors, or over groups of parameters.

    A group has `params`, and may have its own `lr` and `weight_decay`. Vectors do not decay unless
    `decay_vectors` says so or their group has a `weight_decay`. A name in both torch and timm means torch's
    ("sgd" has momentum 0.9 by default, Adam and AdamW are fused if possible). Raises OptionError for an
    unknown name, or options that the optimiser does not take.
    """
    groups = _split_by_decay(trained, recipe)
    parameters = [p for group in groups for p in group["params"]]
    if not parameters:
        raise OptionError("training: there is nothing to train, no tensor takes a gradient")
    name, options = recipe.optimizer.lower(), dict(recipe.optimizer_options)
    found = _list_torch_classes().get(name)
    if name == "sgd":
        options.setdefault("momentum", 0.9)
    if name in ("adam", "adamw"):
        options.setdefault("fused", all(p.device.type in ("cpu", "cuda") for p in parameters))
    try:
        if found is not None:
            made = found(groups, lr=recipe.rate, weight_decay=recipe.weight_decay, **options)
            return cast(torch.optim.Optimizer, made)
        import timm.optim

        if name not in (known := optimizer_names()):
            raise OptionError(f"training: no optimizer '{recipe.optimizer}'{did_you_mean(name, known)}")
        return timm.optim.create_optimizer_v2(groups, name, recipe.rate, recipe.weight_decay, **options)
    except (TypeError, ValueError) as error:
        raise OptionError(f"training: optimizer '{recipe.optimizer}': {error}") from None


def _list_torch_classes() -> dict[str, Any]:
    return {
        name.lower(): found
        for name, found in vars(torch.optim).items()
        if isinstance(found, type)
        and issubclass(found, torch.optim.Optimizer)
        and name.lower() not in _NEED_MORE
    }


def _split_by_decay(trained: nn.Module | Groups, recipe: Recipe) -> list[dict[str, Any]]:
    """Return the groups, each divided into what decays (matrices first) and what does not."""
    groups: Groups = [{"params": list(trained.parameters())}] if isinstance(trained, nn.Module) else trained
    found = []
    for group in groups:
        parameters = [p for p in group["params"] if p.requires_grad]
        if "weight_decay" in group or recipe.decay_vectors:
            found.append({"weight_decay": recipe.weight_decay, **group, "params": parameters})
            continue
        matrices = [p for p in parameters if p.ndim > 1]
        vectors = [p for p in parameters if p.ndim <= 1]
        found.append({**group, "params": matrices, "weight_decay": recipe.weight_decay})
        found.append({**group, "params": vectors, "weight_decay": 0.0})
    return [group for group in found if group["params"]]


class Schedule:
    """A schedule that sets the learning rate of every group for a step, in any order of steps."""

    def __init__(self, optimizer: torch.optim.Optimizer, scheduler: Any, per_epoch: int) -> None:
        self.optimizer, self._scheduler, self._per_epoch = optimizer, scheduler, per_epoch

    @property
    def watches(self) -> str | None:
        """What rates depend on besides the step: "loss" (of an epoch), "score" (of an evaluation), or None."""
        return None

    def observe(self, step: int, value: float) -> None:
        """Take in what the schedule watches, after `step` updates."""

    def state_dict(self) -> dict[str, Any]:
        """Return what rates depend on besides the step, and are not themselves in the optimiser's state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put such a state in place, after the optimiser's."""

    def set(self, step: int) -> float:
        """Set the rates for an update (from 0); return that of the first group."""
        t, scheduler = step // self._per_epoch, self._scheduler
        if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
            scheduler.step(t)
        elif t != scheduler.last_epoch:
            # rates depend on last_epoch alone; _step_count only avoids a warning about the first step
            scheduler.load_state_dict({**scheduler.state_dict(), "last_epoch": t - 1, "_step_count": t + 2})
            scheduler.step()
        return float(self.optimizer.param_groups[0]["lr"])


class PlateauSchedule(Schedule):
    """A schedule that cuts rates after the warm-up by what it observes; steps must come in order."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, total: int, per_epoch: int) -> None:
        options = plateau_options(recipe.schedule_options)
        warm = Recipe(
            recipe.steps,
            rate=recipe.rate,
            schedule="constant",
            warmup=recipe.warmup,
            warmup_rate=recipe.warmup_rate,
        )
        super().__init__(optimizer, _of_timm(optimizer, warm, total), per_epoch)
        self._begin = count_warm_up(recipe, total) * per_epoch
        self._watched, self._plateau = options.watch, build_plateau(optimizer, options)

    @property
    def watches(self) -> str | None:
        """What rates depend on besides the step."""
        return self._watched

    def set(self, step: int) -> float:
        """Set the rates up to the first update after the warm-up; later ones stay as observations left them."""
        if step <= self._begin:
            super().set(step)
        return float(self.optimizer.param_groups[0]["lr"])

    def observe(self, step: int, value: float) -> None:
        """Cut the rates if there is no progress; nothing counts before the first update after the warm-up."""
        if step > self._begin:
            self._plateau.step(value)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and the counts."""
        return dict(self._plateau.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Put the best value and the counts in place."""
        self._plateau.load_state_dict(state)


def build_schedule(optimizer: torch.optim.Optimizer, recipe: Recipe, per_epoch: int) -> Schedule:
    """Return the recipe's schedule; `per_epoch` is the number of updates in an epoch.

    It uses timm's schedulers, and torch's: OneCycleLR, which also changes the momentum, LambdaLR for "inverse",
    and ReduceLROnPlateau. A group with its own
    rate keeps its ratio to `recipe.rate`. Raises OptionError for options that the schedule does not take.
    """
    per = per_epoch if recipe.schedule_by == "epoch" else 1
    total = -(-recipe.steps // per)
    try:
        if recipe.schedule == "one-cycle":
            rates = [group["lr"] for group in optimizer.param_groups]
            count = max(recipe.period or total, 2)  # of one step, OneCycleLR divides by zero
            made = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, count, **recipe.schedule_options)
            return Schedule(optimizer, made, per)
        if recipe.schedule == "inverse":
            return Schedule(optimizer, _inverse(optimizer, recipe, total, **recipe.schedule_options), per)
        if recipe.schedule == "plateau":
            return PlateauSchedule(optimizer, recipe, total, per)
        return Schedule(optimizer, _of_timm(optimizer, recipe, total), per)
    except (TypeError, ValueError) as error:
        raise OptionError(f"training: schedule '{recipe.schedule}': {error}") from None


def count_warm_up(recipe: Recipe, total: int) -> int:
    """Return the updates or epochs of the warm-up."""
    return round(recipe.warmup * total) if recipe.warmup < 1 else round(recipe.warmup)


def _inverse(optimizer: torch.optim.Optimizer, recipe: Recipe, total: int, *, decay: float) -> Any:
    """Return the schedule rate / (1 + decay · t), t counted from the warm-up's end."""
    if not decay >= 0:
        raise ValueError(f"decay must be at least 0, not {decay}")
    warm = count_warm_up(recipe, total)
    first = 1 / (warm + 1) if recipe.warmup_rate is None else recipe.warmup_rate / recipe.rate

    def share(t: int) -> float:
        return first + t * (1 - first) / warm if t < warm else 1 / (1 + decay * (t - warm))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def _of_timm(optimizer: torch.optim.Optimizer, recipe: Recipe, total: int) -> Any:
    import timm.scheduler

    warm = count_warm_up(recipe, total)
    name, options = _TIMM[recipe.schedule]
    options = {**options, "warmup_t": warm, "warmup_prefix": True}
    if warm:
        first = recipe.warmup_rate
        options["warmup_lr_init"] = recipe.rate / (warm + 1) if first is None else first
        for group in optimizer.param_groups:  # timm has one warmup_lr_init for all groups: scale their rates
            if group["lr"] != recipe.rate:
                group["lr_scale"], group["lr"] = group["lr"] / recipe.rate, recipe.rate
    if recipe.schedule not in _WITHOUT_PERIOD:
        options["t_initial"] = recipe.period or max(total - warm, 1)
        # after the first cycle the rate stays at its minimum, so this only avoids timm's warning
        options["cycle_decay"] = 0.5 if options["t_initial"] == 1 else 1.0
    return getattr(timm.scheduler, name)(optimizer, **{**options, **recipe.schedule_options})
