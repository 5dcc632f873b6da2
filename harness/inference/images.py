"""Decoding and preparation of images: from a data set's samples to a network's input."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from harness.contract.data import EncodedImage
from harness.contract.models import Preparation
from harness.errors import DataError, HarnessError, OptionError

if TYPE_CHECKING:
    import torch

UINT8 = np.dtype(np.uint8)
HELD = 2**21
"""Pixels of decoded images that wait for their preparation together: 6 MB."""

LIMIT_VARIABLE = "HARNESS_MAX_PIXELS"
MAX_PIXELS = 10**9
"""Pixels of the largest image that is decoded, at 4 bytes each; $HARNESS_MAX_PIXELS overrides it."""

SIXTEEN_BITS = 65535
DARK = 4096
"""A 16-bit image that stays below this would come out black: 12 bits or fewer, or millimetres."""

FLOATS = "where 0 is black and 1 is white, convert by (255 * images).round().astype('uint8')"

NO_IMAGES = {
    rb"version https://git-lfs": "the pointer of a file in Git LFS, which was not fetched",
    rb"(\xef\xbb\xbf)?(<!doctype html|<html)": "an HTML page",
    rb"(\xef\xbb\xbf)?(<\?xml[^>]*>\s*(<!--.*?-->\s*)*(<!doctype svg[^>]*>\s*)?)?<svg": "an SVG drawing",
    rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)": "a HEIC photograph, which is not decoded here: convert it",
    rb"(\xff\x0a|\x00\x00\x00\x0cjxl )": "a JPEG XL image, which is not decoded here: convert it",
    rb"%pdf": "a PDF document",
    rb"pk\x03\x04": "a ZIP archive",
    rb"\x1f\x8b": "a compressed file (gzip)",
    rb"[{\[]": "a text (JSON)",
}
"""What files with names of images often are: their beginning, in lower case, and the wording."""

LEAVE_OUT = "remove it, replace it, or leave out what can't be read with --skip-unreadable"

Prepare = Callable[[Any], "torch.Tensor"]


def max_pixels() -> int:
    """Return the pixels of the largest image to decode. Raises OptionError if the environment holds no number."""
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    if given and not (given.isdecimal() and int(given) > 0):
        raise OptionError(f"{LIMIT_VARIABLE}={given}: expected a number of pixels, such as {MAX_PIXELS}")
    return int(given) if given else MAX_PIXELS


if Image.MAX_IMAGE_PIXELS == 2**30 // 12:
    # Pillow warns from 89 megapixels on and refuses twice as many; a limit set by others is kept
    with suppress(OptionError):
        Image.MAX_IMAGE_PIXELS = max(MAX_PIXELS, max_pixels())


def decode(image: Any, name: str = "image") -> Image.Image:
    """Return an image of any kind as a PIL image in RGB.

    Greyscale, palette and CMYK are converted, transparency is dropped and EXIF orientation ignored, as in
    the loaders behind published numbers. Of 16 bits the upper 8 count, and of several frames the first.

    Raises DataError naming the file if the bytes are not an image or end too early, if it is larger
    than `max_pixels`, or if black and white are unknown (`_to_eight_bits`).
    """
    if isinstance(image, np.ndarray) and image.dtype == UINT8 and image.ndim == 3 and image.shape[2] == 3:
        return Image.fromarray(image)  # a shortcut for small images, where every step costs
    if isinstance(image, (EncodedImage, Image.Image)):
        name = image.name if isinstance(image, EncodedImage) else name
        try:
            opened = Image.open(io.BytesIO(image.data)) if isinstance(image, EncodedImage) else image
            _check_size(opened, name)
            deep = _is_deep(opened)
            opened.load()
        except UnidentifiedImageError:
            raise DataError(f"{name}: {_kind_of(getattr(image, 'data', None))}; {LEAVE_OUT}") from None
        except Image.DecompressionBombError as error:
            raise DataError(f"{name}: larger than Pillow's limit ({error}); {LEAVE_OUT}") from None
        except (HarnessError, MemoryError):
            raise
        except Exception as error:  # decoders of rarer formats raise anything
            raise DataError(f"{name}: damaged image ({error}); {LEAVE_OUT}") from None
        image = opened
    else:
        deep = False
        array = np.asarray(image)
        shaped = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 3, 4))
        if array.dtype != UINT8 or not shaped:
            raise DataError(
                f"{name}: an image array must be uint8 of shape H×W or H×W×3, not {array.dtype} {array.shape}"
                + (f"; {FLOATS}" if array.dtype.kind == "f" else "")
            )
        image = Image.fromarray(array.squeeze(-1) if array.ndim == 3 and array.shape[2] == 1 else array)
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_eight_bits(image, name)
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        image = image.copy()
        del image.info["transparency"]  # dropped in any case, but Pillow would warn
    try:
        converted: Image.Image = image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        raise DataError(f"{name}: can't be converted to RGB ({error}); {LEAVE_OUT}") from None
    if deep and 0 < (high := int(np.asarray(converted).max())) < DARK // 256:
        raise DataError(
            f"{name}: has 16-bit colours that stay below {256 * (high + 1)}, so that it would come out black, and its "
            "range is not known; save it with 8 bits, or with 16 from 0 to 65535"
        )
    return converted


def _kind_of(data: bytes | None) -> str:
    """Return what a file that is not an image is, as far as its first bytes say."""
    if data == b"":
        return "an empty file"
    start = (data or b"")[:512].lstrip().lower()
    found = next((what for mark, what in NO_IMAGES.items() if re.match(mark, start, re.DOTALL)), None)
    return f"no image that can be read, but {found}" if found else "no image that can be read"


def _is_deep(image: Image.Image) -> bool:
    """Return whether an image that is not decoded yet has 16 bits per colour, of which Pillow keeps 8."""
    tiles: Any = getattr(image, "tile", None)
    return bool(tiles) and image.mode not in ("L", "P", "1") and ";16" in str(tiles[0][3])


def _check_size(image: Image.Image, name: str) -> None:
    """Raise DataError for an image with more pixels than may be decoded."""
    pixels, most = image.width * image.height, max_pixels()
    if pixels > most:
        raise DataError(
            f"{name}: has {image.width}×{image.height} pixels, {pixels / 1e6:.0f} megapixels, more than the limit of "
            f"{most / 1e6:.0f}; make it smaller, or raise the limit with {LIMIT_VARIABLE}={pixels}"
        )


def _to_eight_bits(image: Image.Image, name: str) -> Image.Image:
    """Return a grey image of more than 8 bits per value in 8.

    16 bits range from 0 to 65535, and their upper half counts. (Older Pillow opens such a PNG with
    32 bits, as all versions do with PGM.)

    Raises DataError if the range is unknown, since the image might come out black or white: floating
    point, integers beyond 16 bits, and 16 bits of which hardly any are used.
    """
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        what = f"floating-point values from {low:g} to {high:g}"
    elif low < 0 or high > SIXTEEN_BITS:
        what = f"integers from {low} to {high}"
    elif 0 < high < DARK:
        what = f"16-bit values of which the largest is {high}, so that it would come out black"
    else:
        return Image.fromarray((values // 256).astype(np.uint8))
    raise DataError(
        f"{name}: has {what}, and its range is not known; save it with 8 bits, or with 16 from 0 to 65535"
    )


class Staged:
    """Decoding, then a preparation of PIL images; several images go through stage by stage.

    Each stage's code then stays in the processor's caches: small images take a quarter less time.
    """

    def __init__(self, prepare: Callable[[Image.Image], torch.Tensor]) -> None:
        self.prepare = prepare

    def __call__(self, image: Any) -> torch.Tensor:
        """Prepare one image, as a data set returned it."""
        return self.prepare(decode(image))

    def many(self, images: Sequence[Any]) -> list[torch.Tensor]:
        """Prepare several images, with the same results; of large ones, few are held at a time."""
        done: list[torch.Tensor] = []
        decoded: list[Image.Image] = []
        pixels = 0
        for image in images:
            decoded.append(decode(image))
            pixels += decoded[-1].width * decoded[-1].height
            if pixels >= HELD:
                done += [self.prepare(image) for image in decoded]
                decoded, pixels = [], 0
        return done + [self.prepare(image) for image in decoded]


def exact_prepare(preparation: Preparation) -> Prepare:
    """Return the preparation through PIL and torchvision, as for the published numbers."""
    import torchvision.transforms as T
    from torchvision.transforms import InterpolationMode

    pipeline: Prepare = T.Compose(
        [
            T.Resize(preparation.resize, InterpolationMode(preparation.interpolation)),
            T.CenterCrop(preparation.crop),
            T.ToTensor(),
            T.Normalize(preparation.mean, preparation.std),
        ]
    )
    return pipeline


def fast_prepare(preparation: Preparation) -> Prepare:
    """Return the preparation on uint8 tensors: simplejpeg decoding and antialiased torch resizing.

    It takes encoded bytes, a PIL image or an array, and returns the exact tensor within one level of 255 per
    value; about 2.5 times as fast on JPEG files. (Both resizers round between their two passes, with weights
    of 22 and 15 bits: on pure noise a pixel in a million can be two levels apart.)
    """
    import torch
    from torchvision.transforms.v2 import InterpolationMode
    from torchvision.transforms.v2 import functional as F

    scale = torch.tensor(preparation.std).mul(255).reciprocal().reshape(3, 1, 1)
    shift = -(torch.tensor(preparation.mean) / torch.tensor(preparation.std)).reshape(3, 1, 1)
    mode = InterpolationMode(preparation.interpolation)
    size = [preparation.resize] if isinstance(preparation.resize, int) else list(preparation.resize)
    crop = [preparation.crop] * 2 if isinstance(preparation.crop, int) else list(preparation.crop)

    def prepare(image: Any) -> torch.Tensor:
        array = _decode_jpeg(image) if isinstance(image, EncodedImage) else None
        if array is None:
            array = np.array(decode(image))
        pixels = torch.from_numpy(array).permute(2, 0, 1)
        pixels = F.resize(pixels, size, interpolation=mode, antialias=True)
        pixels = F.center_crop(pixels, crop)
        return torch.addcmul(shift, pixels.contiguous(), scale)

    return prepare


def _decode_jpeg(image: EncodedImage) -> Any:
    """Return the RGB array H×W×3 of a plain colour JPEG, or None for images of the general decoder."""
    import simplejpeg

    if not simplejpeg.is_jpeg(image.data):
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(image.data)
        if space not in ("YCbCr", "RGB") or height * width > max_pixels():
            return None  # the general decoder says what is wrong
        # PIL's upsampling and transform, so that the pixels agree bit for bit
        return simplejpeg.decode_jpeg(image.data, "RGB", fastdct=False, fastupsample=False)
    except ValueError:
        return None  # damaged, as above
