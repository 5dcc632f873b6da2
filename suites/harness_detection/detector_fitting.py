"""Trains a copy of a detector on the clean training split, once for all cells that need the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from harness import Boxes, DataError, Job, Sample
from harness_dense.fitting import Fitted, fit_model
from harness_dense.prepared_images import prepare_whole
from harness_detection.mirroring import mirror_boxes

if TYPE_CHECKING:
    from harness_detection.training_method import DetectorTraining


def fit_detector(job: Job, method: DetectorTraining) -> Fitted:
    """Return a trained copy of the job's model; see `fit_model`."""
    return fit_model(job, method, "detector", lambda model, split, at: _Preparing(model, method.flip))


class _Preparing:
    """Makes the image and the objects of a sample ready, mirrored at random."""

    def __init__(self, model: Any, flip: float) -> None:
        self.model, self.flip = model, flip

    def __call__(self, sample: Sample) -> tuple[torch.Tensor, Boxes]:
        """Return 3×H×W and its objects. Raises DataError for a sample without image or objects' boxes."""
        if not isinstance(sample.target, Boxes):
            raise DataError(f"sample '{sample.id}' has no boxes")
        image = prepare_whole(self.model, sample)
        # drawn even if it is not used, so that `flip` changes no other draw
        if float(torch.rand(())) < self.flip:
            return image.flip(-1), mirror_boxes(sample.target, image.shape[-1])
        return image, sample.target
