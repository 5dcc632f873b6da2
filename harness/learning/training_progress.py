"""Progress of a training: its outcome, and everything needed to continue it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch.optim.swa_utils import get_ema_multi_avg_fn

from harness.errors import Diverged
from harness.learning.checkpoints import copy_into, read_checkpoint_tree, save_checkpoint_tree
from harness.learning.optimizers import Schedule
from harness.learning.recipe import Recipe
from harness.learning.stopping import Stopping

State = Mapping[str, torch.Tensor]
Report = Callable[[int, dict[str, float]], object]


@dataclass
class TrainingOutcome:
    """The outcome of a training besides the network's new weights.

    `losses`, `rates` (of the first group) and `seconds` have a value per update; `values` what each
    evaluation returned, by the number of updates before it. `best_step` is the evaluation whose weights
    were restored, 0 if none were; `optimizer_bytes` the size of the optimiser's state.
    """

    steps: int = 0
    losses: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    values: dict[int, dict[str, float]] = field(default_factory=dict)
    best_step: int = 0
    optimizer_bytes: int = 0

    @property
    def scores(self) -> dict[int, float]:
        """The score of each evaluation, by the number of updates before it."""
        return {step: values["score"] for step, values in self.values.items()}

    def seconds_per_step(self) -> float | None:
        """Return the median over the updates without the first two; None without updates."""
        usual = sorted(self.seconds[2:] or self.seconds)
        return usual[len(usual) // 2] if usual else None

    def last_epoch_loss(self, samples: int, recipe: Recipe) -> float:
        """Return the mean loss over the samples of the epoch that has just ended."""
        sizes = recipe.batch_sizes(samples)
        return _mean_loss(self.losses[-len(sizes) :], sizes)

    def epochs(self, samples: int, recipe: Recipe) -> dict[str, list[float]]:
        """Return columns `epoch` (from 1), `loss` (mean over the epoch's samples) and `rate` (its first)."""
        sizes = recipe.batch_sizes(samples)
        columns: dict[str, list[float]] = {"epoch": [], "loss": [], "rate": []}
        for start in range(0, self.steps, len(sizes)):
            losses = self.losses[start : start + len(sizes)]
            weights = sizes[: len(losses)]
            columns["epoch"].append(start // len(sizes) + 1)
            columns["loss"].append(_mean_loss(losses, weights))
            columns["rate"].append(self.rates[start])
        return columns


class DivergedTraining(Diverged):
    """The end of a training by a loss that is not finite; `trained` is its outcome up to there."""

    def __init__(self, message: str, trained: TrainingOutcome) -> None:
        super().__init__(message)
        trained.steps = len(trained.losses)
        trained.rates = trained.rates[: trained.steps]
        self.trained = trained

    def __reduce__(self) -> tuple[type[DivergedTraining], tuple[str, TrainingOutcome]]:
        return type(self), (str(self), self.trained)


class TrainingProgress:
    """The progress of a training, and everything needed to continue it."""

    def __init__(
        self,
        recipe: Recipe,
        state: State,
        optimizer: torch.optim.Optimizer,
        scaler: torch.amp.GradScaler,
        schedule: Schedule | None = None,
    ) -> None:
        self.recipe, self.state, self.optimizer, self.scaler = recipe, state, optimizer, scaler
        self.schedule = schedule
        self.trained, self.stopping = TrainingOutcome(), Stopping(recipe.patience)
        self.sharing = 1
        """Trainings that share the time of each update."""
        self.best: dict[str, torch.Tensor] = {}
        self.ema = copy_tensors(state) if recipe.ema is not None else {}
        self._unread: list[torch.Tensor | float] = []
        self._began = 0.0

    def add(self, loss: torch.Tensor | float, rate: float, began: float) -> None:
        """Note an update; its loss may still be on the device."""
        if not self._unread:
            self._began = began
        self._unread.append(loss)
        self.trained.rates.append(rate)
        self.trained.steps += 1

    def read(self, report: Report) -> None:
        """Read the losses since the last time. Raises Diverged for one that is not finite."""
        unread, self._unread = self._unread, []
        if unread and all(isinstance(loss, torch.Tensor) for loss in unread):
            unread = torch.stack([loss.float() for loss in unread]).tolist()  # type: ignore[union-attr]
        first = self.trained.steps - len(unread)
        for step, loss in enumerate(map(float, unread), start=first + 1):
            if not math.isfinite(loss):
                raise DivergedTraining(
                    f"the loss is {loss} at step {step} of {self.recipe.steps}", self.trained
                )
            self.trained.losses.append(loss)
            report(step, {"loss": loss, "rate": self.trained.rates[step - 1]})
        # reading waits for the device, so only the mean time of these updates is known
        mean = (time.perf_counter() - self._began) / max(len(unread), 1)
        self.trained.seconds += [mean / self.sharing] * len(unread)

    def add_evaluation(self, found: float | Mapping[str, float], report: Report) -> None:
        """Note an evaluation; copy the weights if it is the best one and they may be restored."""
        values = dict(found) if isinstance(found, Mapping) else {"score": float(found)}
        step = self.trained.steps
        self.trained.values[step] = values
        report(step, values)
        if self.stopping.update(values["score"], step) and (self.recipe.patience or self.recipe.keep_best):
            self.best = copy_tensors(self.state)

    def average(self) -> None:
        """Update the averaged weights; tensors that are not floating point (counts) are copied."""
        if self.recipe.ema is None:
            return
        floats = [name for name, tensor in self.state.items() if tensor.is_floating_point()]
        move = get_ema_multi_avg_fn(averaging_decay(self.recipe, self.trained.steps))
        move([self.ema[name] for name in floats], [self.state[name] for name in floats], 0)
        copy_into(self.ema, {n: t for n, t in self.state.items() if not t.is_floating_point()})

    @contextmanager
    def use_average(self) -> Iterator[None]:
        """Put the averaged weights, if any, into the network inside the block."""
        current = copy_tensors(self.state) if self.ema else {}
        copy_into(self.state, self.ema)
        try:
            yield
        finally:
            copy_into(self.state, current)

    def finish(self) -> None:
        """Restore the best or averaged weights; measure the optimiser."""
        copy_into(self.state, self.best or self.ema)
        self.trained.best_step = self.stopping.best_step if self.best else 0
        self.trained.optimizer_bytes = sum(
            value.numel() * value.element_size()
            for held in self.optimizer.state.values()
            for value in held.values()
            if isinstance(value, torch.Tensor)
        )

    def save(self, path: Path, digest: str, finished: bool = False) -> None:
        """Write everything needed to continue; for a finished training, only its outcome."""
        tree = {"digest": digest, "finished": finished, "trained": asdict(self.trained), "state": self.state}
        if not finished:
            tree |= {"stopping": asdict(self.stopping), "best": self.best, "ema": self.ema}
            tree |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
            tree["schedule"] = self.schedule.state_dict() if self.schedule else {}
        save_checkpoint_tree(path, tree)

    def restore(self, path: Path, digest: str) -> bool:
        """Resume from a checkpoint of the same training; return whether that is finished."""
        kept = read_checkpoint_tree(path)
        if kept is None or kept["digest"] != digest:
            return False
        copy_into(self.state, kept["state"])
        self.trained = TrainingOutcome(**kept["trained"])
        if kept["finished"]:
            return True
        self.stopping = Stopping(**kept["stopping"])
        for own, name in ((self.best, "best"), (self.ema, "ema")):
            own.update({key: t.to(self.state[key].device) for key, t in kept[name].items()})
        # load_state_dict puts tensors on the right devices: a fused optimiser's step count is with the parameter
        self.optimizer.load_state_dict(kept["optimizer"])
        self.scaler.load_state_dict(kept["scaler"])
        if self.schedule:
            self.schedule.load_state_dict(kept["schedule"])
        return False


def averaging_decay(recipe: Recipe, step: int) -> float:
    """Return the decay of the averaged weights at an update (from 0), as timm's ModelEmaV3; 0 without `ema`."""
    if recipe.ema is None or recipe.ema_warmup is None:
        return recipe.ema or 0.0
    return min(recipe.ema, float(1 - (1 + step) ** -recipe.ema_warmup))


def _mean_loss(losses: list[float], weights: list[int]) -> float:
    return sum(map(float.__mul__, losses, map(float, weights))) / sum(weights)


def copy_tensors(state: State) -> dict[str, torch.Tensor]:
    """Return copies of the tensors."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}
