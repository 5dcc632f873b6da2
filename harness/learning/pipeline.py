"""Batches that are prepared ahead: while the device computes, the next ones are read, prepared and copied.

An assembling thread collates each batch and copies it; `workers` more threads read and prepare samples for
it (Pillow and the resizing release the interpreter's lock). Without workers, the assembling thread prepares,
too. On a CPU it starts only once something waits other than for computing (a disk, a simulated device): a
second thread would compute no faster than the one.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from harness.contract.data import Sample, Split
from harness.contract.seeds import derive_seed
from harness.errors import DataError
from harness.inference.trees import map_tree
from harness.learning.draws import DrawnBatch, Rows

GROUP = 64
"""Samples that one thread prepares together at most."""


@dataclass
class Batch:
    """Samples of one step: their rows, their data (a tensor or a tree of them) and targets on the device."""

    step: int
    epoch: int
    rows: Rows
    data: Any
    targets: torch.Tensor | None = None


class SampleSource(Protocol):
    """Samples that a training or an evaluation takes in batches."""

    def __len__(self) -> int: ...

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield the batches of a plan, in its order."""
        ...


class HeldSamples:
    """Samples held as tensors: a tree of them, or what `tensors(epoch)` returns for each epoch.

    Leaves are indexed by rows, or read by their method `take`. Draws of the function must depend on the
    epoch alone: a resumed training calls it in the middle of one.
    """

    def __init__(self, tensors: Any, targets: torch.Tensor | None = None) -> None:
        self.targets = targets
        self._make: Callable[[int], Any] | None = None
        if callable(tensors) and not isinstance(tensors, torch.Tensor):
            self._make = tensors
            if targets is None:
                raise ValueError("tensors made for each epoch need targets, which tell their number")
        self._epoch, self._tensors = -1, None if self._make else tensors
        self._count = len(targets) if targets is not None else len(next(_leaves(tensors)))

    def __len__(self) -> int:
        return self._count

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield the rows of each batch."""
        for step, epoch, rows in plan:
            yield Batch(step, epoch, rows, *self.take(rows, epoch))

    def take(self, rows: Rows, epoch: int) -> tuple[Any, torch.Tensor | None]:
        """Return data and targets of rows of any shape, whose axes come first, as they are in an epoch."""
        if self._make is not None and epoch != self._epoch:
            self._epoch, self._tensors = epoch, self._make(epoch)
        at = torch.from_numpy(rows)
        data = map_tree(partial(_take_rows, at), self._tensors)
        return data, None if self.targets is None else _take_rows(at, self.targets)


def require_sample_image(sample: Sample) -> Any:
    """Return a sample's image. Raises DataError naming the sample that has none."""
    if sample.image is None:
        raise DataError(f"sample '{sample.id}' has no image")
    return sample.image


def take_sample(split: Split, row: int) -> Sample:
    """Return a sample of a split. Raises DataError naming the one that can't be read."""
    try:
        return split[row]
    except (DataError, OSError) as error:
        raise name_sample(error, split.ids[row]) from error


def name_sample(error: Exception, name: str) -> DataError:
    """Return an error as one that names its sample: what is read lazily may not know its name."""
    return DataError(str(error) if name in str(error) else f"sample '{name}': {error}")


