"""How long a model takes for single images, and its images in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from harness_dense.prepared_images import prepare_whole, take_whole

if TYPE_CHECKING:
    import torch

    from harness import Job, Split

T = TypeVar("T")

WARM_UP = 3
"""Times that an image is seen before the clock counts."""


def time_run(run: Callable[[Sequence[torch.Tensor]], T], images: Sequence[torch.Tensor]) -> tuple[T, float]:
    """Return what `run` says of images, and the seconds that it took."""
    _wait_for(images[0])
    began = time.perf_counter()
    found = run(images)
    _wait_for(images[0])
    return found, time.perf_counter() - began


def time_single_images(
    run: Callable[[Sequence[torch.Tensor]], object], images: Sequence[torch.Tensor], warm_up: int = 0
) -> list[float]:
    """Return the seconds of each image alone, all that `run` does included.

    The first one is seen `warm_up` times before the clock counts.
    """
    for _ in range(warm_up):
        run(images[:1])
    return [time_run(run, [image])[1] for image in images]


def iterate_prepared(
    job: Job, model: Any, split: Split, size: int, rows: Sequence[int] | None = None
) -> Iterator[list[torch.Tensor]]:
    """Yield the prepared images of a split in its order, or of some rows in theirs, `size` at a time, on the job's device."""
    from harness.learning.draws import plan_in_order
    from harness.learning.pipeline import Pipeline

    pipeline = Pipeline(
        split, partial(prepare_whole, model), device=job.device, workers=job.workers, collate=list, take=take_whole
    )  # fmt: skip
    taken = np.arange(len(split)) if rows is None else np.asarray(rows, np.int64)
    plan = ((n, epoch, taken[places]) for n, epoch, places in plan_in_order(len(taken), size))
    with closing(pipeline.batches(plan)) as batches:
        for batch in batches:
            yield batch.data


def _wait_for(image: torch.Tensor) -> None:
    """Wait until the image's device has done what was asked of it."""
    if image.is_cuda:
        import torch

        torch.cuda.synchronize(image.device)


def describe_speed(latencies: NDArray[np.float64], images: int, seconds: float) -> dict[str, float]:
    """Return the costs `images_per_second` (in batches), `latency_ms` (median) and `latency_p95_ms` of single images."""
    cost = {"images_per_second": images / max(seconds, 1e-9)}
    if len(latencies):
        median, slow = np.percentile(1000 * np.asarray(latencies), [50, 95])
        cost |= {"latency_ms": float(median), "latency_p95_ms": float(slow)}
    return cost
