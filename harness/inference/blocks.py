"""Computations over a split that are pieces laid end to end, so that several workers can share them.

The feature cache keeps such a computation in blocks of some 50 batches (`harness.inference.shared_blocks`).
Blocks are cut at multiples of the batch size: every batch holds the same samples as in one pass, so the joined
array equals that of one pass to the last bit. Two things end that, with or without blocks: a batch that is
halved since memory ran out (in one pass all later ones are halved, too; with blocks those of its own block),
and a device of another kind, whose kernels round otherwise. So blocks are shared only by workers with the same
batch size and device.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from harness.contract.declared import ask
from harness.inference.batches import forward_all
from harness.inference.trees import map_tree

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.contract.data import Split
    from harness.contract.running import Job

Tree = TypeVar("Tree")

Advance = Callable[[int, int], None]
"""Gets how many samples are done, and of how many."""

BATCHES = 50
"""The most batches of a block: a kill costs so many, and two workers can share what needs more."""


def cut_blocks(count: int, batch_size: int, batches: int = BATCHES) -> list[tuple[int, int]]:
    """Return the start and stop of each block of `count` samples, in order: whole batches, but for the last one.

    There are as few blocks of at most `batches` batches as possible, and they differ by one batch at most.
    """
    whole = -(-count // batch_size)
    blocks = max(1, -(-whole // batches))
    edges = [whole * n // blocks * batch_size for n in range(blocks)] + [count]
    return list(pairwise(edges))


@dataclass(frozen=True)
class InBlocks(Generic[Tree]):
    """A computation for `Job.features` that workers may share: `compute` of all blocks, laid end to end.

    `compute(start, stop, advance)` returns the tree of the samples from `start` to `stop`, one row each, on the
    CPU. `finish` gets the joined tree and the samples per second of one worker, and returns what is kept; it is
    called once, before any other worker can see the array. `place` names the device, since workers with other
    devices make their own blocks. Called like a function, it computes everything in one pass.
    """

    count: int
    batch_size: int
    place: str
    compute: Callable[[int, int, Advance], Any]
    finish: Callable[[Any, float], Tree] = lambda tree, rate: tree
    advance: Advance = lambda done, total: None
    batches: int = BATCHES

    @property
    def cuts(self) -> list[tuple[int, int]]:
        """The start and stop of each block."""
        return cut_blocks(self.count, self.batch_size, self.batches)

    def __call__(self) -> Tree:
        """Return the tree of all samples, computed in one pass."""
        tree, seconds = self.time_part(0, self.count, self.advance)
        return self.finish(tree, self.count / seconds)

    def time_part(self, start: int, stop: int, advance: Advance) -> tuple[Any, float]:
        """Return the tree of arrays of some samples, and the seconds of its computation."""
        began = time.perf_counter()
        tree = map_tree(np.asarray, self.compute(start, stop, advance))
        return tree, max(time.perf_counter() - began, 1e-9)


def forward_in_blocks(
    job: Job,
    forward: Callable[[Any], Any],
    split: Split,
    make_prepare: Callable[[], Callable[[Any], Any]],
    *,
    rows: NDArray[np.int64] | None = None,
    finish: Callable[[Any, float], Tree] = lambda tree, rate: tree,
    batches: int = BATCHES,
) -> InBlocks[Tree]:
    """Return `harness.inference.batches.forward_all` of a split's samples, or of its `rows`, for `Job.features`.

    `forward` is as there, and `make_prepare` returns `prepare`; it is called only if something is computed. Batch
    size, device, precision and the model's `collate` are the job's. `finish` and `batches` are those of
    `InBlocks`.
    """
    count = len(split) if rows is None else len(rows)

    def compute(start: int, stop: int, advance: Advance) -> Any:
        return forward_all(
            forward,
            split,
            make_prepare(),
            device=job.device,
            batch_size=job.batch_size,
            precision=job.precision,
            workers=job.workers,
            indices=range(start, stop) if rows is None else rows[start:stop].tolist(),
            advance=advance,
            collate=ask(job.model, "collate"),
        )

    return InBlocks(count, job.batch_size, name_device(job.device), compute, finish, job.advance, batches)


def name_device(device: torch.device) -> str:
    """Return what decides how a device rounds: the name of a GPU, else its type."""
    if device.type != "cuda":
        return device.type
    import torch

    return torch.cuda.get_device_name(device)
