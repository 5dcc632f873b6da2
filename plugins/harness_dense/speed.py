"""How long a model takes for single images, and its images in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from harness import Job, Split

WARM_UP = 3
"""Images before the clock counts."""


def time_single_images(
    run: Callable[[list[torch.Tensor]], object], images: Sequence[torch.Tensor], count: int
) -> NDArray[np.float64]:
    """Return the seconds of `count` images, one by one, those given in turn; all that `run` does is included."""
    seconds = []
    for number in range(WARM_UP + count if count else 0):
        image = images[number % len(images)]
        wait_for(image)
        began = time.perf_counter()
        run([image])
        wait_for(image)
        seconds.append(time.perf_counter() - began)
    return np.array(seconds[WARM_UP:])


def iterate_prepared(
    job: Job, model: Any, split: Split, size: int, rows: Sequence[int] | None = None
) -> Iterator[list[torch.Tensor]]:
    """Yield the prepared images of a split in its order, or of some rows in theirs, `size` at a time, on the job's device."""
    from harness.inference.images import Staged
    from harness.learning.draws import plan_in_order
    from harness.learning.pipeline import Pipeline

    pipeline = Pipeline(split, Staged(model.prepare), device=job.device, workers=job.workers, collate=list)
    taken = np.arange(len(split)) if rows is None else np.asarray(rows, np.int64)
    plan = ((n, epoch, taken[places]) for n, epoch, places in plan_in_order(len(taken), size))
    with closing(pipeline.batches(plan)) as batches:
        for batch in batches:
            yield batch.data


def wait_for(image: torch.Tensor) -> None:
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
