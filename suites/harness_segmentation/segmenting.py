"""What a model says of the pixels of a split's images, counted image by image, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness import DataError, Job, Split
from harness.inference.batches import autocast
from harness_dense.pixel_counts import PixelCounts
from harness_dense.segmentations import Segmentations
from harness_dense.shown_images import choose_images
from harness_dense.speed import WARM_UP, iterate_prepared, time_run, time_single_images
from harness_segmentation.truths import UNKNOWN, read_classes

NAMES = ("ids", "class_names", "groups")
"""Fields of the evidence that are no arrays."""


@dataclass(frozen=True)
class CountedClasses:
    """The classes that count, and where to find them.

    `names`: C, what is measured. `truths`: for each class of the data set its place among them, 255 for one that does
    not count. `places`: for each class of the model its place among them, −1 for none.
    """

    names: Sequence[str]
    truths: NDArray[np.uint8]
    places: NDArray[np.int64]


@dataclass(frozen=True)
class SegmentedSplit:
    """The evidence, the predicted classes H×W of the images of `choose_shown`, and the clocks' readings in seconds."""

    evidence: Segmentations
    pictures: Sequence[NDArray[np.uint8]]
    latencies: NDArray[np.float64]
    seconds: float


def segment_split(
    job: Job, model: Any, split: Split, classes: CountedClasses, *, batch: int, timed: int, pictures: int
) -> dict[str, Any]:
    """Return a tree of arrays, which `unpack_segmented` reads: what the model says of all images.

    Raises DataError, naming the sample, for true classes of another size than the image.
    """
    counts = PixelCounts(classes.names)
    groups: Sequence[str] | None = getattr(split, "groups", None) or None
    seconds, row = 0.0, 0
    latencies: list[float] = []
    known = len(classes.truths)
    truths = np.full(256, UNKNOWN, np.uint8)
    truths[:known] = classes.truths
    for images in iterate_prepared(job, model, split, batch):
        with autocast(job.device, job.precision):
            if len(latencies) < timed:
                warm_up = 0 if latencies else WARM_UP
                latencies += time_single_images(model.segment, images[: timed - len(latencies)], warm_up)
            logits, took = time_run(model.segment, images)
        seconds += took
        check_logits(logits, images, len(classes.places), split.ids[row : row + len(images)])
        for one in logits:
            predicted, confidence = choose_classes(one, classes)
            name = split.ids[row]
            truth = truths[read_classes(split.targets[row], name, known)]
            if truth.shape != predicted.shape:
                sizes = " and ".join(f"{h}×{w}" for h, w in (truth.shape, predicted.shape))
                raise DataError(f"sample '{name}': classes and image of the sizes {sizes} (height×width)")
            counts.add(name, truth, predicted, confidence, None if groups is None else groups[row])
            row += 1
        job.advance(row, len(split))
    evidence = counts.collect()
    packed = evidence.pack()
    tree = {name: value for name, value in packed.items() if name not in NAMES}
    rows = {name: n for n, name in enumerate(split.ids)}
    tree["order"] = np.array([rows[name] for name in packed["ids"]], np.int64)
    # the model sees those few again, since keeping what it says of all would take too much memory
    shown = [rows[evidence.ids[n]] for n in choose_shown(evidence, pictures).values()]
    maps: list[NDArray[np.uint8]] = []
    for images in iterate_prepared(job, model, split, batch, shown):
        with autocast(job.device, job.precision):
            logits = model.segment(images)
        check_logits(logits, images, len(classes.places), [split.ids[n] for n in shown[len(maps) :]])
        maps += [choose_classes(one, classes)[0].astype(np.uint8) for one in logits]
    return {**tree, "pictures": maps, "latencies": np.array(latencies), "seconds": np.array(seconds)}


def check_logits(
    logits: Sequence[torch.Tensor], images: Sequence[torch.Tensor], classes: int, names: Sequence[str]
) -> None:
    """Raise DataError, naming the sample, unless a model gave each image 3×H×W logits C×H×W of its C classes, none NaN."""
    if len(logits) != len(images):
        raise DataError(f"the model's segment returned {len(logits)} maps for {len(images)} images")
    for one, image, name in zip(logits, images, names, strict=False):
        wanted = (classes, *image.shape[-2:])
        if tuple(one.shape) != wanted:
            found, expected = ("×".join(map(str, shape)) for shape in (one.shape, wanted))
            raise DataError(
                f"sample '{name}': the model's segment returned {found}, expected {expected}: the logits of its "
                f"{classes} class_names at the image's size"
            )
        if one.isnan().any():
            raise DataError(
                f"sample '{name}': the model's segment returned logits that are not numbers (NaN)"
            )


def choose_shown(evidence: Segmentations, count: int) -> dict[str, int]:
    """Return images of the evidence by name: those with the largest share of wrong pixels, and typical ones."""
    right, true, _ = (column.sum(axis=1) for column in evidence.sum_by_class())
    wrong = 1 - right / np.where(true > 0, true, np.nan)
    return choose_images({"most-wrong": wrong}, wrong, count)


def choose_classes(
    logits: torch.Tensor, classes: CountedClasses
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the most likely of the counted classes H×W, and its probability among those that the model knows.

    Of several outputs for one class the largest counts; of equal ones the first class is taken.
    """
    known = torch.full((len(classes.names), *logits.shape[1:]), -torch.inf, device=logits.device)
    for output, place in enumerate(classes.places.tolist()):
        if place >= 0:
            known[place] = torch.maximum(known[place], logits[output].float())
    confidence, predicted = known.softmax(dim=0).max(dim=0)
    return predicted.cpu().numpy(), confidence.cpu().numpy()


def unpack_segmented(tree: Mapping[str, Any], split: Split, names: Sequence[str]) -> SegmentedSplit:
    """Return what `segment_split` returned, with the names that it left out."""
    groups: Sequence[str] = getattr(split, "groups", None) or ()
    order = np.asarray(tree["order"]).tolist()
    parts = {
        "ids": [split.ids[n] for n in order],
        "groups": [groups[n] for n in order] if groups else [],
        "class_names": list(names),
    }
    evidence = Segmentations.unpack({**tree, **parts})
    return SegmentedSplit(
        evidence, list(tree["pictures"]), np.asarray(tree["latencies"]), float(tree["seconds"])
    )
