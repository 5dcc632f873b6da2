"""The data set `yolo-objects`: images with label files `class cx cy w h`, and a `data.yaml` that names splits and classes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.annotation_faults import OnError
from harness_data.image_views import ExifPolicy
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.annotation_faults import AnnotationFaults
    from harness_data.object_split import AnnotatedImage, ObjectSplit
    from harness_data.yolo_files import YoloConfiguration

NAMES = ("data.yaml", "data.yml", "dataset.yaml")


class YoloObjects:
    """Objects from `labels/…/a.txt` of each `images/…/a.jpg`, in fractions of the image, counted from class 0.

    An image without a label file, or with an empty one, has no objects and stays. Lines of polygons give masks, if
    every object has one, and the boxes around them. Ids are the images' paths.

    Args:
        path: the `data.yaml`, or its folder; itself or below $HARNESS_DATA_ROOT.
        exif: whether an image's EXIF orientation is "ignored", so that pixels and labels are those of the stored image,
            or "applied" to the pixels, for labels that count in that view. The files don't tell: images that have one
            are refused until it is set.
        on_error: "raise" stops at the first wrong line or image; "skip" leaves its image out, with a remark.
    """

    target_kind = "boxes"

    def __init__(self, path: Path, *, exif: ExifPolicy | None = None, on_error: OnError = "raise") -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.exif, self.on_error = exif, on_error

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder with a `data.yaml` that names classes and splits, or None."""
        try:
            return {"path": path} if path.is_dir() and cls(path)._configuration else None
        except DataError:
            return None

    @property
    def _file(self) -> Path:
        places = [self.path / name for name in NAMES]
        return self.path if self.path.is_file() else next((p for p in places if p.is_file()), places[0])

    @cached_property
    def _configuration(self) -> YoloConfiguration:
        from harness_data.yolo_files import YoloConfiguration

        return YoloConfiguration(self._file)

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, in label order; None if they can't be read."""
        return None if self.unavailable() else self._configuration.class_names

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that the file names."""
        return () if self.unavailable() else self._configuration.splits

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if not self._file.is_file():
            return (
                f"{self._file}: no such file; it should name the folders of images and the classes: "
                "'val: images/val' and 'names: [cat, dog]'"
            )
        try:
            self._configuration  # noqa: B018 (reads the file, once)
        except DataError as error:
            return str(error)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the class names, and of the images and label files of all splits."""
        from harness import content_digests
        from harness_data.digests import text_digest

        told = self._configuration
        parts: list[object] = [*told.class_names]
        for split in told.splits:
            images = told.list_images(split)
            labels = [told.label_file(image) for image in images]
            there = [label for label in labels if label.exists()]
            parts += [split, *map(told.name_of, [*images, *there]), *content_digests([*images, *there])]
        return text_digest(parts)

    def load(self, split: str) -> ObjectSplit:
        """Read one split's label files and its images' headers; their pixels are read on access.

        Raises DataError, naming file and line, for a class that is not in the list, a box outside its image, a line of
        other numbers, an image that can't be read, and if no image has a label file.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.object_split import AnnotatedImage, ObjectSplit
        from harness_data.scanning import check_split
        from harness_data.yolo_files import read_label_file

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        told, faults = self._configuration, AnnotationFaults(self.on_error)
        images, bare, repeated = [], [], 0
        for path in told.list_images(split):
            name, file = told.name_of(path), told.label_file(path)
            image = AnnotatedImage(name, path, str(file), None, in_fractions=True)
            images.append(image)
            if not file.exists():
                bare.append(name)
                continue
            try:
                image.objects, double = read_label_file(file, told.class_names)
                repeated += double
            except DataError as error:
                faults.add(name, str(error))
        if images and len(bare) == len(images):
            raise DataError(
                f"{told.path}: none of the {len(images)} images of `{split}` has a label file; the first one's would be "
                f"{images[0].where}"
            )
        if self.exif is None:
            _refuse_turned(images, faults)
        remarks = _note_labels(len(images), bare, repeated)
        if leftover := told.list_leftover_labels(split):
            have = "label file has" if len(leftover) == 1 else "label files have"
            remarks.append(
                f"{len(leftover)} {have} no image, beside {len(images)} images (first: {leftover[0]})"
            )
        return ObjectSplit(
            images,
            told.class_names,
            faults,
            f"{told.path}: `{split}`",
            exif=self.exif or "ignored",
            remarks=remarks,
        )


def _refuse_turned(images: list[AnnotatedImage], faults: AnnotationFaults) -> None:
    """Count images that EXIF data turn as faulty: YOLO's files state no size that would tell which view they mean."""
    from harness_data.image_views import UPRIGHT, ImageHeader, read_headers

    for image, header in zip(images, read_headers([i.path for i in images]), strict=True):
        if isinstance(header, ImageHeader) and header.orientation != UPRIGHT and image.objects:
            faults.add(
                image.id,
                f"{image.path}: has the EXIF orientation {header.orientation}, and its labels don't say in which view they "
                'count: set exif = "ignored" (as stored) or "applied" (turned)',
            )


def _note_labels(images: int, bare: list[str], repeated: int) -> list[str]:
    """Return remarks on images without a label file and on lines that were left out."""
    said = []
    if bare:
        are = "has no label file and counts" if len(bare) == 1 else "have no label file and count"
        said.append(f"{len(bare)} of {images} images {are} as showing no objects (first: {bare[0]})")
    if repeated:
        are = "line that repeats another is" if repeated == 1 else "lines that repeat another are"
        said.append(f"{repeated} {are} left out")
    return said
