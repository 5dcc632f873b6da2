"""Training of several seeds of one network structure at once; each gets the result that it gets alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from harness.contract.seeds import derive_seed
from harness.errors import DataError, Diverged, OptionError
from harness.inference.batches import autocast
from harness.inference.trees import map_tree
from harness.learning.draws import plan_rows
from harness.learning.loop import reading_interval
from harness.learning.optimizers import build_optimizer, build_schedule
from harness.learning.pipeline import Batch, HeldSamples, SampleSource
from harness.learning.randomness import seed_step
from harness.learning.recipe import Recipe
from harness.learning.stacked_forward import StackedNetworks, describe_difference
from harness.learning.stacked_progress import Slice, combine_optimizer_states, resume_together
from harness.learning.training_progress import DivergedTraining, TrainingOutcome, TrainingProgress

log = logging.getLogger(__name__)

ELEMENTWISE = ("adadelta", "adagrad", "adam", "adamax", "adamw", "nadam", "radam", "rmsprop", "rprop", "sgd")
"""Optimisers that treat each number on its own, and so stacked tensors like single ones."""


@dataclass
class StackedBatch:
    """Samples of one step of S slices: rows S×B, data S×B×… (a tensor or a tree of them), targets S×B…

    S counts the slices that still train; `slices` are their numbers in the order given to `train_stacked`.
    `seeds` has a seed per slice that depends on its training's seed and the step alone, for draws of
    the objective: those from torch's global generator would depend on the other slices.
    """

    step: int
    epoch: int
    rows: np.ndarray[Any, np.dtype[np.int64]]
    data: Any
    targets: torch.Tensor | None
    slices: list[int]
    seeds: list[int]


StackedCall = Callable[[Any], Any]
"""Outputs S×B×… of S networks for inputs S×B×…."""
StackedObjective = Callable[[StackedCall, StackedBatch, int], torch.Tensor]
StackedValidation = Callable[[StackedNetworks, list[int]], Sequence[float | Mapping[str, float]]]


def can_stack(networks: Sequence[nn.Module], recipe: Recipe, example: Any = None) -> str | None:
    """Return why networks can't be trained at once with a recipe, None if they can.

    With an `example`, a batch of inputs as one network takes it, the networks are also tried out on it: that
    shows operations that can't be stacked. Neither weights nor buffers change.
    """
    if (reason := describe_difference(networks)) is not None:
        return f"the networks differ: {reason}"
    if recipe.optimizer.lower() not in ELEMENTWISE:
        return f"optimizer '{recipe.optimizer}' may mix the numbers of a tensor"
    if recipe.schedule == "plateau":
        return "with schedule 'plateau' each seed has a rate of its own"
    if recipe.precision == "float16":
        return "precision 'float16' scales the loss by the gradients of all seeds"
    if recipe.accumulate > 1:
        return f"accumulate = {recipe.accumulate} divides batches"
    if example is None or len(networks) == 1:
        return None
    return _try_out(networks[:2], recipe, example)


def _try_out(networks: Sequence[nn.Module], recipe: Recipe, example: Any) -> str | None:
    modes = {module: module.training for module in networks[0].modules()}
    networks[0].train()
    try:
        stacked = StackedNetworks(networks)
        device = next(iter(stacked.parameters.values())).device
        with autocast(device, recipe.precision):
            found = stacked.forward_shared(example, [0, 1])
        for leaf in _list_leaves(found):
            if leaf.requires_grad:
                leaf.sum().backward(retain_graph=True)
    except (RuntimeError, ValueError, NotImplementedError) as error:
        return f"torch.func.vmap can't run the network: {str(error).strip().splitlines()[0]}"
    finally:
        for module, training in modes.items():
            module.training = training
    return None


def train_stacked(
    networks: Sequence[nn.Module],
    sources: Sequence[SampleSource],
    objective: StackedObjective,
    recipe: Recipe,
    seeds: Sequence[int],
    *,
    folders: Sequence[Path] | None = None,
    checkpoint_every: int = 200,
    decides: Sequence[object] | None = None,
    validate: StackedValidation | None = None,
    report: Callable[[int, int, dict[str, float]], object] = lambda number, step, values: None,
    advance: Callable[[int, int], object] = lambda done, total: None,
) -> list[TrainingOutcome | Diverged]:
    """Train networks of one structure in place, each as `harness.learning.loop.train` would with its seed.

    `objective(forward, batch, step)` returns the mean losses S of a `StackedBatch`, computed from
    `forward`; each slice's gradient is that of its own loss. Up to floating point, its result does not
    depend on the others: order of samples, dropout (see `seeded_dropout`), clipping, early stopping, best
    and averaged weights are its own. A slice that stops or diverges leaves the stack, and the others go on;
    one alone is called without vmap. `validate(networks, slices)` returns a score, or a mapping with
    "score", of each slice; the networks are in eval(), with averaged weights. `report` gets the slice first.
    The sources need the same number of samples; seeds that share held tensors should share the source.

    With `folders`, progress is kept in each slice's own, as `train` keeps it: all slices' at the same step,
    written before any old file is replaced, so that a killed training continues bit for bit. Slices whose
    files are of different ages (of other trainings) continue in a stack per age, one after the other.

    Return an outcome per slice, whose network is in eval(), or a DivergedTraining that holds the curve before
    it (the weights are then of no use). Seconds per update are a slice's share: those of the stack, divided
    by the slices that were in it.
    Raises OptionError for what `can_stack` refuses, DataError for no samples or different numbers of them.
    """
    count = len(networks)
    folders, decides = list(folders or []), list(decides or [None] * count)
    if not len(sources) == len(seeds) == len(decides) == count or len(folders) not in (0, count):
        raise ValueError("networks, sources, seeds, folders and decides must be as many")
    if (reason := can_stack(networks, recipe)) is not None:
        raise OptionError(f"training: {reason}, so that seeds can't train at once")
    if len({len(source) for source in sources}) > 1:
        raise DataError(f"seeds that train at once need as many samples, not {[len(s) for s in sources]}")
    if not len(sources[0]) and recipe.steps:
        raise DataError("there are no training samples")
    slices = [
        Slice(n, networks[n], sources[n], seeds[n], recipe, folders[n] if folders else None, decides[n])
        for n in range(count)
    ]
    waiting = resume_together(slices)
    if len(waiting) > 1:
        ages = {group[0].run.trained.steps: [s.number for s in group] for group in waiting}
        log.warning("seeds continue one stack after the other: slices by updates done: %s", ages)
    while waiting:
        training = _StackTraining(waiting[0], objective, recipe, validate, report)
        left = training.run(checkpoint_every, advance)
        waiting = [left, *waiting[1:]] if left else waiting[1:]
    for network in networks:
        network.eval()
    return [one.ended for one in slices if one.ended is not None]


class _StackTraining:
    """A stack of slices that have done the same number of updates, trained until one of them ends."""

    def __init__(
        self,
        slices: list[Slice],
        objective: StackedObjective,
        recipe: Recipe,
        validate: StackedValidation | None,
        report: Callable[[int, int, dict[str, float]], object],
    ) -> None:
        self.slices, self.objective, self.recipe = slices, objective, recipe
        self.validate, self.report = validate, report
        self.numbers = [one.number for one in slices]
        self.stack = StackedNetworks([one.network for one in slices])
        self.parameters = list(self.stack.parameters.values())
        self.device = self.parameters[0].device
        self.per_epoch = recipe.batches_per_epoch(len(slices[0].source))
        self.optimizer = build_optimizer(self._group_by_decay(), recipe)
        self.schedule = build_schedule(self.optimizer, recipe, self.per_epoch)
        alone = self.stack.alone
        if all(one.kept_optimizer for one in slices):
            kept = [one.kept_optimizer for one in slices]
            self.optimizer.load_state_dict(kept[0] if alone else combine_optimizer_states(kept))  # type: ignore[arg-type]
        scaler = torch.amp.GradScaler(self.device.type, enabled=False)
        self.whole = TrainingProgress(recipe, self.stack.state, self.optimizer, scaler)
        self.whole.trained.steps = slices[0].run.trained.steps
        for position, one in enumerate(slices):
            one.enter(self.whole, self.optimizer, position, len(slices))
        self._unread: list[tuple[Any, float, float]] = []

    def _group_by_decay(self) -> list[dict[str, Any]]:
        """Return the groups that `build_optimizer` makes of one network, whose vectors have an axis less."""
        own = dict(self.stack.template.named_parameters())
        matrices = [
            p for n, p in self.stack.parameters.items() if own[n].ndim > 1 or self.recipe.decay_vectors
        ]
        taken = {id(p) for p in matrices}
        vectors = [p for p in self.parameters if id(p) not in taken]
        groups: list[dict[str, Any]] = [{"params": matrices, "weight_decay": self.recipe.weight_decay}]
        groups.append({"params": vectors, "weight_decay": 0.0})
        return [group for group in groups if group["params"]]

    def run(self, checkpoint_every: int, advance: Callable[[int, int], object]) -> list[Slice]:
        """Train until the first slices end; return the others."""
        recipe, start = self.recipe, self.slices[0].run.trained.steps
        every, readings = recipe.evaluate_every or self.per_epoch, reading_interval(self.device)
        firsts = [derive_seed("steps", one.seed) for one in self.slices]
        template = self.stack.template
        template.train()
        forked = torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else [])
        ended: list[Slice] = [one for one in self.slices if one.run.stopping.stop or start >= recipe.steps]
        with forked, closing(self._batches(start)) as batches:
            for step in range(start, recipe.steps):
                if ended:
                    break
                began = time.perf_counter()
                seed_step(firsts[0] + step, self.device)
                batch = next(batches)
                batch.seeds = [first + step for first in firsts]
                rate = self.schedule.set(step)
                self._unread.append((self._update(batch, step), rate, began))
                del batch  # release it before the next is prepared
                self.whole.average()
                self.whole.trained.steps += 1
                judging = self.validate is not None and (step + 1) % every == 0
                keeping = (step + 1) % checkpoint_every == 0
                last = step + 1 == recipe.steps
                if judging or keeping or (step + 1) % readings == 0 or last:
                    ended = self._read()
                    advance(step + 1, recipe.steps)
                if judging and len(ended) < len(self.slices):
                    self._evaluate(ended)
                ended += [s for s in self.slices if s not in ended and (last or s.run.stopping.stop)]
                if keeping and not ended:
                    self._keep([])
        self.stack.write_back()
        return self._part(ended)

    def _part(self, ended: list[Slice]) -> list[Slice]:
        left = [one for one in self.slices if one not in ended]
        for one in self.slices:
            one.leave()
        for one in ended:
            if one.ended is None:
                one.run.finish()
                one.ended = one.run.trained
        self._keep(ended)
        return left

    def _keep(self, ended: list[Slice]) -> None:
        """Write all slices' files, then replace the older ones."""
        written = [one.write(finished=one in ended) for one in self.slices]
        for pair in written:
            if pair is not None:
                new, path = pair
                new.replace(path)

    def _update(self, batch: StackedBatch, step: int) -> Any:
        """Compute and clip gradients, and update the weights; return the losses S."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.recipe.precision):
            losses = self.objective(lambda x: self.stack.forward(x, batch.seeds), batch, step)
        if losses.shape != (len(self.slices),):
            raise ValueError(
                f"the objective must return {len(self.slices)} losses, not {tuple(losses.shape)}"
            )
        losses.sum().backward()
        if self.recipe.clip_norm:
            self._clip(self.recipe.clip_norm)
        self.optimizer.step()
        return losses.detach()

    def _clip(self, highest: float) -> None:
        """Scale each slice's gradients as `clip_grad_norm_` does those of one network."""
        if self.stack.alone:
            nn.utils.clip_grad_norm_(self.parameters, highest)
            return
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients]).norm(dim=0)
        shares = (highest / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(shares.view(-1, *[1] * (gradient.ndim - 1)))

    def _read(self) -> list[Slice]:
        """Give each slice its losses since the last time; return those that have diverged."""
        unread, self._unread = self._unread, []
        losses = torch.stack([found for found, _, _ in unread]).float().T.tolist()
        diverged = []
        for one, own in zip(self.slices, losses, strict=True):
            for loss, (_, rate, began) in zip(own, unread, strict=True):
                one.run.add(loss, rate, began)
            try:
                one.run.read(lambda step, values, number=one.number: self.report(number, step, values))  # type: ignore[misc]
            except DivergedTraining as error:
                one.ended = error
                diverged.append(one)
        return diverged

    def _evaluate(self, diverged: list[Slice]) -> None:
        assert self.validate is not None
        self.stack.template.eval()
        with self.whole.use_average():
            found = self.validate(self.stack, self.numbers)
            for one, values in zip(self.slices, found, strict=True):
                if one not in diverged:
                    self._note(one, values)
        self.stack.template.train()

    def _note(self, one: Slice, values: float | Mapping[str, float]) -> None:
        one.run.add_evaluation(values, lambda step, found: self.report(one.number, step, found))

    def _batches(self, start: int) -> Generator[StackedBatch, None, None]:
        """Yield the batches of all slices, each in its own order; one gather if they share held tensors."""
        count = len(self.slices[0].source)
        plans = [plan_rows(count, self.recipe, one.seed, start) for one in self.slices]
        held = self.slices[0].source
        if isinstance(held, HeldSamples) and all(one.source is held for one in self.slices):
            for planned in zip(*plans, strict=True):
                rows = np.stack([rows for _, _, rows in planned])
                step, epoch, _ = planned[0]
                data, targets = held.take(rows, epoch)
                yield StackedBatch(step, epoch, rows, data, targets, self.numbers, [])
            return
        with ExitStack() as opened:
            pairs = zip(self.slices, plans, strict=True)
            parts = [opened.enter_context(closing(one.source.batches(plan))) for one, plan in pairs]
            for batches in zip(*parts, strict=True):
                yield _join_batches(batches, self.numbers)


def _join_batches(batches: Sequence[Batch], numbers: list[int]) -> StackedBatch:
    first = batches[0]
    leaves = [_list_leaves(batch.data) for batch in batches]
    stacks = iter([torch.stack(column) for column in zip(*leaves, strict=True)])
    data = map_tree(lambda leaf: next(stacks), first.data)
    targets = None if first.targets is None else torch.stack([b.targets for b in batches])  # type: ignore[misc]
    rows = np.stack([batch.rows for batch in batches])
    return StackedBatch(first.step, first.epoch, rows, data, targets, numbers, [])


def _list_leaves(tree: Any) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    map_tree(found.append, tree)
    return found
