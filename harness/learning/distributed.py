"""One training over several processes: each computes a share of every batch, and all make the same update.

From a cell, for `devices` of this machine (or under torchrun, which has started them)::

    def train_on_rank(rank: Rank, job: Mine) -> tuple[TrainingOutcome, dict[str, torch.Tensor]]:
        network = job.build().to(rank.device)                # any weights: those of the first process count
        source = Pipeline(…, device=rank.device)             # the whole training set, in every process
        def validate() -> float:                             # each process evaluates its share, all get all
            logits = evaluate_in_shares(rank, len(held), lambda rows: job.logits(network, held, rows))
            return accuracy(logits, held.targets)
        done = train_distributed(rank, network, source, objective, recipe, seed, validate=validate, folder=…)
        return done, {name: t.cpu() for name, t in network.state_dict().items()}

    done, weights = run_distributed(devices, train_on_rank, job)

`train_on_rank` stands at the top of a module, and `job` can be pickled. `recipe.batch` is the size of the whole
batch, so the number of processes changes no result beyond the order in which floating-point numbers are added
(`train_distributed` says which draws are an exception).
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import compress, groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

from harness.errors import DataError, OptionError
from harness.learning.checkpoints import trained_state
from harness.learning.draws import DrawnBatch, Rows
from harness.learning.loop import CHECKPOINT, Objective, train
from harness.learning.pipeline import Batch, SampleSource
from harness.learning.processes import Rank
from harness.learning.recipe import Recipe
from harness.learning.shared_batches import BatchShare, shared_dropout, sharing_batches
from harness.learning.training_progress import TrainingOutcome

BUCKET = 25 * 2**20
"""Bytes of gradients that are exchanged at once, as in torch's DistributedDataParallel."""


def share_rows(rows: Rows, rank: int, world: int) -> Rows:
    """Return one process's contiguous share of rows; shares differ by at most one row, and may be empty."""
    return np.array_split(rows, world)[rank]


def train_distributed(
    rank: Rank,
    network: nn.Module,
    source: SampleSource,
    objective: Objective,
    recipe: Recipe,
    seed: int,
    *,
    folder: Path | None = None,
    validate: Callable[[], float | Mapping[str, float]] | None = None,
    after_backward: Callable[[int], object] | None = None,
    report: Callable[[int, dict[str, float]], object] = lambda step, values: None,
    advance: Callable[[int, int], object] = lambda done, total: None,
    **more: Any,
) -> TrainingOutcome:
    """Train in place like `train`, with every process of the group; all end with the same weights and outcome.

    Every process is given the same samples, recipe and seed, and computes the objective of its rows of each
    batch; gradients and losses are weighted by samples. Batch norm and dropout see the whole batch
    (`sharing_batches`, `shared_dropout`), and augmentation that is drawn by sample does not depend on the process. What an
    objective draws or mixes among the rows of a batch, it does among those of its own process; what a layer draws
    other than dropout and dropped paths (attention's fused dropout, noise) repeats in each. Only the first
    process writes to `folder`, which all must see, reports, and decides by its `validate`, which all must call;
    its weights are the initial ones. (A network that was sent to the processes shares its memory among them on a
    CPU: each gets weights of its own here.) The checkpoint may be continued by another number of processes.

    Raises OptionError for float16, whose scaling sees gradients before they are exchanged, and DataError if
    processes read different checkpoints, or end with different weights; else as `train`.
    """
    if recipe.precision == "float16" and rank.world > 1:
        raise OptionError(
            "distributed: precision float16 is not possible with several processes: say bfloat16"
        )
    for tensor in (*network.parameters(), *network.buffers()):
        if not tensor.is_cuda and tensor.is_shared():
            tensor.data = tensor.data.clone()
        dist.broadcast(tensor.detach(), 0)
    _check_same(rank, len(source), lambda held: f"the processes have {held[0]} and {held[1]} samples")
    _check_same(
        rank, _digest_file(folder), lambda held: f"the processes see different checkpoints in {folder}"
    )
    shared = _SharedSource(source, rank)
    parameters = [p for p in network.parameters() if p.requires_grad]

    def exchange(step: int) -> None:
        _sum_gradients(parameters)
        if after_backward:
            after_backward(step)

    def agreed() -> dict[str, float]:
        assert validate is not None
        found = validate()
        values = dict(found) if isinstance(found, Mapping) else {"score": float(found)}
        sent = [values]
        dist.broadcast_object_list(sent, 0)
        return sent[0]

    with sharing_batches(network, lambda: shared.current):
        done = train(
            network,
            shared,
            shared.wrap(objective),
            recipe,
            seed,
            folder=folder,
            writes=rank.is_first,
            validate=agreed if validate else None,
            after_backward=exchange,
            report=report if rank.is_first else lambda step, values: None,
            advance=advance if rank.is_first else lambda finished, total: None,
            **more,
        )
    _check_same(rank, _digest_tensors(trained_state(network)), _name_difference)
    return done


