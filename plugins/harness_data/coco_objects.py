"""The data set `coco-objects`: boxes, masks and areas of objects from COCO's `instances_*.json`, or any file like it.

Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_data.annotation_faults import OnError
from harness_data.image_views import ExifPolicy
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.annotation_faults import AnnotationFaults
    from harness_data.coco_files import CocoFile, CocoRecord
    from harness_data.object_split import AnnotatedImage, AnnotatedObject, ObjectSplit

NAMED = re.compile(r"instances_(?P<split>.+?)(?P<year>20\d\d)?\.json")
EXPORTED = "_annotations.coco.json"
"""The annotation file in each split's folder, as labelling services export it."""

FEDERATED = "neg_category_ids"
"""LVIS's list of the classes that were looked for in an image and are not there."""

USUAL = ("train", "val", "valid", "test")


class CocoObjects:
    """Objects from `instances_<split><year>.json` in the folder or in its `annotations`, from `<split>/_annotations.coco.json`,
    or from one file of any name (the split `test`).

    Samples are sorted by COCO's image ids, which decide between equal scores; images without objects stay. Labels number
    the categories sorted by their ids, whose gaps close. A box around a crowd is marked as one. Areas are those of the
    file. Masks are made by pycocotools on access, if every object has an outline.

    Args:
        path: the folder of the annotation files, or one such file; itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images, or the one that holds `val2017` and the like; by default beside the annotations.
        year: of the annotation files, such as "2017"; needed only where there are several.
        exif: whether an image's EXIF orientation is "ignored", so that pixels and boxes are those of the stored image,
            or "applied" to the pixels, for boxes that count in that view.
        on_error: "raise" stops at the first wrong annotation or image; "skip" leaves its image out, with a remark.
    """

    target_kind = "boxes"

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        year: str | None = None,
        exif: ExifPolicy = "ignored",
        on_error: OnError = "raise",
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.year, self.exif, self.on_error = year, exif, on_error
        self._read: dict[str, CocoFile] = {}

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder with instance files, or None."""
        return {"path": path} if path.is_dir() and cls(path)._list_named() else None

    def _list_named(self) -> list[tuple[str, str, Path]]:
        """Return split, year (may be empty) and file of each `instances_*.json`."""
        found = {}
        for folder in (self.path / "annotations", self.path):
            for file in sorted(folder.glob("instances_*.json")):
                if (match := NAMED.fullmatch(file.name)) and self.year in (None, match["year"] or ""):
                    found[file.name] = (match["split"], match["year"] or "", file)
        return list(found.values())

    @property
    def _files(self) -> dict[str, Path]:
        """The annotation file of each split; empty if several years make it ambiguous."""
        if self.path.is_file():
            match = NAMED.fullmatch(self.path.name)
            return {match["split"] if match else "test": self.path}
        named = self._list_named()
        if len({year for _, year, _ in named}) > 1:
            return {}
        files = {split: file for split, _, file in named} or {
            file.parent.name: file for file in self.path.glob(f"*/{EXPORTED}")
        }
        order = [*(s for s in USUAL if s in files), *sorted(set(files) - set(USUAL))]
        return {split: files[split] for split in order}

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose file is there."""
        return tuple(self._files)

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._files:
            return None
        years = sorted({year or "none" for _, year, _ in self._list_named()})
        if len(years) > 1:
            return f"{self.path}: has instances of the years {' and '.join(years)}: set year"
        return (
            f"{self.path}: no instances_val{self.year or '2017'}.json, nor <split>/{EXPORTED}; get COCO's annotations and "
            "unpack them there, or give one file"
        )

    def fingerprint(self) -> str:
        """Return a digest of the files of all splits, and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest

        parts: list[object] = []
        for split, file in self._files.items():
            images = [path for path, _ in self._list_images(split).values()]
            parts += [split, content_digest(file), *content_digests(images)]
        return text_digest(parts)

    def load(self, split: str) -> ObjectSplit:
        """Read one split's annotations and check its images' headers; their pixels are read on access.

        Raises DataError, naming file and record, for what is not as COCO's format has it: ids that are listed twice,
        categories or images that are not listed, boxes outside their image or inverted, masks of another size, images
        that are missing or of another size.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.object_split import AnnotatedImage, ObjectSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        file, faults = self._open(split), AnnotationFaults(self.on_error)
        names, labels = _number_categories(file)
        images = {
            key: AnnotatedImage(str(key), path, record.where, _take_size(record))
            for key, (path, record) in self._list_images(split).items()
        }
        remarks = _add_objects(file, images, labels, faults)
        ordered = [images[key] for key in sorted(images)]
        return ObjectSplit(ordered, names, faults, str(file.path), exif=self.exif, remarks=remarks)

    def _open(self, split: str) -> CocoFile:
        from harness_data.coco_files import CocoFile

        if split not in self._read:
            self._read[split] = CocoFile(self._files[split])
        return self._read[split]

    def _list_images(self, split: str) -> dict[int, tuple[Path, CocoRecord]]:
        """Return file and record of each image by its id."""
        from harness_data.coco_files import find_coco_images
        from harness_data.question_images import ImageFile, open_image_cell

        file = self._files[split]
        match = NAMED.fullmatch(file.name)
        beside = file.parent.parent if file.parent.name == "annotations" else file.parent
        folder = find_coco_images(self.images or beside, f"{split}{(match['year'] or '') if match else ''}")
        listed: dict[int, tuple[Path, CocoRecord]] = {}
        for record in self._open(split).records("images"):
            if FEDERATED in record.values:
                raise DataError(
                    f"{record.where}: has `{FEDERATED}`, as LVIS's files do: classes that nobody looked for in an image "
                    "must not count there, which is not read here"
                )
            if (key := record.take("id", int)) in listed:
                raise DataError(f"{record.where}: image {key} is at {listed[key][1].where} already")
            (source,) = open_image_cell(record.take_text("file_name"), folder, record.where)
            assert isinstance(source, ImageFile)
            listed[key] = source.path, record
        return listed


