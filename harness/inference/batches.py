"""A network over a split in batches: mixed precision, and smaller batches when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

from harness.errors import HarnessError
from harness.inference.trees import join_trees, move_tree_to_device, move_tree_to_host

if TYPE_CHECKING:
    import torch

    from harness.contract.data import Split

Tree = TypeVar("Tree")
"""What a network returns for a batch, see `harness.inference.trees`."""

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
    seed: int | None = None,
) -> Tree:
    """Return `forward` of all samples of a split, in order, on the CPU.

    `prepare` turns a sample's image into a tensor C×H×W or, if it has `many`, several at once;
    `workers` threads prepare ahead (Pillow and the resizing release the interpreter's lock). `collate`
    batches prepared samples, by default by stacking. A result is a tensor B×…, a dict or tuple of results,
    or a list with one result per sample, such as detections; the batches' results are joined
    (`harness.inference.trees`), floats as float32, other numbers in their own type. A batch that does not
    fit into memory is halved and tried again, and the smaller size is kept. With a `seed`, the draws of
    `prepare` from torch depend only on it and the sample's place in the order.
    Raises DataError naming an unreadable sample, OutOfMemory if a single one does not fit.
    """
    import torch

    from harness.learning.draws import plan_in_order
    from harness.learning.pipeline import Pipeline

    source = Pipeline(
        split,
        prepare,
        device=device,
        workers=workers,
        indices=indices,
        collate=_Uncollated if collate else torch.stack,
        seed=seed,
    )
    total, out, position = len(source), [], 0
    with torch.inference_mode(), autocast(device, precision):
        while position < total:
            with closing(source.batches(plan_in_order(total, batch_size, position))) as batches:
                for batch in batches:
                    size, largest = len(batch.rows), 0
                    # keep no name of the batch's data, so that the next one reuses memory still in the cache
                    for count, part in _run_fitting(forward, vars(batch).pop("data"), collate, device):
                        largest = max(largest, count)
                        out.append(move_tree_to_host(part, count))
                    position += size
                    advance(position, total)
                    if largest < size:  # batches prepared ahead are too large, too: prepare them again
                        batch_size = largest
                        break
    return cast("Tree", join_trees(out) if out else torch.empty(0))


@dataclass
class _Uncollated:
    """The prepared samples of a batch, to be collated once it is known how many fit."""

    samples: list[Any]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Return the context of a mixed precision on a device; a null context for float32."""
    if precision == "float32":
        return nullcontext()
    import torch

    return torch.autocast(device.type, dtype=getattr(torch, DTYPES[precision]))


def ran_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception says that the memory of a device or the machine is exhausted."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError | OutOfMemory):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _run_fitting(
    forward: Callable[[Any], Tree],
    batch: torch.Tensor | _Uncollated,
    collate: Callable[[list[Any]], Any] | None,
    device: torch.device,
) -> Iterator[tuple[int, Tree]]:
    """Yield the results of those parts of a batch (a tensor, or uncollated samples) that fit, with their sizes."""
    import torch

    samples: Any = batch.samples if isinstance(batch, _Uncollated) else batch
    size, position = len(samples), 0
    while position < len(samples):
        part: Any = samples[position : position + size]
        count = len(part)
        try:
            result = forward(move_tree_to_device(collate(part), device) if collate else part)
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
