"""The protocol `segmentation`: which class a model gives each pixel, as it is or after training, and how long it takes."""

from __future__ import annotations

from typing import ClassVar

from harness import Job, Result
from harness_dense.contracts import SegmentsImages
from harness_dense.protocol_base import TrainsAndTests
from harness_dense.segmentations import Segmentations
from harness_segmentation.segmentation_options import SegmentationOptions
from harness_segmentation.training_method import SegmenterTraining


class Segmentation(TrainsAndTests, SegmentationOptions):
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
    protocol = "segmentation"
    training = "segmenter-training"
    training_class = SegmenterTraining
    operational = ("batch",)
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

    def run(self, job: Job) -> Result:
        """Train, segment and measure."""
        from harness_segmentation.segmentation_cell import SegmentationCell

        return SegmentationCell(self, job).result()
