"""Facts of a fine-tuning cell before training: its data, its classes, and its initial network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from harness import Job, Unavailable, derive_seed
from harness.inference.classes import Classes, align_classes
from harness.inference.zeroshot import templates_of
from harness_peft.cell_samples import CellSamples
from harness_peft.shared_head import shares_head

if TYPE_CHECKING:
    from harness_peft.options import FinetuningOptions
    from harness_peft.training_data import TrainingBatches


class CellFacts:
    """A cell's protocol, job and derived facts; `training` is set once the samples are drawn."""

    training: TrainingBatches

    def __init__(self, protocol: FinetuningOptions, job: Job) -> None:
        self.protocol, self.job, self.method = protocol, job, job.method
        self.data = CellSamples(protocol, job)
        split = self.data.train_split
        targets = np.asarray(split.targets)
        self.class_names = list(getattr(split, "class_names", None) or ())
        self.label_sets = targets.ndim == 2
        self.classes = len(self.class_names) or (
            targets.shape[1] if self.label_sets else int(targets.max()) + 1
        )
        own, found = Classes.of(job.model), Classes.of(split, job.dataset)
        self.own_head = align_classes(own, found)
        self.shares_head = shares_head(job.model, split, job.dataset)
        self.templates = protocol.templates or templates_of(split, job.cell.dataset.label)
        self.solves, self.fits = hasattr(job.method, "solve"), hasattr(job.method, "fit")
        self.trains = getattr(job.method, "trains", True)
        if self.label_sets and not self.solves:
            raise Unavailable(
                f"{job.cell.dataset.label}: only the linear probe supports samples with several labels so far"
            )

    def network_facts(self, seed: object) -> dict[str, Any]:
        """Return what determines the network before the method, besides the model."""
        job, protocol = self.job, self.protocol
        groups = self.own_head.columns or getattr(self.data.train_split, "label_indices", None)
        return {
            "classes": self.classes,
            "head": protocol.head,
            "train_head": protocol.train_head,
            "label_indices": None if groups is None else [[int(i) for i in group] for group in groups],
            "same_space": self.shares_head,
            "class_names": self.class_names,
            "templates": list(self.templates),
            "logit_scale": protocol.logit_scale,
            "seed": derive_seed("network", job.cell.dataset.identity, seed),
        }
