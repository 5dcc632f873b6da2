"""Draw the samples that one cell trains, validates and tests on, and batch them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Split, derive_seed
from harness.inference.classes import check_same_classes
from harness.inference.evaluate import image_pipeline
from harness.inference.splits import find_test_split, training_split, validation_split
from harness.learning.draws import describe_short_draw, draw_shots, hold_out
from harness_peft.prepared_splits import JoinedSplit, PreparedSplit, PreparedSplits, pass_through
from harness_peft.training_data import TrainingBatches

if TYPE_CHECKING:
    from harness_peft.options import FinetuningOptions

Indices = Any


class CellSamples:
    """The data of a cell; cells of the same worker share prepared images.

    Raises DataError if a split is missing, or the test split has other classes.
    """

    def __init__(self, protocol: FinetuningOptions, job: Job) -> None:
        self.protocol, self.job = protocol, job
        self.splits = job.shared("prepared splits", PreparedSplits)
        self.shots = job.cell.axes.get("shots", "all")
        names, label = job.dataset.splits, job.cell.dataset.label
        test, train = find_test_split(names, protocol.split), training_split(names)
        if test.name is None or train is None:
            raise DataError(f"{label}: {test.refusal or 'it has no split for training'}")
        self.train, self.tested = train, test.name
        self.validating = validation_split(names, self.tested)
        self.train_split = job.splits(train)
        for text in check_same_classes(self.train_split, job.splits(test.name), label):  # before the training
            job.remark(text)

    def draw_samples(self, seed: object, validate: bool = True) -> tuple[Indices, Indices, str]:
        """Return the indices for training and validation, and the name of the latter's split.

        Unless `validate`, the data set may lack a validation split. Raises DataError if one is needed but
        missing, or if `train_size` or shots can't be drawn.
        """
        data, shots = self.job.cell.dataset.identity, self.shots
        targets = np.asarray(self.train_split.targets)
        if targets.ndim > 1 and shots != "all":
            raise DataError(
                f"{self.job.cell.dataset.label}: can't draw shots per class from samples with several labels"
            )
        indices = np.arange(len(targets))
        if self.protocol.train_size is not None:
            size = self.protocol.train_size
            if size > len(targets):
                raise DataError(f"finetuning: train_size is {size}, the split has {len(targets)} samples")
            rng = np.random.default_rng(derive_seed("train size", data, size))
            indices = np.sort(rng.permutation(len(targets))[:size])
        ids = self.train_split.ids
        if shots != "all":
            drawn = draw_shots([ids[i] for i in indices.tolist()], targets[indices], shots, seed, self.train)
            if (remark := describe_short_draw(drawn, shots, self.train)) is not None:
                self.job.remark(remark)
            indices = indices[np.sort(np.concatenate(drawn))]
        name = self.validating
        if self.protocol.holdout is not None and not (self.protocol.own_validation and name is not None):
            part, rest = hold_out(ids, indices, self.protocol.holdout, seed, self.train)
            return part, rest, self.train
        if not validate:
            return indices, indices[:0], self.train
        if name is None:
            raise DataError(
                f"{self.job.cell.dataset.label}: no split 'val' to tune on besides '{self.tested}', the test split: "
                "give holdout, a share of the training samples"
            )
        validating = self.job.splits(name)
        check_same_classes(self.train_split, validating, self.job.cell.dataset.label)
        if shots == "all":
            return indices, np.arange(len(validating.targets)), name
        few = draw_shots(validating.ids, validating.targets, min(shots, 4), seed, name)
        return indices, np.sort(np.concatenate(few)), name

    @property
    def can_validate(self) -> bool:
        """Whether there are samples to validate on."""
        return self.protocol.holdout is not None or self.validating is not None

    def prepare_split(self, name: str, there: Job | None = None) -> PreparedSplit:
        """Return a split of the cell's data set, or of another job's, with prepared images."""
        job = there or self.job
        assert job.cell.model is not None
        split = job.splits(name)
        key = f"{job.cell.model.identity}\n{job.cell.dataset.identity}\n{name}\n{job.cell.limit}\n{job.cell.images}"
        found: PreparedSplit = self.splits.get(key, split, image_pipeline(job, split))
        found.name = name
        return found

    def join_batches(self, indices: Indices, name: str, held: Indices, augment: bool) -> TrainingBatches:
        """Return batches of training and validation samples together."""
        if name == self.train:
            return self.make_batches(name, np.sort(np.concatenate([indices, held])), augment)
        both = np.concatenate([indices, held + len(self.train_split.targets)])
        if augment and self.protocol.augmentation != "none":
            raw = JoinedSplit([self.train_split, self.job.splits(name)])
            return self._make_augmented_batches(raw, both)
        joined = JoinedSplit([self.prepare_split(self.train), self.prepare_split(name)])
        return TrainingBatches(joined, both, pass_through, self.job.device, workers=self.job.workers)

    def _make_augmented_batches(self, split: Split, indices: Indices) -> TrainingBatches:
        preparation = getattr(self.job.model, "preparation", None)
        kind, device, workers = self.protocol.augmentation, self.job.device, self.job.workers
        return TrainingBatches(split, indices, pass_through, device, kind, preparation, workers)

    def make_batches(self, name: str, indices: Indices, augment: bool = False) -> TrainingBatches:
        """Return batches of some of a split's samples."""
        if augment and self.protocol.augmentation != "none":
            return self._make_augmented_batches(self.job.splits(name), indices)
        prepared = self.prepare_split(name)
        return TrainingBatches(prepared, indices, pass_through, self.job.device, workers=self.job.workers)
