"""How image files are seen where places in them count: the size of their pixels, and what EXIF orientation does to it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError, EncodedImage
from harness_data.file_names import escape_file_name

if TYPE_CHECKING:
    import PIL.Image

ExifPolicy = Literal["ignored", "applied"]
"""Whether pixels and labels are those of the stored image, or of the image turned as its EXIF data say."""

ORIENTATION = 0x0112
UPRIGHT = 1
SIDES_SWAPPED = frozenset((5, 6, 7, 8))
"""EXIF orientations that exchange width and height."""


@dataclass(frozen=True)
class ImageHeader:
    """What an image file's header says: its stored size in pixels, and its EXIF orientation (1: upright)."""

    width: int
    height: int
    orientation: int = UPRIGHT

    def view_size(self, exif: ExifPolicy) -> tuple[int, int]:
        """Return width and height of the image as it is used."""
        turned = exif == "applied" and self.orientation in SIDES_SWAPPED
        return (self.height, self.width) if turned else (self.width, self.height)

    def describe_mismatch(self, stated: tuple[int, int], exif: ExifPolicy) -> str | None:
        """Return why the image has not the stated width and height, or None if it has."""
        seen = self.view_size(exif)
        if seen == stated:
            return None
        fault = f"the image has {seen[0]}×{seen[1]} pixels, its annotation is for {stated[0]}×{stated[1]}"
        other: ExifPolicy = "ignored" if exif == "applied" else "applied"
        if self.view_size(other) == stated:
            fault += (
                f' (they agree if its EXIF orientation, {self.orientation}, is {other}: exif = "{other}")'
            )
        return fault


def read_header(path: Path) -> ImageHeader:
    """Read an image's size and orientation without decoding it. Raises DataError, naming the file, if that fails."""
    import PIL.Image

    from harness.inference.images import LEAVE_OUT, decode
    from harness_data.scanning import read_sample_file

    try:
        with PIL.Image.open(path) as image:
            return ImageHeader(image.width, image.height, _find_orientation(image))
    except Exception:  # decoders of rare formats raise anything; the general decoder says what is wrong
        try:
            pixels = decode(EncodedImage(read_sample_file(path), escape_file_name(str(path))))
        except DataError as error:
            raise DataError(str(error).removesuffix(f"; {LEAVE_OUT}")) from None
        return ImageHeader(pixels.width, pixels.height)


def _find_orientation(image: PIL.Image.Image) -> int:
    """Return the orientation that Pillow leaves to its user: TIFF files are turned when they are decoded."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return UPRIGHT  # of a PNG, `getexif` would decode all pixels to look behind them
    found = image.getexif().get(ORIENTATION, UPRIGHT)
    return found if isinstance(found, int) and 1 <= found <= 8 else UPRIGHT


def read_headers(paths: Sequence[Path]) -> list[ImageHeader | DataError]:
    """Read several headers in threads; of a file that can't be read, return the error."""

    def read(path: Path) -> ImageHeader | DataError:
        try:
            return read_header(path)
        except DataError as error:
            return error

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return list(threads.map(read, paths))


def read_view(path: Path, header: ImageHeader, exif: ExifPolicy) -> EncodedImage | PIL.Image.Image:
    """Return an image as it is used: its file's bytes or, if it has to be turned, its pixels.

    Raises DataError, naming the file, if it can't be read.
    """
    import PIL.Image

    from harness.inference.images import decode
    from harness_data.scanning import read_sample_file

    encoded = EncodedImage(read_sample_file(path), escape_file_name(str(path)))
    if exif == "ignored" or header.orientation == UPRIGHT:
        return encoded
    turn = PIL.Image.Transpose
    turns: Mapping[int, PIL.Image.Transpose] = {
        2: turn.FLIP_LEFT_RIGHT,
        3: turn.ROTATE_180,
        4: turn.FLIP_TOP_BOTTOM,
        5: turn.TRANSPOSE,
        6: turn.ROTATE_270,
        7: turn.TRANSVERSE,
        8: turn.ROTATE_90,
    }
    return decode(encoded).transpose(turns[header.orientation])


def note_orientations(headers: Mapping[str, ImageHeader], exif: ExifPolicy) -> list[str]:
    """Return a remark on the images, by id, that have another orientation than upright; none without them."""
    turned = [name for name, header in headers.items() if header.orientation != UPRIGHT]
    if not turned:
        return []
    have = "has" if len(turned) == 1 else "have"
    done = (
        "pixels and labels are taken as stored"
        if exif == "ignored"
        else "pixels are turned, and labels count in that view"
    )
    return [
        f"{len(turned)} of {len(headers)} images {have} an EXIF orientation, which is {exif}: {done} (first: {turned[0]})"
    ]
