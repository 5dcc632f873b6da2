"""Splits of images that need special treatment: ObjectNet's border, ImageNet-C's size."""

from __future__ import annotations

from harness import DataError, Sample
from harness.inference.images import decode
from harness_data.scanning import FolderSplit

OBJECTNET_BORDER = 2
"""Width in pixels of the red border of ObjectNet's images."""


class BorderlessSplit(FolderSplit):
    """A split of ObjectNet's images as PIL images without their border of two pixels."""

    def __getitem__(self, index: int) -> Sample:
        sample = super().__getitem__(index)
        image = decode(sample.image)
        width, height = image.size
        if min(width, height) <= 2 * OBJECTNET_BORDER:
            raise DataError(f"{self.folder / sample.id}: {width}×{height} is nothing but the border")
        box = (OBJECTNET_BORDER, OBJECTNET_BORDER, width - OBJECTNET_BORDER, height - OBJECTNET_BORDER)
        return Sample(sample.id, image.crop(box), sample.label)


class CroppedSplit(FolderSplit):
    """A split of images that were resized and cropped before they were stored: only centre-crop them."""

    already_cropped = 224
    """Side of the stored square, in pixels."""
