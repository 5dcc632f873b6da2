"""The protocol `detection`: what a detector finds, as it is or after training, and how long it takes."""

from __future__ import annotations

from typing import ClassVar

from harness import Job, Result
from harness_dense.contracts import DetectsObjects
from harness_dense.detections import Detections
from harness_dense.protocol_base import TrainsAndTests
from harness_detection.detection_options import DetectionOptions
from harness_detection.training_method import DetectorTraining


class Detection(TrainsAndTests, DetectionOptions):
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
    protocol = "detection"
    training = "detector-training"
    training_class = DetectorTraining
    operational = ("batch", "pictures")
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

    def run(self, job: Job) -> Result:
        """Train, find and measure."""
        from harness_detection.detection_cell import DetectionCell

        return DetectionCell(self, job).result()
