"""The data set `voc-regions`: PASCAL VOC's segmentation, twenty classes and the background."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.annotation_faults import OnError
from harness_data.image_views import ExifPolicy
from harness_data.roots import resolve_below_root
from harness_data.voc2007 import CLASSES
from harness_data.voc_layout import (
    explain_voc_folders,
    find_overlapping,
    find_voc_folders,
    find_voc_image,
    list_voc_splits,
    read_voc_list,
)

if TYPE_CHECKING:
    from harness_data.region_split import LabelledImage, RegionSplit

BACKGROUND = "background"
VOID = 255


class VocRegions:
    """Segmentation of the images that `ImageSets/Segmentation/<split>.txt` lists, from `SegmentationClass/<image>.png`.

    The border around objects (255) is not counted.

    Args:
        path: the folder that holds `ImageSets`, or one that holds `VOCdevkit/VOC2012` and the like; itself or below
            $HARNESS_DATA_ROOT.
        year: which of several `VOC<year>`.
        background: whether the background is a class of its own, the first of 21 ("VOC-21"); otherwise its pixels are not
            counted ("VOC-20").
        exif: whether an image's EXIF orientation is "ignored", or "applied" to its pixels, for masks that count in that
            view.
        on_error: "raise" stops at the first wrong file (values of label maps are checked when they are read); "skip"
            leaves its image out, with a remark, and reads all label maps at once to know.
    """

    target_kind = "masks"

    def __init__(
        self,
        path: Path,
        *,
        year: str | None = None,
        background: bool = True,
        exif: ExifPolicy = "ignored",
        on_error: OnError = "raise",
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.year, self.background, self.exif, self.on_error = year, background, exif, on_error
        self.tags = {"classes": len(self.class_names)}

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in label order."""
        return [BACKGROUND, *CLASSES] if self.background else list(CLASSES)

    @cached_property
    def _folder(self) -> Path:
        return find_voc_folders(self.path, self.year)[0]

    @property
    def splits(self) -> tuple[str, ...]:
        """The lists of images in `ImageSets/Segmentation`."""
        return () if self.unavailable() else list_voc_splits(self._folder / "ImageSets" / "Segmentation")

    @property
    def overlapping(self) -> tuple[tuple[str, str], ...]:
        """`trainval` holds the images of `train` and `val`."""
        return find_overlapping(self.splits)

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        return explain_voc_folders(self.path, self.year, "Segmentation")

    def fingerprint(self) -> str:
        """Return a digest of the lists, and of the images and label maps that they name."""
        from harness import content_digests
        from harness_data.digests import text_digest

        parts: list[object] = []
        for split in self.splits:
            pairs = self._list_pairs(split)
            files = [file for pair in pairs for file in (pair.image, pair.labels)]
            parts += [split, *(pair.id for pair in pairs), *content_digests(files)]
        return text_digest(parts)

    def load(self, split: str) -> RegionSplit:
        """List one split and check the headers; pixels are read on access.

        Raises DataError, naming the file, for a missing image or label map, and one of another size or kind.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.label_maps import UNCOUNTED, LabelTable
        from harness_data.region_split import RegionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        first = 0 if self.background else 1
        table = {value: value - first for value in range(first, len(CLASSES) + 1)}
        table |= {VOID: UNCOUNTED} if self.background else {0: UNCOUNTED, VOID: UNCOUNTED}
        remarks = [] if self.background else ["pixels of the background are not counted (20 classes)"]
        return RegionSplit(
            self._list_pairs(split),
            self.class_names,
            LabelTable(table),
            AnnotationFaults(self.on_error),
            str(self._folder / "ImageSets" / "Segmentation" / f"{split}.txt"),
            exif=self.exif,
            remarks=remarks,
        )

    def _list_pairs(self, split: str) -> list[LabelledImage]:
        from harness_data.region_split import LabelledImage

        names = read_voc_list(self._folder / "ImageSets" / "Segmentation" / f"{split}.txt")
        labels = self._folder / "SegmentationClass"
        return [LabelledImage(n, find_voc_image(self._folder, n), labels / f"{n}.png") for n in names]
