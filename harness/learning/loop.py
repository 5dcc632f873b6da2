"""The loop of a training: one step after the other, and after a kill from where it was to the same end."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from harness.contract.seeds import derive_seed
from harness.errors import DataError, Diverged
from harness.inference.batches import autocast
from harness.learning.checkpoints import copy_into, read_tree, save_tree, trained_state
from harness.learning.draws import Entry, plan_rows
from harness.learning.optimizers import Groups, build_optimizer, build_schedule
from harness.learning.pipeline import Batch, Source
from harness.learning.randomness import own_randomness, seed_step
from harness.learning.recipe import Recipe
from harness.learning.stopping import Stopping

State = Mapping[str, torch.Tensor]


def readings_of(device: torch.device) -> int:
    """Return after how many steps losses are read: reading each would make a device wait that is not the CPU."""
    return 1 if device.type == "cpu" else 20


@dataclass
class Trained:
    """What a training showed besides the network's new weights.

    `losses`, `rates` (of the first group) and `seconds` have a value per update; `values` what each
    evaluation returned, by the number of updates before it. `best_step` is the evaluation whose weights
    were restored, 0 where none were; `optimizer_bytes` what the optimiser held.
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
        """Return the median over the updates without the first two; None where there were none."""
        usual = sorted(self.seconds[2:] or self.seconds)
        return usual[len(usual) // 2] if usual else None

    def epochs(self, samples: int, recipe: Recipe) -> dict[str, list[float]]:
        """Return columns `epoch` (from 1), `loss` (mean over the epoch's samples) and `rate` (its first)."""
        sizes = recipe.batch_sizes(samples)
        columns: dict[str, list[float]] = {"epoch": [], "loss": [], "rate": []}
        for start in range(0, self.steps, len(sizes)):
            losses = self.losses[start : start + len(sizes)]
            weights = sizes[: len(losses)]
            columns["epoch"].append(start // len(sizes) + 1)
            columns["loss"].append(sum(map(float.__mul__, losses, map(float, weights))) / sum(weights))
            columns["rate"].append(self.rates[start])
        return columns


def train(
    trained: nn.Module | Sequence[nn.Parameter],
    source: Source,
    objective: Callable[[Batch, int], torch.Tensor | float],
    recipe: Recipe,
    seed: int,
    *,
    groups: Groups | None = None,
    rows: Callable[[int], Any] | None = None,
    state: State | None = None,
    folder: Path | None = None,
    checkpoint_every: int = 200,
    decides: object = None,
    validate: Callable[[], float | Mapping[str, float]] | None = None,
    set_mode: Callable[[], object] | None = None,
    after_backward: Callable[[int], object] | None = None,
    after_step: Callable[[int], object] | None = None,
    report: Callable[[int, dict[str, float]], object] = lambda step, values: None,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> Trained:
    """Train in place; a module is left in eval(), with averaged or best weights where the recipe says so.

    `objective(batch, step)` returns the mean loss of a batch at a step (from 0), which is minimised; or
    a float, where it has left gradients on the parameters itself (with `accumulate` it is called for
    each part of a step's rows, and must add to them). Before each step torch's generators are seeded
    from `seed` and the step alone, and rows come from these two alone, too, unless `rows(step)` chooses
    them. Modules are trained as a whole, or in `groups` (see `build_optimizer`).

    `validate` returns a score, or a mapping with "score" among its values; a module is in eval() for it,
    and averaged weights are in place. `set_mode` makes the network ready for training again, by default
    `train()`. `after_backward(step)` sees the gradients before clipping, `after_step(step)` the new
    weights. `report` gets values after so many updates, `advance` the updates done and all there are.

    With a `folder`, progress is kept there every `checkpoint_every` updates and at the end, and taken up
    again if recipe, seed, number of samples, `decides` (any JSON) and the tensors of `state` are the
    same: the tensors that training changes, by default a module's trainable parameters and buffers.

    Raises Diverged when a loss is not finite, DataError for no samples.
    """
    if not len(source) and recipe.steps:
        raise DataError("there are no training samples")
    module = trained if isinstance(trained, nn.Module) else None
    given = trained.parameters() if isinstance(trained, nn.Module) else trained
    parameters = [p for p in given if p.requires_grad]
    if state is None:
        state = (
            trained_state(module)
            if module is not None
            else {str(n): p.detach() for n, p in enumerate(parameters)}
        )
    per_epoch = recipe.batches_per_epoch(len(source))
    optimizer = build_optimizer(groups or [{"params": parameters}], recipe)
    schedule = build_schedule(optimizer, recipe, per_epoch)
    device = parameters[0].device
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    run = _Progress(recipe, state, optimizer, scaler)
    path = folder / "training.safetensors" if folder else None
    digest = _digest(recipe, seed, len(source), state, decides)
    if path and run.restore(path, digest):
        if module is not None:
            module.eval()
        return run.trained
    set_mode = set_mode or (module.train if module is not None else lambda: None)
    done, first_seed = run.trained, derive_seed("steps", seed)
    plan = plan_rows(len(source), recipe, seed, done.steps, rows)
    every = recipe.evaluate_every or per_epoch
    readings = readings_of(device)
    set_mode()
    with own_randomness(device), closing(_by_step(source, plan, recipe.accumulate)) as steps:
        for step in range(done.steps, recipe.steps):
            if run.stopping.stop:
                break
            began = time.perf_counter()
            seed_step(first_seed + step, device)
            parts = next(steps)
            rate = schedule.set(step)
            optimizer.zero_grad(set_to_none=True)
            loss = _gradients(parts, objective, step, device, recipe, scaler)
            del parts  # or they would be held until the next are there
            scaled = scaler.is_enabled() and isinstance(loss, torch.Tensor)
            if scaled:
                scaler.unscale_(optimizer)
            if after_backward:
                after_backward(step)
            if recipe.clip_norm:
                nn.utils.clip_grad_norm_(parameters, recipe.clip_norm)
            scaler.step(optimizer) if scaled else optimizer.step()
            if scaled:
                scaler.update()
            run.average()
            if after_step:
                after_step(step)
            run.add(loss, rate, began)
            judging = validate is not None and (step + 1) % every == 0
            keeping = path is not None and (step + 1) % checkpoint_every == 0
            if judging or keeping or (step + 1) % readings == 0 or step + 1 == recipe.steps:
                run.read(report)
                advance(done.steps, recipe.steps)
            if judging and validate:
                if module is not None:
                    module.eval()
                with run.averaged():
                    run.judge(validate(), report)
                set_mode()
            if path and keeping and step + 1 < recipe.steps:
                run.keep(path, digest)
    run.finish()
    if module is not None:
        module.eval()
    if path:
        run.keep(path, digest, finished=True)
    return done


def _by_step(source: Source, plan: Iterator[Entry], accumulate: int) -> Generator[list[Batch], None, None]:
    """The batches of each step: one, or its rows in as many parts of nearly equal length as are accumulated."""
    counts: dict[int, int] = {}

    def divided() -> Iterator[Entry]:
        for step, epoch, rows in plan:
            parts = np.array_split(rows, max(1, min(accumulate, len(rows))))
            counts[step] = len(parts)
            for part in parts:
                yield step, epoch, part

    with closing(source.batches(divided())) as batches:
        for batch in batches:
            parts = [batch, *islice(batches, counts.pop(batch.step) - 1)]
            del batch
            yield parts
            del parts


def _gradients(
    parts: list[Batch],
    objective: Callable[[Batch, int], torch.Tensor | float],
    step: int,
    device: torch.device,
    recipe: Recipe,
    scaler: torch.amp.GradScaler,
) -> torch.Tensor | float:
    """Add the gradients of a step's parts, each weighted by its share of the rows; return the mean loss."""
    total = sum(len(batch.rows) for batch in parts)
    mean: torch.Tensor | float = 0.0
    for batch in parts:
        share = len(batch.rows) / total
        with autocast(device, recipe.precision):
            loss = objective(batch, step)
        if isinstance(loss, torch.Tensor):
            loss = loss if len(parts) == 1 else loss * share
            torch.autograd.backward(scaler.scale(loss))
            mean = loss.detach() if len(parts) == 1 else mean + loss.detach()
        else:
            mean += loss * share
    return mean


class _Progress:
    """What a training has done so far, and everything that continuing it needs."""

    def __init__(
        self, recipe: Recipe, state: State, optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler
    ) -> None:
        self.recipe, self.state, self.optimizer, self.scaler = recipe, state, optimizer, scaler
        self.trained, self.stopping = Trained(), Stopping(recipe.patience)
        self.best: dict[str, torch.Tensor] = {}
        self.ema = copied(state) if recipe.ema is not None else {}
        self._unread: list[torch.Tensor | float] = []
        self._began = 0.0

    def add(self, loss: torch.Tensor | float, rate: float, began: float) -> None:
        """Note an update; its loss may still be on the device."""
        if not self._unread:
            self._began = began
        self._unread.append(loss)
        self.trained.rates.append(rate)
        self.trained.steps += 1

    def read(self, report: Callable[[int, dict[str, float]], object]) -> None:
        """Read the losses since the last time. Raises Diverged for one that is not finite."""
        unread, self._unread = self._unread, []
        if unread and all(isinstance(loss, torch.Tensor) for loss in unread):
            unread = torch.stack([loss.float() for loss in unread]).tolist()  # type: ignore[union-attr]
        first = self.trained.steps - len(unread)
        for step, loss in enumerate(map(float, unread), start=first + 1):
            if not math.isfinite(loss):
                raise Diverged(f"the loss is {loss} at step {step} of {self.recipe.steps}")
            self.trained.losses.append(loss)
            report(step, {"loss": loss, "rate": self.trained.rates[step - 1]})
        # the device is done with them only now, so that their seconds are known together
        self.trained.seconds += [(time.perf_counter() - self._began) / max(len(unread), 1)] * len(unread)

    def judge(
        self, found: float | Mapping[str, float], report: Callable[[int, dict[str, float]], object]
    ) -> None:
        """Note an evaluation; copy the weights if it is the best one and they may be restored."""
        values = dict(found) if isinstance(found, Mapping) else {"score": float(found)}
        step = self.trained.steps
        self.trained.values[step] = values
        report(step, values)
        if self.stopping.update(values["score"], step) and (self.recipe.patience or self.recipe.keep_best):
            self.best = copied(self.state)

    def average(self) -> None:
        """Move the averaged weights; what are no floating-point numbers (counts) is copied."""
        if self.recipe.ema is None:
            return
        floats = [name for name, tensor in self.state.items() if tensor.is_floating_point()]
        move = get_ema_multi_avg_fn(self.recipe.ema)  # type: ignore[no-untyped-call]
        move([self.ema[name] for name in floats], [self.state[name] for name in floats], 0)
        copy_into(self.ema, {n: t for n, t in self.state.items() if not t.is_floating_point()})

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside the block the averaged weights, where there are any, stand in the network."""
        current = copied(self.state) if self.ema else {}
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

    def keep(self, path: Path, digest: str, finished: bool = False) -> None:
        """Write everything that is needed to go on; of a finished training what it ended with."""
        tree = {"digest": digest, "finished": finished, "trained": asdict(self.trained), "state": self.state}
        if not finished:
            tree |= {"stopping": asdict(self.stopping), "best": self.best, "ema": self.ema}
            tree |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        save_tree(path, tree)

    def restore(self, path: Path, digest: str) -> bool:
        """Take up what was kept, if it is of the same training; return whether that is finished."""
        kept = read_tree(path)
        if kept is None or kept["digest"] != digest:
            return False
        copy_into(self.state, kept["state"])
        self.trained = Trained(**kept["trained"])
        if kept["finished"]:
            return True
        self.stopping = Stopping(**kept["stopping"])
        for own, name in ((self.best, "best"), (self.ema, "ema")):
            own.update({key: t.to(self.state[key].device) for key, t in kept[name].items()})
        # the optimiser knows what belongs on which device: a fused one's step count lies beside the parameter
        self.optimizer.load_state_dict(kept["optimizer"])
        self.scaler.load_state_dict(kept["scaler"])
        return False


def copied(state: State) -> dict[str, torch.Tensor]:
    """Return copies of the tensors."""
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _digest(recipe: Recipe, seed: int, samples: int, state: State, decides: object) -> str:
    shapes = {name: [list(t.shape), str(t.dtype)] for name, t in state.items()}
    told = [asdict(recipe), seed, samples, shapes, decides, torch.__version__]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
