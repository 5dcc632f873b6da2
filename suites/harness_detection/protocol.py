"""The protocol `detection`: what a detector finds, as it is or after training, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from harness import Dataset, Job, Result
from harness.inference.splits import find_test_split
from harness_dense.contracts import DetectsObjects
from harness_dense.detections import Detections
from harness_detection.detection_options import DetectionOptions
from harness_detection.training_method import DetectorTraining


class Detection(DetectionOptions):
    """Finds the objects in a data set's images with a model, as it is or trained before by the method `detector-training`.

    Times are of single images and hold everything after decoding: resizing, the network, non-maximum suppression.

    Args:
        split: the split to evaluate; by default that for testing, else that for validation.
        score_threshold: objects with a lower score are left out, beside those that the model itself leaves out.
        max_detections: objects that count per image and class, those with the highest scores; `coco-ap` reads 100.
        batch: images that the model sees at once; it changes no number but the images per second.
        timed: how many images, the first ones, are also seen one by one for their times; 0 for none.
        shown_score: least score of the hits and false alarms in pictures, samples and confusions of classes.
        pictures: how many images are kept with what was found in them: in turns that with the most misses, that with the
            most false alarms, and a typical one.
        aliases: names of classes that the model calls otherwise, "data set's name=model's name".
    """

    needs = (DetectsObjects,)
    target_kinds = ("boxes",)
    provides = (Detections,)
    axes = ()
    own_numbers = (
        "latency_ms", "latency_p95_ms", "images_per_second", "parameters", "training_seconds", "steps",
    )  # fmt: skip
    operational = ("batch", "pictures")
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
            "models": [{"plugin": "grid-detector", "width": 4}],
            "datasets": [{"plugin": "drawn-objects", "train": 16, "test": 16}],
            "methods": [{"plugin": "detector-training", "steps": 4, "batch": 4, "checkpoint_every": 2}],
            "metrics": ["coco-ap"],
        },
    }

    def cannot(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> str | None:
        """Return why this model can't be trained or evaluated on this data set, or None."""
        if method is not None and not isinstance(method, DetectorTraining):
            return "the protocol 'detection' takes the method detector-training, or none"
        found = find_test_split(dataset.splits, self.split)
        if found.refusal:
            return found.refusal
        if method is None:
            if getattr(model, "needs_training", False):
                return "the model has learned nothing: train it (methods = ['detector-training'])"
            return None
        return method.find_split(dataset.splits).refusal or method.find_leak(dataset, str(found.name))

    def assumes(self, model: Any, dataset: Dataset, method: Any, axes: Mapping[str, Any]) -> Sequence[str]:
        """Return the assumption about the split to test on."""
        remark = find_test_split(dataset.splits, self.split).remark
        return [remark] if remark else []

    def run(self, job: Job) -> Result:
        """Train, find and measure."""
        from harness_detection.detection_cell import DetectionCell

        return DetectionCell(self, job).result()
