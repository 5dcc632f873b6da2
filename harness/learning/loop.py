"""The loop of a training: step by step, and after a kill from the last checkpoint to the same result."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.contract.seeds import derive_seed
from harness.errors import DataError, OptionError
from harness.inference.batches import autocast
from harness.learning.checkpoints import trained_state
from harness.learning.draws import DrawnBatch, plan_rows
from harness.learning.optimizers import Groups, build_optimizer, build_schedule
from harness.learning.pipeline import Batch, SampleSource
from harness.learning.randomness import seed_step
from harness.learning.recipe import Recipe
from harness.learning.training_progress import State, TrainingOutcome, TrainingProgress

Objective = Callable[[Batch, int], torch.Tensor | float]

CHECKPOINT = "training.safetensors"
"""Name of the file in which a training's progress is saved."""


def reading_interval(device: torch.device) -> int:
    """Return the steps between readings of losses: reading each would make an accelerator wait."""
    return 1 if device.type == "cpu" else 20


def train(
    trained: nn.Module | Sequence[nn.Parameter],
    source: SampleSource,
    objective: Objective,
    recipe: Recipe,
    seed: int,
    *,
    groups: Groups | None = None,
    rows: Callable[[int], Any] | None = None,
    state: State | None = None,
    folder: Path | None = None,
    writes: bool = True,
    checkpoint_every: int = 200,
    decides: object = None,
    validate: Callable[[], float | Mapping[str, float]] | None = None,
    set_mode: Callable[[], object] | None = None,
    after_backward: Callable[[int], object] | None = None,
    after_step: Callable[[int], object] | None = None,
    report: Callable[[int, dict[str, float]], object] = lambda step, values: None,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> TrainingOutcome:
    """Train in place; a module is left in eval(), with averaged or best weights if the recipe says so.

    `objective(batch, step)` returns the mean loss of a batch at a step (from 0), which is minimised; or
    a float, if it has left gradients on the parameters itself (with `accumulate` it is called for
    each part of a step's rows, and must add to them). Before each step torch's generators are seeded
    from `seed` and the step alone; rows come from these two alone, too, unless `rows(step)` chooses
    them. Modules are trained as a whole, or in `groups` (see `build_optimizer`).

    `validate` returns a score, or a mapping with "score" among its values; a module is in eval() for it,
    and averaged weights are in place. `set_mode` makes the network ready for training again, by default
    `train()`. `after_backward(step)` sees the gradients before clipping, `after_step(step)` the new
    weights. `report` receives values and the updates before them, `advance` the updates done and in total.

    With a `folder`, progress is saved there every `checkpoint_every` updates and at the end, and resumed
    if recipe, seed, number of samples, `decides` (any JSON) and the tensors of `state` are the same:
    the tensors that training changes, by default a module's trainable parameters and buffers. Of several
    processes that train together, all resume and one `writes`.

    Raises Diverged if a loss is not finite, DataError for no samples, OptionError for a schedule that watches
    the score of a training without `validate`.
    """
    if not len(source) and recipe.steps:
        raise DataError("there are no training samples")
    module = trained if isinstance(trained, nn.Module) else None
    given = trained.parameters() if isinstance(trained, nn.Module) else trained
    parameters = [p for p in given if p.requires_grad]
    if state is None:
        state = {str(n): p.detach() for n, p in enumerate(parameters)}
        state = state if module is None else trained_state(module)
    per_epoch = recipe.batches_per_epoch(len(source))
    optimizer = build_optimizer(groups or [{"params": parameters}], recipe)
    schedule = build_schedule(optimizer, recipe, per_epoch)
    if schedule.watches == "score" and validate is None:
        raise OptionError("training: schedule 'plateau' watches the score, but nothing is evaluated")
    device = parameters[0].device
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    run = TrainingProgress(recipe, state, optimizer, scaler, schedule)
    path = folder / CHECKPOINT if folder else None
    digest = digest_training(recipe, seed, len(source), state, decides)
    if path and run.restore(path, digest):
        if module is not None:
            module.eval()
        return run.trained
    set_mode = set_mode or (module.train if module is not None else lambda: None)
    done, first_seed = run.trained, derive_seed("steps", seed)
    plan = plan_rows(len(source), recipe, seed, done.steps, rows)
    every = recipe.evaluate_every or per_epoch
    readings = reading_interval(device)
    set_mode()
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, closing(_group_by_step(source, plan, recipe.accumulate)) as steps:
        for step in range(done.steps, recipe.steps):
            if run.stopping.stop:
                break
            began = time.perf_counter()
            seed_step(first_seed + step, device)
            parts = next(steps)
            rate = schedule.set(step)
            loss = _update(parts, objective, step, parameters, run, after_backward)
            del parts  # release them before the next are prepared
            run.average()
            if after_step:
                after_step(step)
            run.add(loss, rate, began)
            judging = validate is not None and (step + 1) % every == 0
            keeping = path is not None and (step + 1) % checkpoint_every == 0
            watching = schedule.watches == "loss" and (step + 1) % per_epoch == 0
            ending = step + 1 == recipe.steps
            if judging or keeping or watching or ending or (step + 1) % readings == 0:
                run.read(report)
                advance(done.steps, recipe.steps)
            if watching:
                schedule.observe(step + 1, done.last_epoch_loss(len(source), recipe))
            if judging and validate:
                if module is not None:
                    module.eval()
                with run.use_average():
                    run.add_evaluation(validate(), report)
                set_mode()
                if schedule.watches == "score":
                    schedule.observe(step + 1, done.scores[step + 1])
            if path and writes and keeping and not ending:
                run.save(path, digest)
    run.finish()
    if module is not None:
        module.eval()
    if path and writes:
        run.save(path, digest, finished=True)
    return done


def _group_by_step(
    source: SampleSource, plan: Iterator[DrawnBatch], accumulate: int
) -> Generator[list[Batch], None, None]:
    """Yield the batches of each step: one, or its rows in `accumulate` parts of nearly equal length."""
    counts: dict[int, int] = {}

    def divided() -> Iterator[DrawnBatch]:
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


def _update(
    parts: list[Batch],
    objective: Objective,
    step: int,
    parameters: list[nn.Parameter],
    run: TrainingProgress,
    after_backward: Callable[[int], object] | None,
) -> torch.Tensor | float:
    """Compute and clip gradients, and update the weights; return the loss."""
    run.optimizer.zero_grad(set_to_none=True)
    loss = _compute_gradients(parts, objective, step, parameters[0].device, run)
    scaled = run.scaler.is_enabled() and isinstance(loss, torch.Tensor)
    if scaled:  # before norms are computed, so that clipping sees the true gradients
        run.scaler.unscale_(run.optimizer)
    if after_backward:
        after_backward(step)
    if run.recipe.clip_norm:
        nn.utils.clip_grad_norm_(parameters, run.recipe.clip_norm)
    if scaled:
        run.scaler.step(run.optimizer)
        run.scaler.update()
    else:
        run.optimizer.step()
    return loss


def _compute_gradients(
    parts: list[Batch], objective: Objective, step: int, device: torch.device, run: TrainingProgress
) -> torch.Tensor | float:
    """Add the gradients of a step's parts, each weighted by its share of the rows; return the mean loss."""
    total = sum(len(batch.rows) for batch in parts)
    mean: torch.Tensor | float = 0.0
    for batch in parts:
        share = len(batch.rows) / total
        with autocast(device, run.recipe.precision):
            loss = objective(batch, step)
        if isinstance(loss, torch.Tensor):
            loss = loss if len(parts) == 1 else loss * share
            torch.autograd.backward(run.scaler.scale(loss))
            mean = loss.detach() if len(parts) == 1 else mean + loss.detach()
        else:
            mean += loss * share
    return mean


def digest_training(recipe: Recipe, seed: int, samples: int, state: State, decides: object) -> str:
    """Return a digest of what decides a training, by which its checkpoints are known again."""
    shapes = {name: [list(t.shape), str(t.dtype)] for name, t in state.items()}
    told = [asdict(recipe), seed, samples, shapes, decides, torch.__version__]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
