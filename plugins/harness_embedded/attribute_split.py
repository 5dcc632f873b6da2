"""A split of drawn scenes whose classes are described by attributes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness_embedded.captions import TEMPLATES
from harness_embedded.drawn_images import DrawnImages, DrawnSplit
from harness_embedded.shape_attributes import ATTRIBUTES, UNSEEN, list_class_attributes
from harness_embedded.shapes import CLASSES


class AttributeSplit(DrawnSplit):
    """Scenes of some of the twelve classes, C, with what is known of all of them, also of those without a sample.

    `class_attributes` (float) and `class_attributes_binary` (integers) are both C×A of 1 and 0; `attribute_names` has
    A names; `unseen` (bool C) marks the classes without training images.
    """

    def __init__(self, drawn: DrawnImages, prefix: str) -> None:
        super().__init__(drawn, prefix, CLASSES, range(len(CLASSES)), TEMPLATES)
        self.attribute_names = list(ATTRIBUTES)
        self.class_attributes_binary: NDArray[np.int64] = list_class_attributes()
        self.class_attributes: NDArray[np.float64] = self.class_attributes_binary.astype(float)
        self.unseen: NDArray[np.bool_] = np.isin(CLASSES, UNSEEN)
        self.remarks = [
            "the embedded models (tiny-…) have learned all twelve classes: no class is unseen to their networks"
        ]