def _number_categories(file: CocoFile) -> tuple[list[str], dict[int, int]]:
    """Return the categories' names sorted by id, and the label of each id. Raises DataError for a repeated id or name."""
    named: dict[int, str] = {}
    for record in file.records("categories"):
        key, name = record.take("id", int), record.take_text("name")
        if key in named:
            raise DataError(f"{record.where}: category {key} is listed already, as '{named[key]}'")
        if name in named.values():
            raise DataError(f"{record.where}: category {key} has the name '{name}', as another category")
        named[key] = name
    ordered = sorted(named)
    if not ordered:
        raise DataError(f"{file.path}: lists no categories")
    return [named[key] for key in ordered], {key: label for label, key in enumerate(ordered)}


def _take_size(record: CocoRecord) -> tuple[int, int]:
    return record.take("width", int), record.take("height", int)


def _add_objects(
    file: CocoFile, images: dict[int, AnnotatedImage], labels: dict[int, int], faults: AnnotationFaults
) -> list[str]:
    """Give each image its objects; return a remark on marks that COCO's evaluation does not read."""
    places: dict[int, str] = {}
    marked = 0
    for record in file.records("annotations"):
        if (identity := record.take("id", int)) in places:
            raise DataError(f"{record.where}: annotation {identity} is at {places[identity]} already")
        places[identity] = record.where
        where, key = f"{record.where} (id {identity})", record.take("image_id", int)
        if (image := images.get(key)) is None:
            faults.add(None, f"{where}: image {key} is not among the file's images")
            continue
        if (category := record.take("category_id", int)) not in labels:
            faults.add(image.id, f"{where}: category {category} is not among the file's categories")
            continue
        try:
            image.objects.append(_read_object(record.values, labels[category], where))
        except DataError as error:
            faults.add(image.id, str(error))
        marked += record.values.get("ignore") == 1 and record.values.get("iscrowd") != 1
    if not marked:
        return []
    are = "object is" if marked == 1 else "objects are"
    return [f"{marked} {are} marked `ignore`, which COCO's evaluation does not read: they count"]


def _read_object(values: dict[str, Any], label: int, where: str) -> AnnotatedObject:
    from harness_data.object_split import AnnotatedObject
    from harness_data.outlines import is_number

    box, crowd, area = values.get("bbox"), values.get("iscrowd", 0), values.get("area")
    if not isinstance(box, list) or len(box) != 4 or not all(map(is_number, box)):
        raise DataError(f"{where}: `bbox` should be x, y, width, height, found {str(box)[:40]!r}")
    if crowd not in (0, 1):
        raise DataError(f"{where}: `iscrowd` should be 0 or 1, found {str(crowd)[:40]!r}")
    if area is not None and not (is_number(area) and area >= 0):
        raise DataError(f"{where}: `area` should be a number of pixels, found {str(area)[:40]!r}")
    left, top, width, height = map(float, box)
    if width <= 0 or height <= 0:
        raise DataError(f"{where}: `bbox` should be x, y, width, height, with sides above 0, found {box}")
    return AnnotatedObject(
        (left, top, left + width, top + height),
        label,
        where,
        crowd=bool(crowd),
        area=None if area is None else float(area),
        outline=values.get("segmentation") or None,
    )
