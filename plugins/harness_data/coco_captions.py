"""The data set `coco-captions`: COCO's images with five or more captions each.

Chen et al., "Microsoft COCO Captions: Data Collection and Evaluation Server", 2015.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.question_split import QuestionRecord, QuestionSplit

SPLITS = ("train", "val")
YEARS = ("2014", "2017")


class CocoCaptions:
    """COCO captions from the official `captions_<split><year>.json`, in the folder or in its `annotations`.

    Ids and `groups` are COCO's image ids, in the order of the file.

    Args:
        path: the folder of the annotation files, itself or below $HARNESS_DATA_ROOT.
        images: the folder of the images, or the one that holds `val2014` and the like; by default `path`.
        year: "2014" or "2017"; needed only where both are there.
        objects: read `instances_<split><year>.json` too, so that the split has `objects`: what each image shows, for
            the metric `chair`.
    """

    target_kind = "captions"

    def __init__(
        self,
        path: Path,
        *,
        images: Path | None = None,
        year: Literal["2014", "2017"] | None = None,
        objects: bool = False,
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.images = None if images is None else resolve_below_root(images)
        self.year, self.objects = year, objects
        self._read: dict[str, tuple[list[QuestionRecord], list[str]]] = {}

    def _find_file(self, kind: str, split: str, year: str) -> Path | None:
        name = f"{kind}_{split}{year}.json"
        return next((f for f in (self.path / name, self.path / "annotations" / name) if f.is_file()), None)

    @property
    def _years(self) -> list[str]:
        years = YEARS if self.year is None else (self.year,)
        return [y for y in years if any(self._find_file("captions", split, y) for split in SPLITS)]

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose file is there."""
        if len(self._years) != 1:
            return ()
        return tuple(split for split in SPLITS if self._find_file("captions", split, self._years[0]))

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if len(self._years) > 1:
            return f"{self.path}: has captions of both 2014 and 2017: set year"
        if not self._years:
            return f"{self.path}: no captions_val{self.year or '2014'}.json; get COCO's annotations and unpack them there"
        absent = [
            s for s in self.splits if self.objects and not self._find_file("instances", s, self._years[0])
        ]
        return (
            f"{self.path}: no instances_{absent[0]}{self._years[0]}.json, which `objects` needs"
            if absent
            else None
        )

    def _list_files(self, split: str) -> list[Path]:
        kinds = ("captions", "instances") if self.objects else ("captions",)
        return [file for kind in kinds if (file := self._find_file(kind, split, self._years[0]))]

    def fingerprint(self) -> str:
        """Return a digest of the files of all splits, and of the images that they name."""
        from harness import content_digest, content_digests
        from harness_data.digests import text_digest
        from harness_data.question_split import list_image_files

        parts: list[object] = []
        for split in self.splits:
            parts += [split, *(content_digest(file) for file in self._list_files(split))]
            parts += content_digests(list_image_files(self._build_records(split)[0]))
        return text_digest(parts)

    def load(self, split: str) -> QuestionSplit:
        """Open one split; images are read on access.

        Raises DataError, naming file and record, for an image that is listed twice, a caption of an image that is not
        listed, and values of a wrong kind.
        """
        from harness_data.question_split import QuestionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        records, remarks = self._build_records(split)
        return QuestionSplit(records, str(self._list_files(split)[0]), remarks)

    def _build_records(self, split: str) -> tuple[list[QuestionRecord], list[str]]:
        from harness_data.coco_files import CocoFile, CocoRecord, find_coco_images
        from harness_data.question_images import open_image_cell
        from harness_data.question_split import QuestionRecord

        if split in self._read:
            return self._read[split]
        file = CocoFile(self._list_files(split)[0])
        listed: dict[int, CocoRecord] = {}
        for record in file.records("images"):
            if listed.setdefault(key := record.take("id", int), record) is not record:
                raise DataError(f"{record.where}: image {key} is at {listed[key].where} already")
        captions: dict[int, list[str]] = {}
        for record in file.records("annotations"):
            if (key := record.take("image_id", int)) not in listed:
                raise DataError(f"{record.where}: image {key} is not among the file's images")
            captions.setdefault(key, []).append(record.take_text("caption"))
        folder = find_coco_images(self.images or self.path, f"{split}{self._years[0]}")
        shown = _read_objects(self._list_files(split)[1], set(listed)) if self.objects else None
        records = [
            QuestionRecord(
                str(key),
                None,
                tuple(open_image_cell(record.take_text("file_name"), folder, record.where)),
                tuple(captions[key]),
                str(key),
                record.where,
                objects=None if shown is None else tuple(shown.get(key, ())),
            )
            for key, record in listed.items()
            if key in captions
        ]
        bare = [key for key in listed if key not in captions]
        remarks = (
            [f"{len(bare)} of {len(listed)} images have no caption and are left out (first: {bare[0]})"]
            if bare
            else []
        )
        self._read[split] = records, remarks
        return self._read[split]


def _read_objects(path: Path, images: set[int]) -> dict[int, list[str]]:
    """Return the names of the categories that an instances file places on each image, each once."""
    from harness_data.coco_files import CocoFile

    file = CocoFile(path)
    names = {record.take("id", int): record.take_text("name") for record in file.records("categories")}
    found: dict[int, dict[str, None]] = {}
    for record in file.records("annotations"):
        category, image = record.take("category_id", int), record.take("image_id", int)
        if category not in names:
            raise DataError(f"{record.where}: category {category} is not among the file's categories")
        if image not in images:
            raise DataError(f"{record.where}: image {image} is not among those of the captions")
        found.setdefault(image, {})[names[category]] = None
    return {image: list(of) for image, of in found.items()}