class Pipeline:
    """The samples of a split, prepared ahead of their use in batches on a device.

    `prepare` turns what `take` returns of a sample (its image) into tensors or, if it has `many`, several at
    once; `collate` puts those of a batch together. `indices` chooses samples of the split: rows count these,
    and so do `targets` (on the CPU). With indices, `split` may be a function that returns the split of an
    epoch. With a `seed`, the draws of `prepare` from torch depend on the seed, the epoch and the row alone;
    neither the number of `workers` nor the `depth` changes a result. At most `depth` batches are prepared or
    in preparation, beside the one in use; by default two, or more if they are too small to keep all workers
    busy.

    Raises DataError naming the sample that can't be read.
    """

    def __init__(
        self,
        split: Split | Callable[[int], Split],
        prepare: Callable[[Any], Any],
        *,
        device: torch.device,
        workers: int = 0,
        indices: Sequence[int] | None = None,
        targets: torch.Tensor | None = None,
        collate: Callable[[list[Any]], Any] = torch.stack,
        take: Callable[[Sample], Any] = require_sample_image,
        depth: int | None = None,
        seed: int | None = None,
    ) -> None:
        self.prepare, self.device, self.workers = prepare, device, workers
        if callable(split):
            if indices is None:
                raise ValueError("a split made for each epoch needs indices, which tell its length")
            self.split_of, self.indices = split, indices
        else:
            self.split_of = lambda epoch: split
            self.indices = range(len(split)) if indices is None else indices
        self.targets, self.collate, self.take, self.depth, self.seed = targets, collate, take, depth, seed

    def __len__(self) -> int:
        return len(self.indices)

    def batches(self, plan: Iterable[DrawnBatch]) -> Generator[Batch, None, None]:
        """Yield the batches of a plan in its order; close the generator to stop the threads early."""
        entries, depth = iter(plan), self.depth
        if self.workers < 1 and self.device.type == "cpu":
            yield from self._prepare_until_waiting(entries)
        ahead: deque[Future[tuple[Batch, Any]]] = deque()
        stream = _Copies(self.device)
        with _threads(self.workers, "prepare") as pool, _threads(1, "assemble") as assembling:
            assert assembling is not None

            def fill() -> None:
                nonlocal depth
                while depth is None or len(ahead) < depth:
                    if (entry := next(entries, None)) is None:
                        return
                    depth = depth or max(2, math.ceil(2 * self.workers / max(len(entry[2]), 1)))
                    parts = self._submit(entry, pool)
                    ahead.append(assembling.submit(self._assemble, entry, parts, stream))

            fill()
            while ahead:
                batch, copied = ahead.popleft().result()
                fill()
                stream.wait(batch, copied)
                yield batch
                del batch  # so that the next one can reuse its memory

    def _prepare_until_waiting(self, entries: Iterator[DrawnBatch]) -> Generator[Batch, None, None]:
        """Prepare batches in the calling thread, until it is seen to wait for a fifth of its time."""
        began, busy = time.perf_counter(), time.thread_time()
        for entry in entries:
            yield self._collate_batch(entry, None)
            if time.thread_time() - busy < 0.8 * (time.perf_counter() - began):
                return

    def _submit(self, entry: DrawnBatch, pool: ThreadPoolExecutor | None) -> list[Future[list[Any]]] | None:
        """Let the workers prepare a batch, in pieces that occupy all of them."""
        if pool is None:
            return None
        _, epoch, rows = entry
        size = min(GROUP // 4, math.ceil(len(rows) / (2 * self.workers))) or 1
        return [
            pool.submit(self._prepare_rows, rows[at : at + size], epoch) for at in range(0, len(rows), size)
        ]

    def _assemble(
        self, entry: DrawnBatch, parts: list[Future[list[Any]]] | None, stream: _Copies
    ) -> tuple[Batch, Any]:
        batch = self._collate_batch(entry, parts)
        return batch, stream.copy(batch)

    def _collate_batch(self, entry: DrawnBatch, parts: list[Future[list[Any]]] | None) -> Batch:
        step, epoch, rows = entry
        if parts is None:
            groups = (rows[at : at + GROUP] for at in range(0, len(rows), GROUP))
            samples = [sample for group in groups for sample in self._prepare_rows(group, epoch)]
        else:
            samples = [sample for part in parts for sample in part.result()]
        targets = None if self.targets is None else self.targets[torch.from_numpy(rows)]
        return Batch(step, epoch, rows, self.collate(samples), targets)

    def _prepare_rows(self, rows: Rows, epoch: int) -> list[Any]:
        # grad mode and autocast are per thread: set them, so that every thread computes the same
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            return self._prepare_several(rows, epoch)

    def _prepare_several(self, rows: Rows, epoch: int) -> list[Any]:
        if self.seed is not None:
            return [self._prepare_seeded(row, epoch) for row in rows.tolist()]
        split = self.split_of(epoch)
        samples = [take_sample(split, self.indices[row]) for row in rows.tolist()]
        if hasattr(self.prepare, "many"):
            try:
                return list(self.prepare.many([self.take(sample) for sample in samples]))
            except (DataError, OSError):
                pass  # one by one shows which sample it was
        return [self._prepare_one(sample) for sample in samples]

    def _prepare_seeded(self, row: int, epoch: int) -> Any:
        from harness.learning.randomness import drawing_from

        with drawing_from(derive_seed("sample", self.seed, epoch, row)):
            return self._prepare_one(take_sample(self.split_of(epoch), self.indices[row]))

    def _prepare_one(self, sample: Sample) -> Any:
        taken = self.take(sample)
        try:
            return self.prepare(taken)
        except (DataError, OSError) as error:
            raise name_sample(error, sample.id) from error


class _Copies:
    """Copies of batches to a device; on CUDA from pinned memory on a separate stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def copy(self, batch: Batch) -> Any:
        """Start copying; return what `wait` needs."""
        if self._stream is None:
            if self.device.type != "cpu":
                self._move(batch, lambda leaf: leaf.to(self.device))
            return None
        with torch.cuda.stream(self._stream):
            self._move(batch, lambda leaf: leaf.pin_memory().to(self.device, non_blocking=True))
            return self._stream.record_event()

    def wait(self, batch: Batch, copied: Any) -> None:
        """Let the device's current stream wait for a copy, and know of its memory."""
        if copied is not None:
            current = torch.cuda.current_stream(self.device)
            current.wait_event(copied)
            self._move(batch, lambda leaf: leaf.record_stream(current) or leaf)

    @staticmethod
    def _move(batch: Batch, move: Callable[[Any], Any]) -> None:
        batch.data = map_tree(lambda leaf: move(leaf) if isinstance(leaf, torch.Tensor) else leaf, batch.data)
        batch.targets = None if batch.targets is None else move(batch.targets)


@contextmanager
def _threads(count: int, name: str) -> Iterator[ThreadPoolExecutor | None]:
    """Yield a pool of threads that ends with the block, its waiting tasks cancelled; None for a count of 0."""
    if count < 1:
        yield None
        return
    pool = ThreadPoolExecutor(count, name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, Mapping | list | tuple):
        for value in tree.values() if isinstance(tree, Mapping) else tree:
            yield from _leaves(value)
    else:
        yield tree


def _take_rows(at: torch.Tensor, leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf[at.to(leaf.device, non_blocking=True)]
    return leaf.take(at)
