"""A split of images whose classes are described by attributes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness_data.scanning import FolderSplit, ImageListing


@dataclass(frozen=True)
class ClassTable:
    """C classes by folder and by name, A attributes, and which classes are for testing alone."""

    keys: Sequence[str]
    names: Sequence[str]
    attributes: Sequence[str]
    strengths: NDArray[np.float64]
    """C×A, NaN where missing."""
    binary: NDArray[np.float64]
    """C×A of 1 and 0."""
    unseen: NDArray[np.bool_]
    """C."""


class DescribedSplit(FolderSplit):
    """Listed images with labels, and the attributes of all classes.

    `class_attributes` C×A are strengths (NaN where missing), `class_attributes_binary` C×A are 1 and 0, and `unseen`
    marks, for each class, that no split for training has images of it.
    """

    def __init__(
        self, folder: Path, listing: ImageListing, table: ClassTable, remarks: Sequence[str] = ()
    ) -> None:
        super().__init__(folder, listing, table.names, remarks=remarks)
        self.class_keys = list(table.keys)
        self.attribute_names = list(table.attributes)
        self.class_attributes, self.class_attributes_binary = table.strengths, table.binary
        self.unseen = table.unseen