def evaluate_in_shares(rank: Rank, count: int, evaluate: Callable[[Rows], torch.Tensor]) -> torch.Tensor:
    """Return `evaluate` of all rows 0…count in their order, on the CPU, in every process.

    Each process evaluates its contiguous rows (one that has none is not asked); `evaluate` returns a tensor with
    a row for each. No row is added to make shares equal, and none counts twice. Raises DataError for no rows, or
    another number of results than rows.
    """
    if not count:
        raise DataError("distributed: there is nothing to evaluate")
    rows = share_rows(np.arange(count), rank.number, rank.world)
    own = evaluate(rows).detach() if len(rows) else None
    if own is not None and len(own) != len(rows):
        raise DataError(f"distributed: {len(own)} results for {len(rows)} samples")
    kinds: list[Any] = [None] * rank.world
    dist.all_gather_object(kinds, None if own is None else (tuple(own.shape[1:]), own.dtype))
    shape, dtype = kinds[0]  # the first share is never empty
    lengths = [len(share_rows(np.arange(count), number, rank.world)) for number in range(rank.world)]
    # an exchange needs equal shapes: only what is sent is filled up, and cut again
    sent = torch.zeros((max(lengths), *shape), dtype=dtype, device=rank.device)
    if own is not None:
        sent[: len(own)] = own
    held = [torch.empty_like(sent) for _ in lengths]
    dist.all_gather(held, sent)
    return torch.cat([part[:length] for part, length in zip(held, lengths, strict=True)]).cpu()


@dataclass(frozen=True)
class _PlannedPart:
    """A part of a step's rows: this process's share, and how its loss counts."""

    share: BatchShare
    weight: float
    """Factor on the mean loss of the share, so that the gradients of all processes add up to the whole one's."""
    counts: float
    """What the share's mean loss contributes to that of the step."""
    scale: float
    """Factor that undoes the loop's weighting of parts by this process's rows."""


class _SharedSource:
    """A source that yields this process's rows of each batch, and knows the share that is being computed."""

    def __init__(self, source: SampleSource, rank: Rank) -> None:
        self.source, self.rank = source, rank
        self.current: BatchShare | None = None
        self._planned: deque[_PlannedPart] = deque()

    def __len__(self) -> int:
        return len(self.source)

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield this process's rows of the batches of a plan."""
        with closing(self.source.batches(self._divide(plan))) as batches:
            yield from batches

    def wrap(self, objective: Objective) -> Objective:
        """Return the objective of a share: its gradient is of this share alone, its value that of all."""

        def shared_objective(batch: Batch, step: int) -> torch.Tensor:
            part = self._planned.popleft()
            self.current = part.share
            try:
                with shared_dropout(part.share):
                    loss = objective(batch, step)
            finally:
                self.current = None
            if not isinstance(loss, torch.Tensor):
                raise TypeError("a distributed training needs an objective that returns a tensor")
            mean = loss.detach() * part.counts
            dist.all_reduce(mean)
            valued: torch.Tensor = _Valued.apply(loss * part.weight, mean * part.scale)
            return valued

        return shared_objective

    def _divide(self, plan: Iterable[DrawnBatch]) -> Iterator[DrawnBatch]:
        """Yield the shares of a plan; note what the objective must know of each, in the same order."""
        number, world = self.rank.number, self.rank.world
        for _, entries in groupby(plan, key=lambda entry: entry[0]):
            parts = list(entries)
            total = sum(len(rows) for _, _, rows in parts)
            # a process without rows could not take part in batch norm: then all compute all rows
            copies = world if min(len(rows) for _, _, rows in parts) < world else 1
            at = [np.arange(len(rows)) for _, _, rows in parts]
            own = at if copies > 1 else [share_rows(rows, number, world) for rows in at]
            mine = sum(map(len, own))
            for (step, epoch, rows), some in zip(parts, own, strict=True):
                share = BatchShare(int(some[0]), int(some[-1]) + 1, len(rows), copies)
                counts = len(some) / (total * copies)
                self._planned.append(_PlannedPart(share, mine / (total * copies), counts, mine / len(some)))
                yield step, epoch, rows[some]


class _Valued(torch.autograd.Function):
    """A tensor with another one's value: the gradient flows to the first."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grad, None


def _sum_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Add up the gradients of all processes, several in one exchange; where none has one, there is none."""
    buckets: list[list[torch.Tensor]] = []
    kinds: list[tuple[torch.device, torch.dtype]] = []
    room = 0
    used = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.uint8)
    dist.all_reduce(used, dist.ReduceOp.MAX)
    for parameter in compress(parameters, used.tolist()):
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        grad, kind = parameter.grad, (parameter.device, parameter.grad.dtype)
        if room <= 0 or kinds[-1] != kind:
            buckets.append([])
            kinds.append(kind)
            room = BUCKET
        buckets[-1].append(grad)
        room -= grad.numel() * grad.element_size()
    flat = [torch.cat([grad.reshape(-1) for grad in bucket]) for bucket in buckets]
    for work in [dist.all_reduce(together, async_op=True) for together in flat]:
        work.wait()
    for bucket, together in zip(buckets, flat, strict=True):
        for grad, summed in zip(bucket, together.split([g.numel() for g in bucket]), strict=True):
            grad.copy_(summed.view(grad.shape))


def _check_same(rank: Rank, value: Any, complaint: Callable[[Any], str]) -> None:
    """Raise DataError if processes hold different values; `complaint` words it from those of the first two."""
    held: list[Any] = [None] * rank.world
    dist.all_gather_object(held, value)
    for number, other in enumerate(held):
        if other != held[0]:
            raise DataError(f"distributed: {complaint((held[0], other))} (process 0 and {number})")


def _digest_file(folder: Path | None) -> str | None:
    path = folder / CHECKPOINT if folder else None
    return hashlib.sha256(path.read_bytes()).hexdigest() if path and path.exists() else None


def _digest_tensors(state: Mapping[str, torch.Tensor]) -> dict[str, str]:
    raw = {name: t.cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for name, t in state.items()}
    return {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in raw.items()}


def _name_difference(held: tuple[dict[str, str], dict[str, str]]) -> str:
    name = next(name for name in held[0] if held[1].get(name) != held[0][name])
    return f"the processes end with different values of '{name}'"
