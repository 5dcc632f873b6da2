"""A network over a split in batches: prefetching, mixed precision, and smaller batches when memory ends."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, TypeVar, cast

from harness.errors import DataError, HarnessError
from harness.inference.trees import joined, to_device, to_host

if TYPE_CHECKING:
    import torch

    from harness.contract.data import Sample, Split

Tree = TypeVar("Tree")
"""What a network returns for a batch, see `harness.inference.trees`."""

GROUP = 64
"""Samples that are prepared together at most."""

DTYPES = {"bfloat16": "bfloat16", "float16": "float16"}


class OutOfMemory(HarnessError):
    """Not even a single sample fits into memory."""


def forward_all(
    forward: Callable[[Any], Tree],
    split: Split,
    prepare: Callable[[Any], Any],
    *,
    device: torch.device,
    batch_size: int = 64,
    precision: str = "float32",
    workers: int = 0,
    indices: Sequence[int] | None = None,
    advance: Callable[[int, int], None] = lambda done, total: None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> Tree:
    """Return `forward` of all samples of a split, in order, on the CPU.

    `prepare` turns a sample's image into a tensor C×H×W, or, where it has `many`, several at once;
    `workers` threads prepare ahead (Pillow and the resizing release the interpreter's lock). `collate`
    makes a batch of prepared samples, which by default are stacked. A result is a tensor B×…, a dict or
    tuple of results, or a list with one result per sample, such as detections; those of all batches are
    put together (`harness.inference.trees`), floats as float32, other numbers of their own type. A batch that does
    not fit into memory is halved and tried again, and the smaller size is kept.
    Raises DataError naming the sample that can't be read, OutOfMemory when one alone doesn't fit.
    """
    import torch

    order = range(len(split)) if indices is None else indices
    total, out, position = len(order), [], 0
    with (
        torch.inference_mode(),
        autocast(device, precision),
        _prefetch(split, prepare, order, workers) as take,
    ):
        while position < total:
            size, largest = min(batch_size, total - position), 0
            # no name holds a batch on, so that the next one is laid into memory that is still in the cache
            for count, part in _fitting(
                forward,
                take(size) if collate else torch.stack(take(size)).to(device, non_blocking=True),
                collate,
                device,
            ):
                largest = max(largest, count)
                out.append(to_host(part, count))
            position += size
            batch_size = largest if largest < size else batch_size
            advance(position, total)
    return cast("Tree", joined(out) if out else torch.empty(0))


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision of that name on that device; nothing for float32."""
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device.type, dtype=getattr(torch, DTYPES[precision]))


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that a device's or the machine's memory is used up."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _fitting(
    forward: Callable[[Any], Tree],
    batch: torch.Tensor | list[Any],
    collate: Callable[[list[Any]], Any] | None,
    device: torch.device,
) -> Iterator[tuple[int, Tree]]:
    """The results of parts of a batch (a tensor, or samples still to be collated) that fit, with their sizes."""
    import torch

    size = len(batch)
    position = 0
    while position < len(batch):
        part: Any = batch[position : position + size]
        count = len(part)
        try:
            result = forward(to_device(collate(part), device) if collate else part)
        except (RuntimeError, MemoryError) as error:
            if not ran_out_of_memory(error):
                raise
            if size == 1:
                raise OutOfMemory("a single sample does not fit into memory") from error
            size = (size + 1) // 2
            if device.type == "cuda":
                torch.cuda.empty_cache()
            continue
        yield count, result
        position += size


class _prefetch:
    """Prepared samples in order, some batches ahead of their use."""

    def __init__(
        self, split: Split, prepare: Callable[[Any], Any], order: Sequence[int], workers: int
    ) -> None:
        self.split, self.prepare, self.order = split, prepare, iter(order)
        self.pool = ThreadPoolExecutor(workers, "prepare") if workers > 0 else None
        self.ready: deque[Any] = deque()
        self.ahead: deque[Future[list[Any]]] = deque()
        # threads take smaller groups, several each
        self.group = max(1, min(GROUP // 4, len(order) // (4 * workers))) if workers > 0 else GROUP
        self.depth = workers * (GROUP // self.group)

    def __enter__(self) -> Callable[[int], list[Any]]:
        return self._take

    def __exit__(self, *_: object) -> None:
        if self.pool:
            self.pool.shutdown(cancel_futures=True)

    def _take(self, count: int) -> list[Any]:
        while len(self.ready) < count and (group := self._next(count)):
            self.ready.extend(group)
        return [self.ready.popleft() for _ in range(min(count, len(self.ready)))]

    def _next(self, count: int) -> list[Any]:
        """The next few samples; none when all are taken."""
        if self.pool is None:
            return self._several(list(itertools.islice(self.order, self.group)))
        while len(self.ahead) < self.depth + count // self.group and (
            rows := list(itertools.islice(self.order, self.group))
        ):
            self.ahead.append(self.pool.submit(self._several, rows))
        return self.ahead.popleft().result() if self.ahead else []

    def _several(self, rows: Sequence[int]) -> list[Any]:
        samples = [self.split[row] for row in rows]
        if hasattr(self.prepare, "many"):
            try:
                return list(self.prepare.many([sample.image for sample in samples]))
            except (DataError, OSError):
                pass  # one by one they tell which sample it was
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Any:
        if sample.image is None:
            raise DataError(f"sample '{sample.id}' has no image")
        try:
            return self.prepare(sample.image)
        except (DataError, OSError) as error:  # an image that is only read now knows no name of its own
            named = str(error) if sample.id in str(error) else f"sample '{sample.id}': {error}"
            raise DataError(named) from error
