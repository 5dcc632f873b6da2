"""Where the images of questions are: files, or cells of a table that hold their bytes, read on access."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from harness import DataError, EncodedImage, decode
from harness_data.image_files import MAGIC
from harness_data.pair_files import resolve_inside
from harness_data.question_cells import shorten_text
from harness_data.scanning import read_sample_file
from harness_data.text_encoding import replace_surrogates

_DATA_URI = re.compile(r"data:image/[\w.+-]+;base64,", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/\r\n]+={0,2}\s*")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
BASE64_CHECKED = 64
"""Characters at the beginning of a text that decide whether it holds an image and not a path."""


@runtime_checkable
class ImageSource(Protocol):
    """An image of a sample that is not read yet."""

    def read(self) -> Any:
        """Return the image as a `Sample` takes it. Raises DataError, naming its place, if it can't be read."""


@dataclass(frozen=True)
class ImageFile:
    """An image file that the record at `where` names."""

    path: Path
    where: str

    def read(self) -> EncodedImage:
        """Return the file's bytes. Raises DataError naming record and file if it can't be read."""
        try:
            return EncodedImage(read_sample_file(self.path), str(self.path))
        except DataError as error:
            raise DataError(f"{self.where}: image {error}") from None


@dataclass(frozen=True)
class CutImageFile(ImageFile):
    """A part of an image file: left, top, right and bottom in pixels. What lies outside the image is black."""

    box: tuple[int, int, int, int]

    def read(self) -> Any:
        """Return the part. Raises DataError naming record and file if the file can't be read, or is no image."""
        return decode(super().read()).crop(self.box)


@dataclass(frozen=True)
class StoredImage:
    """An image whose bytes are in a cell of a table: the cell itself, or one of the list in it."""

    cell: Callable[[], Any]
    position: int | None
    where: str

    def read(self) -> EncodedImage:
        """Return the image's bytes. Raises DataError naming the record if they are no base64."""
        value = self.cell()
        if self.position is not None:
            value = value[self.position]
        if isinstance(value, dict):
            value = value["bytes"]
        if isinstance(value, str):
            try:
                value = base64.b64decode("".join(_DATA_URI.sub("", value, count=1).split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise DataError(f"{self.where}: its image can't be decoded as base64 ({error})") from None
        return EncodedImage(bytes(value), f"{self.where}, image {(self.position or 0) + 1}")


def holds_image(text: str) -> bool:
    """Return whether a text is an image in base64 or a data URI, and no path."""
    if _DATA_URI.match(text):
        return True
    start = text[:BASE64_CHECKED]
    if len(start) < BASE64_CHECKED or not _BASE64.fullmatch(start):
        return False
    try:
        return MAGIC.match(base64.b64decode(start)) is not None
    except (binascii.Error, ValueError):
        return False


def shelve_images(value: Any, cell: Callable[[], Any], where: str, position: int | None = None) -> Any:
    """Return a cell's value with a `StoredImage` in place of each image it holds as bytes or base64.

    A mapping with `bytes` and `path`, as the Hugging Face hub stores images, becomes an image or the path.
    `cell` reads the value again.
    """
    if isinstance(value, list):
        return (
            [shelve_images(one, cell, where, i) for i, one in enumerate(value)] if position is None else value
        )
    if isinstance(value, dict) and "bytes" in value:
        return value.get("path") if value["bytes"] is None else StoredImage(cell, position, where)
    if isinstance(value, bytes) or (isinstance(value, str) and holds_image(value)):
        return StoredImage(cell, position, where)
    return value


def open_image_cell(value: Any, root: Path, where: str) -> list[ImageSource]:
    """Return the images that a cell names or holds, in order; none for an empty cell.

    Raises DataError, naming the record, for a path that leads out of `root`, an address, and anything else that is
    no image.
    """
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [source for one in value for source in open_image_cell(one, root, where)]
    if isinstance(value, ImageSource):
        return [value]
    if not isinstance(value, str):
        raise DataError(f"{where}: an image is a {type(value).__name__}, expected a path, bytes or base64")
    if _ADDRESS.match(value):
        raise DataError(
            f"{where}: image '{shorten_text(value)}' is an address; download it, and give its path"
        )
    inside = resolve_inside(replace_surrogates(value))
    if inside is None:
        raise DataError(
            f"{where}: image '{shorten_text(value)}' is not below {root}: give paths relative to it, or the folder of the images"
        )
    return [ImageFile(root / inside, where)]


def list_missing(sources: list[ImageSource]) -> list[ImageFile]:
    """Return the files among some images that do not exist, each once."""
    files: dict[Path, ImageFile] = {}
    for source in sources:
        if isinstance(source, ImageFile):
            files.setdefault(source.path, source)
    return [file for path, file in files.items() if not os.path.exists(path)]  # noqa: PTH110 (many files)
