"""Images of every mode, damaged ones, and the two ways of preparing them."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms as T
from hypothesis import given as generated
from hypothesis import strategies as st
from PIL import Image

from harness.contract.data import EncodedImage
from harness.contract.models import Preparation
from harness.errors import DataError, OptionError
from harness.inference import images
from harness.inference.images import decode, exact_prepare, fast_prepare

RNG = np.random.default_rng(0)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> EncodedImage:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return EncodedImage(out.getvalue(), f"folder/x.{kind.lower()}")


def smooth(height: int, width: int) -> Image.Image:
    """Like a photograph: broad structure, and some grain."""
    coarse = Image.fromarray(RNG.integers(0, 256, (height // 20, width // 20, 3), np.uint8))
    pixels = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(float)
    return Image.fromarray((pixels + RNG.normal(0, 4, pixels.shape)).clip(0, 255).astype(np.uint8))


NOISE = Image.fromarray(RNG.integers(0, 256, (8, 9, 3), np.uint8))


def pixels(image: Any) -> Any:
    return np.asarray(decode(image))


def test_rgb_comes_back_bit_for_bit() -> None:
    np.testing.assert_array_equal(pixels(encoded(NOISE)), np.asarray(NOISE))
    np.testing.assert_array_equal(pixels(np.asarray(NOISE)), np.asarray(NOISE))
    np.testing.assert_array_equal(pixels(NOISE), np.asarray(NOISE))


def test_greyscale_is_repeated() -> None:
    grey = NOISE.convert("L")
    for given in (
        grey,
        encoded(grey),
        np.asarray(grey),
        np.asarray(grey)[:, :, None],
        encoded(grey, "JPEG", quality=100),
    ):
        got = pixels(given)
        assert got.shape == (8, 9, 3)
        assert (got == got[:, :, :1]).all()
    np.testing.assert_array_equal(pixels(grey)[:, :, 0], np.asarray(grey))


def test_one_bit() -> None:
    bits = NOISE.convert("1")
    np.testing.assert_array_equal(pixels(encoded(bits))[:, :, 0], np.asarray(bits) * 255)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_sixteen_bits_keep_the_upper_eight(kind: str, order: str) -> None:
    values = np.array([[0, 255, 256, 511], [32768, 40000, 65279, 65535]], np.uint16)
    if order == ">u2":
        image = Image.frombytes("I;16B", (4, 2), values.astype(">u2").tobytes())
        given: Any = encoded(image, kind) if kind == "TIFF" else image
    else:
        given = encoded(Image.fromarray(values), kind)
    np.testing.assert_array_equal(pixels(given)[:, :, 0], values // 256)


def test_sixteen_bits_read_as_thirty_two() -> None:
    # older Pillow opens a 16-bit PNG in mode I
    values = np.array([[0, 256, 65535]], np.int32)
    np.testing.assert_array_equal(pixels(Image.fromarray(values))[:, :, 0], values // 256)


def test_cmyk_as_pillow_converts_it() -> None:
    cmyk = NOISE.convert("CMYK")
    np.testing.assert_array_equal(pixels(encoded(cmyk, "TIFF")), np.asarray(cmyk.convert("RGB")))
    assert pixels(encoded(cmyk, "JPEG")).shape == (8, 9, 3)


def test_transparency_is_dropped() -> None:
    rgba = np.dstack([np.asarray(NOISE), RNG.integers(0, 256, (8, 9), np.uint8)])
    for given in (encoded(Image.fromarray(rgba)), rgba):
        np.testing.assert_array_equal(pixels(given), np.asarray(NOISE))
    grey = np.dstack([np.asarray(NOISE)[:, :, 0], rgba[:, :, 3]])
    got = pixels(encoded(Image.fromarray(grey, "LA")))
    np.testing.assert_array_equal(got, np.asarray(NOISE)[:, :, :1].repeat(3, 2))


def test_palettes_with_and_without_transparency() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putdata([0, 1])
    for options in ({}, {"transparency": 1}, {"transparency": bytes([255, 0])}):
        assert pixels(encoded(palette, **options)).tolist() == [[[10, 20, 30], [40, 50, 60]]]


def test_orientation_is_left_alone() -> None:
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees: the published numbers were made without
    assert pixels(encoded(NOISE, "JPEG", exif=exif.tobytes())).shape == (8, 9, 3)


WHOLE = encoded(smooth(80, 80), "JPEG").data


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"this is no image", "no image that can be read"),
        (WHOLE[: len(WHOLE) // 2], "damaged image"),
        (encoded(NOISE).data[:50], "(damaged image|no image)"),
        (b"GIF89a", "(damaged image|no image)"),
    ],
)
def test_damaged_files_are_named(data: bytes, words: str) -> None:
    for prepare in (decode, fast_prepare(Preparation(8, 8))):
        with pytest.raises(DataError, match=f"^folder/cat.jpg: {words}"):
            prepare(EncodedImage(data, "folder/cat.jpg"))


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2), np.float32),
        np.zeros((2, 2, 3), np.int64),
        np.zeros((2, 2, 2), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((1, 2, 2, 3), np.uint8),
        np.zeros((2, 2), bool),
    ],
)
def test_arrays_of_the_wrong_kind_are_named(array: Any) -> None:
    with pytest.raises(DataError, match=r"^mine: an image array must be uint8 of shape H×W or H×W×3, not "):
        decode(array, "mine")


MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
PREPARATIONS = [
    Preparation(224, 224, "bicubic", MEAN, STD),
    Preparation(256, 224, "bilinear", MEAN, STD),
    Preparation((96, 96), 96, "bicubic"),
    Preparation(100, (64, 80), "bilinear", (0.5,) * 3, (0.5,) * 3),
    Preparation(40, 64, "bicubic"),
]


@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_exact_is_torchvision_bit_for_bit(preparation: Preparation) -> None:
    way = T.Compose(
        [
            T.Resize(preparation.resize, T.InterpolationMode(preparation.interpolation)),
            T.CenterCrop(preparation.crop),
            T.ToTensor(),
            T.Normalize(preparation.mean, preparation.std),
        ]
    )
    for size in ((300, 400), (90, 70)):
        image = smooth(*size)
        assert torch.equal(exact_prepare(preparation)(image), way(image))


def levels(preparation: Preparation, given: Any) -> torch.Tensor:
    """How far the fast way is from the exact one, in levels of 255."""
    std = torch.tensor(preparation.std).reshape(3, 1, 1)
    return (fast_prepare(preparation)(given) - exact_prepare(preparation)(decode(given))) * std * 255


@pytest.mark.parametrize("preparation", PREPARATIONS)
@pytest.mark.parametrize("kind", ["smooth", "edges", "grey"])
@pytest.mark.parametrize("size", [(375, 500), (90, 70)])
def test_fast_is_within_one_level(preparation: Preparation, kind: str, size: tuple[int, int]) -> None:
    image = {
        "smooth": lambda: smooth(*size),
        "edges": lambda: Image.fromarray((RNG.integers(0, 2, (*size, 3)) * 255).astype(np.uint8)),
        "grey": lambda: smooth(*size).convert("L"),
    }[kind]()
    for given in (image, encoded(image, "JPEG", quality=90), np.asarray(image)):
        assert levels(preparation, given).abs().max() <= 1.001


@pytest.mark.parametrize("preparation", PREPARATIONS)
def test_fast_on_noise_is_within_one_level_but_for_rare_pixels(preparation: Preparation) -> None:
    apart = []
    for size in ((375, 500), (90, 70)):
        noise = encoded(Image.fromarray(RNG.integers(0, 256, (*size, 3), np.uint8)), "JPEG", quality=90)
        apart.append(levels(preparation, noise).abs().flatten())
    whole = torch.cat(apart)
    assert whole.max() <= 2.001
    assert (whole > 1.001).float().mean() < 1e-4


def tiff(values: Any) -> EncodedImage:
    return encoded(Image.fromarray(values), "TIFF")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([[0.0, 1.0]], np.float32), "floating-point values from 0 to 1"),
        (np.array([[-3.5, 255.0]], np.float32), "floating-point values from -3.5 to 255"),
        (np.array([[0, 70_000]], np.int32), "integers from 0 to 70000"),
        (np.array([[-1, 5]], np.int32), "integers from -1 to 5"),
        (np.array([[0, 4095]], np.uint16), "16-bit values of which the largest is 4095"),
        (np.array([[0, 255]], np.int32), "16-bit values of which the largest is 255"),
    ],
)
def test_images_of_unknown_range_are_refused_instead_of_black_or_white(values: Any, words: str) -> None:
    for prepare in (decode, fast_prepare(Preparation(8, 8))):
        with pytest.raises(DataError, match=f"^folder/x.tiff: has {words}.*range is not known; save it with"):
            prepare(tiff(values))
    with pytest.raises(DataError, match=f"^mine: has {words}"):
        decode(Image.fromarray(values), "mine")


def test_sixteen_bits_of_which_all_are_used_or_none() -> None:
    assert pixels(tiff(np.array([[0, 4096]], np.uint16)))[:, :, 0].tolist() == [[0, 16]]
    assert pixels(tiff(np.zeros((2, 2), np.uint16))).max() == 0
    assert pixels(EncodedImage(b"P5 2 1 1023 \x00\x00\x03\xff", "x.pgm"))[:, :, 0].tolist() == [[0, 255]]


@generated(
    st.sampled_from([np.uint8, np.uint16, np.int32, np.float32]),
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=2, max_size=6),
)
def test_what_is_decoded_keeps_its_order_and_is_neither_black_nor_alike(
    kind: type, values: list[float]
) -> None:
    info = np.iinfo(kind) if kind is not np.float32 else None
    given = np.clip(values, info.min, info.max) if info else np.asarray(values)
    array = given.astype(kind)[None]
    try:
        got = pixels(tiff(array))[0, :, 0].astype(int)
    except DataError:
        assert kind is not np.uint8
        return
    assert kind is not np.float32
    assert got.tolist() == [int(v) if kind is np.uint8 else int(v) // 256 for v in array[0]]
    assert (got.max() > 0) == (array.max() > 0)


def test_modes_that_pillow_does_not_convert_are_named() -> None:
    with pytest.raises(DataError, match=r"^mine: can't be converted to RGB"):
        decode(Image.new("La", (2, 2)), "mine")


def test_float_arrays_are_told_how_to_convert_them() -> None:
    with pytest.raises(DataError, match=r"must be uint8 .* not float32 .*\(255 \* images\)\.round\(\)"):
        decode(np.zeros((2, 2, 3), np.float32))


def test_a_sound_image_of_196_megapixels_is_opened_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    out = io.BytesIO()
    Image.new("1", (14_000, 14_000)).save(out, "PNG")
    with Image.open(out) as opened:  # decoding to RGB would take a gigabyte
        images._check_size(opened, "x.png")
    assert not [w for w in recwarn if issubclass(w.category, Image.DecompressionBombWarning)]


def test_images_beyond_the_limit_are_called_large_and_not_damaged(monkeypatch: pytest.MonkeyPatch) -> None:
    image = smooth(60, 80)
    for prepare in (decode, fast_prepare(Preparation(8, 8))):
        for kind in ("PNG", "JPEG"):
            monkeypatch.setenv("HARNESS_MAX_PIXELS", "4799")
            with pytest.raises(
                DataError, match=rf"^folder/x\.{kind.lower()}: has 80×60 pixels, .*HARNESS_MAX_PIXELS=4800"
            ):
                prepare(encoded(image, kind))
            monkeypatch.setenv("HARNESS_MAX_PIXELS", "4800")
            prepare(encoded(image, kind))
    monkeypatch.setenv("HARNESS_MAX_PIXELS", "many")
    with pytest.raises(OptionError, match="HARNESS_MAX_PIXELS=many: expected a number of pixels"):
        decode(image)


def test_unreadable_images_name_the_option_that_leaves_them_out() -> None:
    with pytest.raises(DataError, match="--skip-unreadable"):
        decode(EncodedImage(b"", "x.png"))


def deep_png(colours: list[tuple[int, int, int]]) -> EncodedImage:
    """A PNG of one row with 16 bits per colour, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    row = b"\0" + struct.pack(f">{3 * len(colours)}H", *(value for colour in colours for value in colour))
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", len(colours), 1, 16, 2, 0, 0, 0)),
        chunk(b"IDAT", zlib.compress(row)),
        chunk(b"IEND", b""),
    ]
    return EncodedImage(b"\x89PNG\r\n\x1a\n" + b"".join(parts), "deep.png")


def test_sixteen_bits_per_colour() -> None:
    assert pixels(deep_png([(65535, 256, 0), (0, 4096, 511)])).tolist() == [[[255, 1, 0], [0, 16, 1]]]
    assert pixels(deep_png([(0, 0, 0)])).max() == 0
    with pytest.raises(DataError, match=r"^deep\.png: has 16-bit colours that stay below 4096"):
        decode(deep_png([(4095, 4095, 0)]))
