"""What the images of a table of captions are known by: their files, or the bytes in its cells."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

from harness import DataError, EncodedImage
from harness_data.caption_items import RowOfItem
from harness_data.caption_names import find_named_files
from harness_data.caption_tables import CaptionRow
from harness_data.pair_files import FileIndex
from harness_data.question_images import ImageFile, ImageSource


def identify_images(
    rows: Sequence[tuple[CaptionRow, str]], folder: Path, list_files: Callable[[], FileIndex]
) -> tuple[list[RowOfItem], dict[str, ImageSource], list[str]]:
    """Return rows (given with their splits) with keys of their images, the images by key, and remarks.

    The key of a file is its path, that of bytes in a cell their digest. Raises DataError, naming the row, for several
    images of a row, and for cells that are no image.
    """
    places: dict[str, str] = {}
    for row, _ in rows:
        if isinstance(row.media, str):
            places.setdefault(row.media, row.where)
    named = find_named_files(places, folder, list_files, "image")
    sources: dict[str, ImageSource] = {}
    stored: dict[str, str] = {}
    found, inside = [], 0
    for row, split in rows:
        if isinstance(row.media, str):
            path = named.paths[row.media]
            key, identity = str(path), row.media
            sources.setdefault(key, ImageFile(path, row.where))
        else:
            source = _take_single(row)
            image = source.read()
            key = hashlib.sha256(image.data if isinstance(image, EncodedImage) else image).hexdigest()
            identity = stored.setdefault(key, str(len(stored)))
            sources.setdefault(key, source)
            inside += 1
        found.append(RowOfItem(row, key, identity if row.id is None else row.id, split))
    remarks = named.describe("images")
    if inside:
        remarks.append(
            f"{inside} rows hold their images: equal bytes are one image, of which there are {len(stored)}"
            + ("" if all(row.id for row, _ in rows) else ", and ids are their numbers, from 0")
        )
    return found, sources, remarks


def _take_single(row: CaptionRow) -> ImageSource:
    values = row.media if isinstance(row.media, list) else [row.media]
    if len(values) != 1 or not isinstance(values[0], ImageSource):
        what = f"{len(values)} images" if isinstance(row.media, list) else f"a {type(row.media).__name__}"
        raise DataError(f"{row.where}: has {what}, expected one image: a path, bytes or base64")
    return values[0]
