"""The images that the seeds of one cell train, choose and test on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness import DataError, Job, Split
from harness.contract.targets import require_labels
from harness.inference.classes import check_same_classes
from harness.inference.splits import find_test_split, training_split, validation_split
from harness.learning.draws import describe_short_draw, draw_shots, hold_out, rank_for_draw
from harness_training.image_sets import ImageSet, InputScale, draw_permutation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_training.training_options import TrainingOptions


@dataclass
class CellImages:
    """Images to train on, to choose on (None if nothing is held out), to measure training accuracy on, to test on."""

    train: ImageSet
    held_out: ImageSet | None
    measured: ImageSet
    test: ImageSet
    classes: int
    class_names: list[str]
    scale: InputScale
    chosen_on: str
    """What the held-out images are, for the record."""
    remarks: list[str]

    def needs_evaluation(self, peek: bool) -> bool:
        """Return whether a training has images to evaluate on along the way."""
        return self.held_out is not None or peek

    def to_process(self, device: torch.device) -> CellImages:
        """Return the same for another process: held images no longer refer to the split that they are from."""
        held_out = None if self.held_out is None else self.held_out.to_process(device)
        train, measured, test = (part.to_process(device) for part in (self.train, self.measured, self.test))
        return replace(self, train=train, held_out=held_out, measured=measured, test=test)


def load_cell_images(options: TrainingOptions, job: Job) -> CellImages:
    """Return the images of a cell; the same are held out for every model, recipe and seed.

    Raises DataError for a missing split, labels outside the classes, and too few samples.
    """
    label, names = job.cell.dataset.label, job.dataset.splits
    tested, training = find_test_split(names, options.split), training_split(names)
    if tested.name is None or training is None:
        raise DataError(f"{label}: {tested.refusal or 'it has no split for training'}")
    validating = validation_split(names, tested.name)
    parts = {name: job.splits(name) for name in (training, tested.name, validating) if name is not None}
    split, test = parts[training], parts[tested.name]
    remarks: list[str] = []
    for name, one in parts.items():
        if not len(one.ids):
            raise DataError(f"{label}, split '{name}': there are no images")
        require_labels(one.targets, label)
        remarks += [text for text in check_same_classes(split, one, label) if text not in remarks]
    class_names, targets = list(getattr(split, "class_names", None) or ()), np.asarray(split.targets)
    classes = len(class_names) or int(targets.max(initial=-1)) + 1
    for name, one in parts.items():
        remarks += _check_targets(one, classes, class_names, f"{label}, split '{name}'")
    shuffle = draw_permutation(options.size) if options.shuffle_pixels else None
    keeping = (options.size, options.grey, job.device, job.workers, options.hold, shuffle)
    rows, held_rows, chosen_on = np.arange(len(targets)), None, "nothing"
    held_out: ImageSet | None = None
    if validating is not None:
        held_split = parts[validating]
        held_out = ImageSet(held_split, np.arange(len(held_split.ids)), *keeping)
        chosen_on = f"the split '{validating}' ({len(held_out)} images)"
    elif options.holdout:
        rows, held_rows = _hold_out(options.holdout, split, training, classes, remarks)
        chosen_on = f"{len(held_rows)} images held out of '{training}'"
    asked = job.cell.axes.get("images", "all")
    if asked != "all":
        if asked > len(rows):
            left = "" if held_rows is None else f" (besides {len(held_rows)} held out)"
            raise DataError(f"{label}: there are {len(rows)} training images{left}, fewer than {asked}")
        order = rank_for_draw([split.ids[row] for row in rows.tolist()], "training images", training)
        rows = np.sort(rows[order[:asked]])
    if missing := len(np.unique(targets)) - len(np.unique(targets[rows])):
        remarks.append(
            f"{label}: {missing} of {classes} classes that '{training}' has are not among the {len(rows)} "
            "images to train on"
        )
    if not len(rows):
        raise DataError(f"{label}: there are no images to train on")
    train = ImageSet(split, rows, *keeping)
    if validating is None:
        held_out = None if held_rows is None else ImageSet(split, held_rows, *keeping)
    order = rank_for_draw(train.ids, "training accuracy", training)[: options.train_samples]
    measured = train.part(np.sort(order))
    scale = _fit_scale(options, train)
    tests = ImageSet(test, np.arange(len(test.ids)), *keeping)
    return CellImages(train, held_out, measured, tests, classes, class_names, scale, chosen_on, remarks)


def _hold_out(
    holdout: float | int, split: Split, name: str, classes: int, remarks: list[str]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and to choose on: a share, or a number of each class."""
    targets = np.asarray(split.targets)
    if isinstance(holdout, float):
        return hold_out(split.ids, np.arange(len(targets)), holdout, "training", name)
    drawn = draw_shots(split.ids, targets, holdout, "training", name, classes=classes)
    if (short := describe_short_draw(drawn, holdout, name)) is not None:
        remarks.append(short)
    held = np.sort(np.concatenate(drawn))
    rest = np.setdiff1d(np.arange(len(targets)), held)
    if left := [c for c in range(classes) if len(drawn[c]) and not np.any(targets[rest] == c)]:
        raise DataError(f"holdout of {holdout} images per class leaves class {left[0]} none to train on")
    return rest, held


def _check_targets(split: Split, classes: int, names: list[str], where: str) -> list[str]:
    """Return remarks on classes without samples. Raises DataError for a label outside the classes."""
    targets = np.asarray(split.targets)
    if len(targets) and not (targets.min() >= 0 and targets.max() < classes):
        row = int(np.flatnonzero((targets < 0) | (targets >= classes))[0])
        raise DataError(
            f"{where}: sample '{split.ids[row]}' has the label {int(targets[row])}; there are {classes} classes"
        )
    empty = np.flatnonzero(np.bincount(targets, minlength=classes) == 0).tolist()
    if not empty:
        return []
    shown = ", ".join(f"'{names[c]}'" if names else str(c) for c in empty[:3])
    more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
    return [f"{where}: {len(empty)} of {classes} classes have no sample: {shown}{more}"]


def _fit_scale(options: TrainingOptions, train: ImageSet) -> InputScale:
    """Return the input's scale; statistics of images that are not held come from 2,000 of them."""
    if options.scale == "model":
        return InputScale("unit")  # each network has its own
    if options.scale != "standard":
        return InputScale(options.scale, channels=options.channels)
    few = train
    if train.held is None:
        order = rank_for_draw(train.ids, "input scale")[:2000]
        few = ImageSet(
            train.split,
            train.rows[order],
            train.size,
            train.grey,
            train.device,
            train.workers,
            "yes",
            train.shuffle,
        )
    return InputScale("standard", few.held, options.channels)
