"""Images with boxes around their objects, as a split: every image and box is checked when the split is opened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Boxes, DataError, Sample
from harness_data.annotation_faults import AnnotationFaults
from harness_data.image_views import ExifPolicy, ImageHeader, note_orientations, read_headers, read_view
from harness_data.outlines import OVERHANG, RasterisedMasks, find_outline_fault, is_number, outline_area

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 0.1
"""Pixels over the image's edge that are kept, since files round; what is beyond them is cut."""


@dataclass
class AnnotatedObject:
    """One object: left, top, right, bottom in pixels (or fractions) of its image, its label, and its place in a file.

    `outline` holds COCO's polygons or run-length encoding, `area` its pixels, where they are known.
    """

    corners: tuple[float, float, float, float]
    label: int
    where: str
    crowd: bool = False
    ignored: bool = False
    area: float | None = None
    outline: Any = None


@dataclass
class AnnotatedImage:
    """One image: id, file, place of its annotation, its width and height as annotated, and its objects."""

    id: str
    path: Path
    where: str
    size: tuple[int, int] | None
    objects: list[AnnotatedObject] = field(default_factory=list)
    in_fractions: bool = False
    """Whether corners and outlines are fractions of the image's width and height."""


class ObjectSplit:
    """A `Split` with `Boxes` as targets. Images are read on access, their headers at once; none is left out for having
    no objects, since what a detector finds there counts.
    """

    def __init__(
        self,
        images: Sequence[AnnotatedImage],
        class_names: Sequence[str],
        faults: AnnotationFaults,
        where: str,
        *,
        exif: ExifPolicy = "ignored",
        remarks: Sequence[str] = (),
    ) -> None:
        """Check images and boxes; those in `faults` are left out.

        Raises DataError for the first fault, unless faults are skipped, and if no image remains.
        """
        headers = _check_images([i for i in images if i.id not in faults.by_image], faults, exif)
        kept = [i for i in images if i.id in headers]
        cut = [0, ""]
        for image in kept:
            _check_objects(image, headers[image.id].view_size(exif), faults, cut)
        kept = [i for i in kept if i.id not in faults.by_image]
        if not kept:
            first = "".join(f" ({fault})" for fault in list(faults.by_image.values())[:1])
            raise DataError(f"{where}: holds no images that can be used{first}")
        self._paths = [image.path for image in kept]
        self._headers = [headers[image.id] for image in kept]
        self._exif = exif
        self.ids: Sequence[str] = [image.id for image in kept]
        self.class_names = list(class_names)
        self.targets, said = _make_targets(kept, [h.view_size(exif) for h in self._headers])
        if cut[0]:
            are = ("box reaches", "is") if cut[0] == 1 else ("boxes reach", "are")
            said.append(
                f"{cut[0]} {are[0]} up to a pixel over the image's edge and {are[1]} cut (first: {cut[1]})"
            )
        seen = dict(zip(self.ids, self._headers, strict=True))
        self.remarks = [*remarks, *faults.remarks(len(images)), *said, *note_orientations(seen, exif)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        image = read_view(self._paths[index], self._headers[index], self._exif)
        return Sample(self.ids[index], image, target=self.targets[index])


def _check_images(
    images: Sequence[AnnotatedImage], faults: AnnotationFaults, exif: ExifPolicy
) -> dict[str, ImageHeader]:
    """Return the headers, by id, of the images that are there and have the size that their annotation states."""
    sound = {}
    for image, header in zip(images, read_headers([i.path for i in images]), strict=True):
        if isinstance(header, DataError):
            faults.add(image.id, f"{image.where}: image '{image.id}': {header}")
        elif image.size is not None and (fault := header.describe_mismatch(image.size, exif)):
            faults.add(image.id, f"{image.where}: {fault}, {image.path}")
        else:
            sound[image.id] = header
    return sound


def _check_objects(
    image: AnnotatedImage, size: tuple[int, int], faults: AnnotationFaults, cut: list[Any]
) -> None:
    """Check the boxes and outlines of one image, turn fractions to pixels, and cut what reaches over the edge."""
    width, height = size
    for one in image.objects:
        if image.in_fractions:
            _scale(one, size)
        left, top, right, bottom = one.corners
        over = max(-left, -top, right - width, bottom - height)
        shown = f"box ({left:g}, {top:g}, {right:g}, {bottom:g})"
        if not all(map(is_number, one.corners)):
            faults.add(image.id, f"{one.where}: {shown} should be of finite numbers")
        elif right <= left or bottom <= top:
            faults.add(image.id, f"{one.where}: {shown} is empty or inverted (left, top, right, bottom)")
        elif over > OVERHANG or left >= width or top >= height or right <= 0 or bottom <= 0:
            faults.add(
                image.id,
                f"{one.where}: {shown} lies outside the image '{image.id}' of {width}×{height} pixels",
            )
        elif one.outline is not None and (fault := find_outline_fault(one.outline, size)):
            faults.add(image.id, f"{one.where}: {fault}")
        elif over > ROUNDING:
            one.corners = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
            cut[0], cut[1] = cut[0] + 1, cut[1] or one.where


def _scale(one: AnnotatedObject, size: tuple[int, int]) -> None:
    width, height = size
    left, top, right, bottom = one.corners
    one.corners = (left * width, top * height, right * width, bottom * height)
    if one.outline is not None:
        one.outline = [[value * size[n % 2] for n, value in enumerate(polygon)] for polygon in one.outline]


def _make_targets(
    images: Sequence[AnnotatedImage], sizes: Sequence[tuple[int, int]]
) -> tuple[list[Boxes], list[str]]:
    """Return the targets, and remarks on outlines and areas that some objects lack."""
    objects = [(one, size) for image, size in zip(images, sizes, strict=True) for one in image.objects]
    bare = [one for one, _ in objects if one.outline is None]
    masked = bool(objects) and not bare
    said = []
    if bare and len(bare) < len(objects):
        said.append(
            f"{len(bare)} of {len(objects)} objects have no outline, so that masks are left out of all "
            f"(first: {bare[0].where})"
        )
    unmeasured = [(one, size) for one, size in objects if one.area is None]
    measured = masked or len(unmeasured) < len(objects)
    if measured:
        for one, size in unmeasured:
            if one.outline is not None:
                one.area = outline_area(one.outline, size)
            else:
                one.area = (one.corners[2] - one.corners[0]) * (one.corners[3] - one.corners[1])
    if measured and unmeasured:
        of = "masks" if masked else "masks, or of boxes where there is none"
        said.append(
            f"{len(unmeasured)} of {len(objects)} objects state no area: that of their {of} counts "
            f"(first: {unmeasured[0][0].where})"
        )
    targets = [
        _pack(image.objects, size, masked, measured) for image, size in zip(images, sizes, strict=True)
    ]
    return targets, said


def _pack(objects: Sequence[AnnotatedObject], size: tuple[int, int], masked: bool, measured: bool) -> Boxes:
    import numpy as np

    boxes: NDArray[np.float64] = np.array([one.corners for one in objects], np.float64).reshape(-1, 4)
    return Boxes(
        boxes,
        np.array([one.label for one in objects], np.int64),
        crowd=np.array([one.crowd for one in objects], bool),
        ignored=np.array([one.ignored for one in objects], bool),
        areas=np.array([one.area for one in objects], np.float64) if measured else None,
        masks=RasterisedMasks([one.outline for one in objects], size) if masked else None,
    )
