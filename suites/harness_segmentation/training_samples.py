"""Training samples: an image, the classes of its pixels, and how much each counts, changed at random together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from harness import DataError, Job, Sample, Split, decode
from harness.contract.declared import ask
from harness.inference.classes import normalise_class_name
from harness_segmentation.truths import read_classes
from harness_segmenters.pixel_weights import UNCOUNTED, balance_by_median, count_classes, weigh_gaps

if TYPE_CHECKING:
    from harness_segmentation.training_method import SegmenterTraining

BACKGROUND = "background"


class TrainingSamples:
    """Makes a training sample's image and the classes of its pixels ready; its draws are torch's.

    Raises DataError for a class that no name belongs to, and, if gaps between objects are weighted, for a data set
    without a class "background".
    """

    def __init__(self, method: SegmenterTraining, model: Any, split: Split, job: Job) -> None:
        self.method, self.model = method, model
        names = ask(split, "class_names") or ask(job.dataset, "class_names")
        self.class_names = list(names)
        self.background = self._find_background(job) if method.gaps else 0
        self.class_weights: Tensor | None = None
        if method.balance != "none":
            counted = job.shared("pixels by class", lambda: self._count(split), of="dataset")
            self.class_weights = torch.from_numpy(balance_by_median(counted)).float()

    def _find_background(self, job: Job) -> int:
        for place, name in enumerate(self.class_names):
            if normalise_class_name(name) == BACKGROUND:
                return place
        raise DataError(
            f"{job.cell.dataset.label}: gaps between objects are weighted, but no class is called '{BACKGROUND}'"
        )

    def _count(self, split: Split) -> NDArray[np.int64]:
        classes = len(self.class_names)
        rows = range(len(split))
        return np.stack(
            [count_classes(read_classes(split.targets[n], split.ids[n], classes), classes) for n in rows]
        )

    def __call__(self, sample: Sample) -> tuple[Tensor, ...]:
        """Return the image 3×H×W, the classes H×W of its pixels, and their weights H×W if there are any.

        Raises DataError for a sample without an image, or classes of another size.
        """
        if sample.image is None:
            raise DataError(f"sample '{sample.id}' has no image")
        image = self.model.prepare(decode(sample.image, sample.id))
        labels = read_classes(sample.target, sample.id, len(self.class_names))
        if labels.shape != tuple(image.shape[-2:]):
            sizes = " and ".join(
                f"{height}×{width}" for height, width in (labels.shape, tuple(image.shape[-2:]))
            )
            raise DataError(f"sample '{sample.id}': classes and image of the sizes {sizes} (height×width)")
        image, target = self._resize(image, torch.from_numpy(labels.astype(np.int64)))
        # drawn even if they are not used, so that no option changes the draws of another
        flip = float(torch.rand(())) < self.method.flip
        image, target = self._crop(image, target, torch.rand(2).tolist())
        if flip:
            image, target = image.flip(-1), target.flip(-1)
        weights = self._weigh(target)
        return (image, target) if weights is None else (image, target, weights)

    def _resize(self, image: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.method.scales
        factor = low + (high - low) * float(torch.rand(()))
        shorter = min(image.shape[-2:])
        scale = factor * (self.method.side / shorter if self.method.side else 1.0)
        height, width = (max(1, round(side * scale)) for side in image.shape[-2:])
        if (height, width) == tuple(image.shape[-2:]):
            return image, target
        image = F.interpolate(
            image[None], (height, width), mode="bilinear", align_corners=False, antialias=True
        )[0]
        labels = F.interpolate(target[None, None].float(), (height, width), mode="nearest-exact")[0, 0]
        return image.clamp(0, 1), labels.long()

    def _crop(self, image: Tensor, target: Tensor, where: list[float]) -> tuple[Tensor, Tensor]:
        side = self.method.crop
        if not side:
            return image, target
        below, right = (max(0, side - length) for length in image.shape[-2:])
        image, target = (
            F.pad(image, (0, right, 0, below)),
            F.pad(target, (0, right, 0, below), value=UNCOUNTED),
        )
        height, width = image.shape[-2:]
        top, left = (
            min(int(share * (n - side + 1)), n - side)
            for share, n in zip(where, (height, width), strict=True)
        )
        return image[:, top : top + side, left : left + side], target[top : top + side, left : left + side]

    def _weigh(self, target: Tensor) -> Tensor | None:
        method = self.method
        if self.class_weights is None and not method.gaps:
            return None
        weights = torch.ones(target.shape)
        if self.class_weights is not None:
            counted = target != UNCOUNTED
            weights = torch.where(counted, self.class_weights[torch.where(counted, target, 0)], weights)
        if method.gaps:
            added = weigh_gaps(target.numpy(), self.background, method.gaps, method.gap_width)
            weights = weights + torch.from_numpy(added)
        return weights
