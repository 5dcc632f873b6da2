"""The protocol `segmentation`: which class a model gives each pixel, as it is or after training, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, Job, Result
from harness.inference.splits import find_test_split
from harness_dense.contracts import SegmentsImages
from harness_dense.segmentations import Segmentations
from harness_segmentation.segmentation_options import SegmentationOptions
from harness_segmentation.training_method import SegmenterTraining


class Segmentation(SegmentationOptions):
    """Segments a data set's images with a model, as it is or trained before by the method `segmenter-training`.

    Classes are measured at the stored image's size. Times are of single images and hold everything after decoding:
    resizing, the network, and bringing its output to the image's size.

    Args:
        split: the split to evaluate; by default that for testing, else that for validation.
        background: `counted` as a class if the data set has it (VOC's 21 classes), or `left out`: its pixels count
            neither way, and it is never predicted (VOC's 20).
        batch: images that the model sees at once; it changes no number but the images per second.
        timed: images whose time is taken one by one; 0 for none.
        pictures: how many images are kept, with true and predicted classes: in turns that with the largest share of
            wrong pixels, and a typical one.
        aliases: names of classes that the model calls otherwise, "data set's name=model's name".
    """

    needs = (SegmentsImages,)
    target_kinds = ("masks",)
    provides = (Segmentations,)
    axes = ()
    own_numbers = (
        "latency_ms", "latency_p95_ms", "images_per_second", "parameters", "training_seconds", "steps",
    )  # fmt: skip
    operational = ("batch",)
    directions: ClassVar[Mapping[str, bool]] = {}
    titles: ClassVar = {
        "latency_ms": "Time per image (ms)",
        "latency_p95_ms": "Time per image, 95th percentile (ms)",
        "images_per_second": "Images per second",
        "training_seconds": "Training time (s)",
        "steps": "Steps",
    }
    smallest: ClassVar = {
        "timed": 1,
        "pictures": 1,
        "cell": {
            "models": [{"plugin": "small-segmenter", "width": 4}],
            "datasets": [{"plugin": "drawn-regions", "train": 8, "test": 8, "side": 32}],
            "methods": [
                {
                    "plugin": "segmenter-training",
                    "steps": 4,
                    "batch": 4,
                    "side": 0,
                    "crop": 0,
                    "checkpoint_every": 2,
                }
            ],
            "metrics": ["miou"],
        },
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't be trained or evaluated on this data set, or None."""
        if method is not None and not isinstance(method, SegmenterTraining):
            return "the protocol 'segmentation' takes the method segmenter-training, or none"
        found = find_test_split(dataset.splits, self.split)
        if found.refusal:
            return found.refusal
        if method is None:
            if getattr(model, "needs_training", False):
                return "the model has learned nothing: train it (methods = ['segmenter-training'])"
            return None
        return method.find_split(dataset.splits).refusal or method.find_leak(dataset, str(found.name))

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return the assumption about the split to test on."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Train, segment and measure."""
        from harness_segmentation.segmentation_cell import SegmentationCell

        return SegmentationCell(self, job).result()
