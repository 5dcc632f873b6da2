"""Reads a file of the splits of Karpathy and Fei-Fei, and finds its images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import DataError, did_you_mean
from harness_data.coco_files import CocoFile, CocoRecord
from harness_data.pair_files import resolve_inside

KARPATHY_SPLITS = ("train", "restval", "val", "test")

USUAL_COUNTS: Mapping[str, Mapping[str, int]] = {
    "coco": {"train": 82_783, "restval": 30_504, "val": 5_000, "test": 5_000},
    "flickr30k": {"train": 29_000, "val": 1_014, "test": 1_000},
    "flickr8k": {"train": 6_000, "val": 1_000, "test": 1_000},
}
"""Images of each split in the files as published."""

USUAL_FOLDERS = (
    "",
    "images",
    "flickr30k-images",
    "flickr30k_images",
    "Flickr30k_Images",
    "Flicker8k_Dataset",
)
"""Where images lie, below a folder that holds them."""

OTHER_YEAR = ("train2017", "val2017")
"""COCO's folders of 2017, which hold the same images under their ids."""


@dataclass(frozen=True)
class KarpathyImage:
    """An image of the file: its place there, its id, its file with the folder, and its captions."""

    number: int
    id: str
    folder: str
    name: str
    captions: tuple[str, ...]
    empty: int
    """How many captions are empty and left out."""
    where: str
    coco_id: int | None = None


def read_karpathy_file(path: Path) -> tuple[str, dict[str, list[KarpathyImage]]]:
    """Return the name of the data set and the images of each split, `restval` apart, in the order of the file.

    Raises DataError, naming file and record, for unknown splits, for values of a wrong kind, sentences that contradict
    their image, and an image or sentence that is listed twice.
    """
    file = CocoFile(path)
    found: dict[str, list[KarpathyImage]] = {}
    seen: dict[tuple[str, Any], str] = {}

    def claim(kind: str, value: Any, where: str) -> None:
        if (first := seen.setdefault((kind, value), where)) != where:
            raise DataError(f"{where}: {kind} {value} is at {first} already")

    for number, record in enumerate(file.records("images")):
        split = record.take_text("split")
        if split not in KARPATHY_SPLITS:
            raise DataError(
                f"{record.where}: no split '{split}'{did_you_mean(split, KARPATHY_SPLITS)}: "
                f"expected {', '.join(KARPATHY_SPLITS)}"
            )
        image, name = record.take("imgid", int), record.take_text("filename")
        folder = record.take_text("filepath") if record.values.get("filepath") else ""
        if resolve_inside(f"{folder}/{name}" if folder else name) is None:
            raise DataError(f"{record.where}: '{folder}/{name}' is not a path below the images")
        coco_id = record.take("cocoid", int) if "cocoid" in record.values else None
        claim("image", image, record.where)
        claim("file", f"{folder}/{name}" if folder else name, record.where)
        claim("id", name if coco_id is None else coco_id, record.where)
        texts = _read_sentences(record, image)
        for sentence, _ in texts:
            claim("sentence", sentence, record.where)
        captions = tuple(text for _, text in texts if text)
        found.setdefault(split, []).append(
            KarpathyImage(
                number,
                name if coco_id is None else str(coco_id),
                folder,
                name,
                captions,
                len(texts) - len(captions),
                record.where,
                coco_id,
            )
        )
    if not found:
        raise DataError(f"{path}: lists no images")
    return str(file.values.get("dataset", "")).lower(), found


def _read_sentences(record: CocoRecord, image: int) -> list[tuple[int, str]]:
    """Return ids and texts of an image's sentences. Raises DataError if they contradict the image's own values."""
    found: list[tuple[int, str]] = []
    for number, values in enumerate(record.take("sentences", list)):
        sentence = CocoRecord(values, f"{record.where}, sentences[{number}]")
        if sentence.take("imgid", int) != image:
            raise DataError(
                f"{sentence.where}: is of image {sentence.values['imgid']}, but stands at image {image}"
            )
        key = sentence.take("sentid", int)
        if key in (known for known, _ in found):
            raise DataError(f"{sentence.where}: sentence {key} is there twice")
        found.append((key, sentence.take("raw", str).strip()))
    listed = record.values.get("sentids")
    if listed is not None and listed != [key for key, _ in found]:
        raise DataError(f"{record.where}: its sentids are not those of its {len(found)} sentences")
    return found


def find_karpathy_images(images: Sequence[KarpathyImage], root: Path) -> tuple[list[Path], list[str]]:
    """Return the path of each image, whether it exists or not, and a remark on those of COCO's folders of 2017."""
    places = [root / name for name in USUAL_FOLDERS if (root / name).is_dir()] or [root]
    later = [place / year for place in places for year in OTHER_YEAR if (place / year).is_dir()]
    own = {
        folder: [place / folder for place in places if (place / folder).is_dir()] + (places if folder else [])
        for folder in dict.fromkeys(image.folder for image in images)
    }
    found, moved = [], 0
    for image in images:
        names = [f"{folder}/{image.name}" for folder in own[image.folder]]
        names += [f"{year}/{image.coco_id:012d}.jpg" for year in later if image.coco_id is not None]
        which = next((n for n, name in enumerate(names) if os.path.exists(name)), None)  # noqa: PTH110 (many files)
        moved += which is not None and which >= len(own[image.folder])
        found.append(places[0] / image.folder / image.name if which is None else Path(names[which]))
    are = "is" if moved == 1 else "are"
    said = (
        f"{moved} of {len(images)} images {are} read from COCO's folders of 2017, which hold the same images"
    )
    return found, [said] if moved else []


def note_counts(dataset: str, split: str, restval: bool, count: int) -> list[str]:
    """Return remarks on `restval`, and on a split that has not the usual number of images."""
    usual = USUAL_COUNTS.get(dataset)
    if usual is None:
        return (
            [f"the file is of the data set '{dataset}', whose usual counts are not known here"]
            if dataset
            else []
        )
    rest = usual.get("restval", 0) if split == "train" else 0
    remarks = []
    if rest:
        what = "includes" if restval else "leaves out"
        remarks.append(f"'train' {what} the images of 'restval'")
    expected = usual[split] + (rest if restval else 0)
    if count != expected:
        remarks.append(f"'{split}' has {count} images, {expected} in the file as published")
    return remarks
