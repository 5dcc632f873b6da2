"""Batches of samples for fine-tuning: kept in memory, or prepared ahead while the device computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from harness import DataError, Preparation, Split
from harness.learning.augmentation import build_augmentation
from harness.learning.draws import plan_in_order
from harness.learning.pipeline import HeldSamples, Pipeline, SampleSource, require_sample_image
from harness.learning.recipe import AugmentationKind

KEPT_BYTES = 2**30
"""Largest size of prepared images to keep in memory; augmented ones are never kept."""


class TrainingBatches:
    """Prepared images of some samples of a split, by position, on the device.

    Without augmentation they are prepared once and kept if they fit into memory; with it they are prepared
    again in each epoch, by `workers` threads while the device computes. Raises DataError without samples.
    """

    def __init__(
        self,
        split: Split,
        indices: Iterable[int],
        prepare: Callable[[Any], torch.Tensor],
        device: torch.device,
        augmentation: AugmentationKind = "none",
        preparation: Preparation | None = None,
        workers: int = 0,
    ) -> None:
        self.split, self.indices, self.device = split, [int(i) for i in indices], device
        self.workers = workers
        if not self.indices:
            raise DataError("finetuning: no samples to train or validate on")
        self.prepare = prepare
        self.augmented = augmentation != "none"
        if self.augmented:
            self.prepare = build_augmentation(augmentation, preparation)
        self.targets = torch.as_tensor(np.asarray(split.targets)[self.indices], device=device)
        self._kept: torch.Tensor | None = None
        if not self.augmented:
            first = self._one(0)
            if first.numel() * first.element_size() * len(self.indices) <= KEPT_BYTES:
                rest = [self._one(i) for i in range(1, len(self.indices))]
                self._kept = torch.stack([first, *rest]).to(device)

    def __len__(self) -> int:
        return len(self.indices)

    def make_source(self, seed: int) -> SampleSource:
        """Return the source of a training's batches; augmentation depends only on `seed`, epoch and sample."""
        if self._kept is not None:
            return HeldSamples(self._kept, self.targets)
        return Pipeline(
            self.split, self.prepare, device=self.device, workers=self.workers, indices=self.indices,
            targets=self.targets.cpu(), seed=seed if self.augmented else None,
        )  # fmt: skip

    def iterate(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield images B×3×H×W and labels B of all samples, in order."""
        for batch in self.make_source(0).batches(plan_in_order(len(self), size)):
            assert batch.targets is not None
            yield batch.data, batch.targets

    def take(self, count: int) -> torch.Tensor:
        """Return the first `count` images, B×3×H×W."""
        found: torch.Tensor = next(self.make_source(0).batches([(0, 0, np.arange(count))])).data
        return found

    def _one(self, position: int) -> torch.Tensor:
        return self.prepare(require_sample_image(self.split[self.indices[position]]))
