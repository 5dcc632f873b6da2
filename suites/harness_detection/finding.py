"""What a detector finds in a split's images, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError
from harness.inference.batches import autocast
from harness_dense.gathering import FoundArrays, to_arrays
from harness_dense.mask_codes import join_counts, split_counts
from harness_dense.speed import WARM_UP, iterate_prepared, time_run, time_single_images
from harness_detection.found_checks import check_found

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from harness import Job, Split


@dataclass(frozen=True)
class FoundInSplit:
    """What is found in N images, their sizes N×2 (height, width), and the clocks' readings.

    `latencies`: seconds of single images; `seconds`: of all, in batches, images prepared beforehand.
    """

    found: Sequence[FoundArrays]
    sizes: NDArray[np.int64]
    latencies: NDArray[np.float64]
    seconds: float


def find_in_split(job: Job, model: Any, split: Split, batch: int, timed: int) -> dict[str, Any]:
    """Return what the model finds in all images as a tree of arrays, which `unpack_found` reads."""
    found: list[FoundArrays] = []
    sizes: list[tuple[int, int]] = []
    latencies: list[float] = []
    seconds = 0.0
    for images in iterate_prepared(job, model, split, batch):
        sizes += [(image.shape[-2], image.shape[-1]) for image in images]
        with autocast(job.device, job.precision):
            if len(latencies) < timed:
                warm_up = 0 if latencies else WARM_UP
                latencies += time_single_images(model.detect, images[: timed - len(latencies)], warm_up)
            results, took = time_run(model.detect, images)
        check_found(model, images, results)
        seconds += took
        found += [
            to_arrays(replace(one, boxes=one.boxes.float(), scores=one.scores.float())) for one in results
        ]
        job.advance(len(found), len(split))
    if len({one.masks is None for one in found if len(np.asarray(one.scores))}) > 1:
        raise DataError(f"`detect` of {type(model).__name__}: it gives masks of some images' objects only")
    return _pack(found, sizes, np.array(latencies), seconds)


def unpack_found(tree: Mapping[str, Any]) -> FoundInSplit:
    """Return what `find_in_split` found."""
    masks = split_counts(tree["masks"], tree["mask_ends"]) if "masks" in tree else None
    ends = np.asarray(tree["ends"]).tolist()
    found = [
        FoundArrays(
            tree["boxes"][a:b],
            tree["scores"][a:b],
            tree["labels"][a:b],
            None if masks is None else masks[a:b],
        )
        for a, b in zip([0, *ends[:-1]], ends)
    ]
    return FoundInSplit(
        found, np.asarray(tree["sizes"]), np.asarray(tree["latencies"]), float(tree["seconds"])
    )


def _pack(
    found: Sequence[FoundArrays],
    sizes: Sequence[tuple[int, int]],
    latencies: NDArray[np.float64],
    seconds: float,
) -> dict[str, Any]:
    counts = [len(np.asarray(one.scores)) for one in found]

    def join(name: str, *shape: int) -> NDArray[Any]:
        parts = [np.reshape(getattr(one, name), (-1, *shape)) for one in found]
        return np.concatenate([np.zeros((0, *shape)), *parts])

    tree: dict[str, Any] = {
        "boxes": join("boxes", 4),
        "scores": join("scores"),
        "labels": join("labels").astype(np.int64),
        "ends": np.cumsum(counts, dtype=np.int64),
        "sizes": np.array(sizes, np.int64).reshape(-1, 2),
        "latencies": latencies,
        "seconds": np.array(seconds),
    }
    if any(one.masks is not None for one in found):
        tree["masks"], tree["mask_ends"] = join_counts([mask for one in found for mask in one.masks or ()])
    return tree
