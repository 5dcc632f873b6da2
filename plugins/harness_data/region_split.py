"""Images with a class for each pixel, as a split: headers are checked when it is opened, label maps are read on access."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import overload

from harness import DataError, Masks, Sample
from harness_data.annotation_faults import AnnotationFaults
from harness_data.image_views import ExifPolicy, ImageHeader, note_orientations, read_headers, read_view
from harness_data.label_maps import LabelTable, read_label_map, read_map_size


@dataclass(frozen=True)
class LabelledImage:
    """An image and its label map: id and files."""

    id: str
    image: Path
    labels: Path


class LabelMaps(Sequence[Masks]):
    """The semantic masks of a split, each read on access."""

    def __init__(self, files: Sequence[Path], table: LabelTable) -> None:
        self._files, self._table = files, table

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> Masks: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Masks]: ...
    def __getitem__(self, index: int | slice) -> Masks | Sequence[Masks]:
        if isinstance(index, slice):
            return LabelMaps(self._files[index], self._table)
        return Masks(semantic=read_label_map(self._files[index], self._table))


class RegionSplit:
    """A `Split` with semantic `Masks` as targets."""

    def __init__(
        self,
        images: Sequence[LabelledImage],
        class_names: Sequence[str],
        table: LabelTable,
        faults: AnnotationFaults,
        where: str,
        *,
        exif: ExifPolicy = "ignored",
        remarks: Sequence[str] = (),
    ) -> None:
        """Check the sizes of images and label maps; where faults are skipped, read all label maps once.

        Raises DataError for the first fault, unless faults are skipped, and if no image remains.
        """
        headers = _check_pairs(images, table, faults, exif)
        kept = [image for image in images if image.id in headers]
        if not kept:
            first = "".join(f" ({fault})" for fault in list(faults.by_image.values())[:1])
            raise DataError(f"{where}: holds no images that can be used{first}")
        self._paths = [image.image for image in kept]
        self._headers = [headers[image.id] for image in kept]
        self._exif = exif
        self.ids: Sequence[str] = [image.id for image in kept]
        self.targets = LabelMaps([image.labels for image in kept], table)
        self.class_names = list(class_names)
        self.remarks = [*remarks, *faults.remarks(len(images)), *note_orientations(headers, exif)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        image = read_view(self._paths[index], self._headers[index], self._exif)
        return Sample(self.ids[index], image, target=self.targets[index])


def _check_pairs(
    images: Sequence[LabelledImage], table: LabelTable, faults: AnnotationFaults, exif: ExifPolicy
) -> dict[str, ImageHeader]:
    """Return the headers, by id, of the images that are there and have label maps of their size."""
    check: Callable[[Path], tuple[int, int]] = read_map_size
    if faults.skips:

        def check(path: Path) -> tuple[int, int]:
            height, width = read_label_map(path, table).shape
            return width, height

    sizes = _read_all([image.labels for image in images], check)
    sound = {}
    for image, header, size in zip(images, read_headers([i.image for i in images]), sizes, strict=True):
        if isinstance(header, DataError):
            faults.add(image.id, f"image '{image.id}': {header}")
        elif isinstance(size, DataError):
            faults.add(image.id, f"label map of '{image.id}': {size}")
        elif fault := header.describe_mismatch(size, exif):
            faults.add(image.id, f"{image.labels}: {fault}, {image.image}")
        else:
            sound[image.id] = header
    return sound


def _read_all(
    paths: Sequence[Path], check: Callable[[Path], tuple[int, int]]
) -> list[tuple[int, int] | DataError]:
    def look(path: Path) -> tuple[int, int] | DataError:
        try:
            return check(path)
        except DataError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(look, paths))
