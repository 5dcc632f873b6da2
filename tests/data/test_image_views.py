"""Headers tell the size that decoding gives, and one policy for EXIF orientation turns pixels and labels."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from harness import DataError, EncodedImage
from harness.inference.images import decode
from harness_data.coco_objects import CocoObjects
from harness_data.image_views import read_header, read_view
from harness_data.mask_folder import MaskFolder


def turned(path: Path, orientation: int) -> Path:
    """An image of 6×4 pixels, each different, with an EXIF orientation."""
    pixels = np.arange(72, dtype=np.uint8).reshape(4, 6, 3) * 3
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = orientation
    how = {"lossless": True} if path.suffix == ".webp" else {}
    image.save(path, exif=exif, **how)
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_header_tells_what_decoding_gives(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = turned(tmp_path / f"a{suffix}", orientation)
    header = read_header(path)
    stored = read_view(path, header, "ignored")
    assert decode(stored).size == header.view_size("ignored")
    seen = decode(read_view(path, header, "applied"))
    assert seen.size == header.view_size("applied")
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    assert seen.size == upright.size == ((4, 6) if orientation > 4 else (6, 4))
    assert np.array_equal(np.asarray(seen), np.asarray(upright))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>")
    with pytest.raises(DataError, match=r"a\.jpg: no image that can be read, but an HTML page$"):
        read_header(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"b\.jpg: can't be read \(No such file or directory\)$"):
        read_header(tmp_path / "b.jpg")


def coco(base: Path, width: int, height: int, orientation: int) -> Path:
    turned(base / "a.png", orientation)
    told = {
        "images": [{"id": 1, "file_name": "a.png", "width": width, "height": height}],
        "categories": [{"id": 1, "name": "cat"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 2]}],
    }
    (base / "instances_val.json").write_text(json.dumps(told))
    return base


def test_labels_of_the_other_view_are_refused_with_the_cure(tmp_path: Path) -> None:
    base = coco(tmp_path, 4, 6, 6)
    with pytest.raises(
        DataError, match=r'has 6×4 pixels, .* for 4×6 \(they agree .* 6, is applied: exif = "applied"\)'
    ):
        CocoObjects(base).load("val")
    split = CocoObjects(base, exif="applied").load("val")
    assert split[0].image.size == (4, 6)
    assert split.remarks[-1].startswith(
        "1 of 1 images has an EXIF orientation, which is applied: pixels are turned"
    )
    base = coco(tmp_path, 6, 4, 6)
    with pytest.raises(DataError, match=r'exif = "ignored"'):
        CocoObjects(base, exif="applied").load("val")
    assert isinstance(CocoObjects(base).load("val")[0].image, EncodedImage)


def test_a_half_turn_is_said_since_no_size_tells_it(tmp_path: Path) -> None:
    split = CocoObjects(coco(tmp_path, 6, 4, 3)).load("val")
    assert split.remarks == [
        "1 of 1 images has an EXIF orientation, which is ignored: pixels and labels are taken as stored (first: 1)"
    ]


def test_masks_follow_the_same_policy(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    turned(tmp_path / "images" / "a.jpg", 8)
    Image.new("L", (4, 6)).save(tmp_path / "masks" / "a.png")
    with pytest.raises(DataError, match=r'has 6×4 pixels, .*: exif = "applied"'):
        MaskFolder(tmp_path, classes=["sky"]).load("test")
    split = MaskFolder(tmp_path, classes=["sky"], exif="applied").load("test")
    assert split[0].image.size == split.targets[0].semantic.shape[::-1]


def test_a_stored_view_keeps_the_files_bytes(tmp_path: Path) -> None:
    path = turned(tmp_path / "a.jpg", 1)
    view = read_view(path, read_header(path), "applied")
    assert isinstance(view, EncodedImage)
    assert Image.open(io.BytesIO(view.data)).size == (6, 4)
