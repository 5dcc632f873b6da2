"""The data set `voc-objects`: boxes from PASCAL VOC's XML files, or others of their format.

Everingham et al., "The PASCAL Visual Object Classes (VOC) Challenge", IJCV 2010.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from harness import DataError
from harness.errors import did_you_mean
from harness_data.annotation_faults import OnError
from harness_data.image_views import ExifPolicy
from harness_data.numbers_in_text import parse_number
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
    from harness_data.object_split import AnnotatedImage, AnnotatedObject, ObjectSplit


class VocObjects:
    """Objects from `Annotations/<image>.xml` of the images that `ImageSets/Main/<split>.txt` lists.

    Corners are counted from 1 and inclusive in the files, so that 1 is subtracted from `xmin` and `ymin` alone.
    Objects marked `difficult` are `ignored`. Of the layout of persons only the whole person's box is read.

    Args:
        path: the folder that holds `ImageSets`, or one that holds `VOCdevkit/VOC2012` and the like; itself or below
            $HARNESS_DATA_ROOT.
        year: which of several `VOC<year>`.
        classes: names of the classes in label order (list, or file with one per line); by default VOC's twenty.
        exif: whether an image's EXIF orientation is "ignored", so that pixels and boxes are those of the stored image,
            or "applied" to the pixels, for boxes that count in that view.
        on_error: "raise" stops at the first wrong annotation or image; "skip" leaves its image out, with a remark.
    """

    target_kind = "boxes"

    def __init__(
        self,
        path: Path,
        *,
        year: str | None = None,
        classes: list[str] | Path | None = None,
        exif: ExifPolicy = "ignored",
        on_error: OnError = "raise",
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.year, self.classes, self.exif, self.on_error = year, classes, exif, on_error

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder of VOC's layout with annotations of objects, or None."""
        whole = (path / "ImageSets" / "Main").is_dir() and (path / "Annotations").is_dir()
        return {"path": path} if whole and cls(path).splits else None

    @property
    def _folder(self) -> Path:
        return find_voc_folders(self.path, self.year)[0]

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in label order. Raises DataError for a list without any, or with one twice."""
        from harness_data.class_names import read_lines

        if (names := read_lines(self.classes)) is None:
            return list(CLASSES)
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None or not names:
            where = self.classes if isinstance(self.classes, Path) else "classes"
            fault = "lists no classes" if twice is None else f"class '{twice}' is listed twice"
            raise DataError(f"{where}: {fault}")
        return names

    @property
    def splits(self) -> tuple[str, ...]:
        """The lists of images in `ImageSets/Main`."""
        return () if self.unavailable() else list_voc_splits(self._folder / "ImageSets" / "Main")

    @property
    def overlapping(self) -> tuple[tuple[str, str], ...]:
        """`trainval` holds the images of `train` and `val`."""
        return find_overlapping(self.splits)

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if missing := explain_voc_folders(self.path, self.year, "Main"):
            return missing
        try:
            self.class_names  # noqa: B018 (reads the list)
        except DataError as error:
            return str(error)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the lists, and of the annotations and images that they name."""
        from harness import content_digests
        from harness_data.digests import text_digest

        parts: list[object] = [*self.class_names]
        for split in self.splits:
            names = self._read_list(split)
            files = [self._annotation(name) for name in names]
            files += [find_voc_image(self._folder, name) for name in names]
            parts += [split, *names, *content_digests(files)]
        return text_digest(parts)

    def load(self, split: str) -> ObjectSplit:
        """Read one split's annotations and check its images' headers; their pixels are read on access.

        Raises DataError, naming the file and the object, for a class that is not in the list, a box that is inverted or
        outside its image, a missing annotation or image, and an image of another size than its annotation says.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.object_split import AnnotatedImage, ObjectSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        faults, names = AnnotationFaults(self.on_error), self.class_names
        images = []
        for name in self._read_list(split):
            file = self._annotation(name)
            image = AnnotatedImage(name, find_voc_image(self._folder, name), str(file), None)
            images.append(image)
            try:
                _read_annotation(file, image, names)
            except DataError as error:
                faults.add(name, str(error))
        unsized = [i.where for i in images if i.size is None and i.id not in faults.by_image]
        remarks = (
            [f"{len(unsized)} of {len(images)} annotations state no size to check (first: {unsized[0]})"]
            if unsized
            else []
        )
        where = str(self._folder / "ImageSets" / "Main" / f"{split}.txt")
        return ObjectSplit(images, names, faults, where, exif=self.exif, remarks=remarks)

    def _read_list(self, split: str) -> list[str]:
        return read_voc_list(self._folder / "ImageSets" / "Main" / f"{split}.txt")

    def _annotation(self, name: str) -> Path:
        return self._folder / "Annotations" / f"{name}.xml"


def _read_annotation(file: Path, image: AnnotatedImage, classes: Sequence[str]) -> None:
    """Add size and objects of a file to an image. Raises DataError, naming file and object."""
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except OSError as error:
        raise DataError(f"{file}: can't be read ({error.strerror})") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the others: of its stated encoding
        raise DataError(f"{file}: not valid XML ({error})") from None
    if root.tag != "annotation":
        raise DataError(f"{file}: expected an <annotation>, found a <{root.tag}>")
    if root.find("size") is not None:
        size = _take_one(root, "size", str(file))
        width, height = (_take_number(size, side, str(file)) for side in ("width", "height"))
        if not width.is_integer() or not height.is_integer() or width < 0 or height < 0:
            raise DataError(f"{file}: <size> should be whole numbers, found {width:g}×{height:g}")
        if width and height:  # labelling tools write 0 where they did not open the image
            image.size = int(width), int(height)
    for number, element in enumerate(root.findall("object"), 1):
        image.objects.append(_read_object(element, f"{file}, object {number}", classes))


def _read_object(element: ElementTree.Element, where: str, classes: Sequence[str]) -> AnnotatedObject:
    from harness_data.object_split import AnnotatedObject

    name = (_take_one(element, "name", where).text or "").strip()
    if name not in classes:
        raise DataError(
            f"{where}: class '{name[:40]}' is not one of the {len(classes)} classes{did_you_mean(name, classes)}"
        )
    box = _take_one(element, "bndbox", where)
    left, top, right, bottom = (_take_number(box, key, where) for key in ("xmin", "ymin", "xmax", "ymax"))
    if right < left or bottom < top:
        raise DataError(
            f"{where}: <bndbox> is inverted: xmin {left:g}, ymin {top:g}, xmax {right:g}, ymax {bottom:g}"
        )
    difficult = 0.0
    if element.find("difficult") is not None:
        difficult = _take_number(element, "difficult", where)
    if difficult not in (0, 1):
        raise DataError(f"{where}: <difficult> should be 0 or 1, found {difficult:g}")
    corners = left - 1, top - 1, right, bottom
    return AnnotatedObject(corners, classes.index(name), where, ignored=bool(difficult))


def _take_one(element: ElementTree.Element, name: str, where: str) -> ElementTree.Element:
    found = element.findall(name)
    if len(found) != 1:
        raise DataError(f"{where}: expected one <{name}>, found {len(found) or 'none'}")
    return found[0]


def _take_number(element: ElementTree.Element, name: str, where: str) -> float:
    text = (_take_one(element, name, where).text or "").strip()
    value = parse_number(text)
    if not math.isfinite(value):
        raise DataError(f"{where}: <{name}> should be a number, found '{text[:40]}'")
    return value
