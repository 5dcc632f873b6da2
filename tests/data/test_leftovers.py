"""Image folders: every file is a sample, is told to be left out, or is a system's own."""

from __future__ import annotations

import io
import os
import re
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.errors import DataError
from harness.inference.images import decode
from harness_data.image_files import IMAGE_SUFFIXES, NON_IMAGE_SUFFIXES, UNDECODED_SUFFIXES
from harness_data.image_folder import ImageFolder


def encoded(kind: str, colour: str = "red") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 6), colour).save(out, kind)
    return out.getvalue()


PNG, JPEG = encoded("PNG"), encoded("JPEG")


def put(path: Path, data: bytes = PNG) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def pair(root: Path) -> Path:
    """Two sound classes, `a` and `b`, of two images each."""
    for name in ("a/0.png", "a/1.png", "b/0.png", "b/1.png"):
        put(root / name)
    return root


def test_image_suffixes_are_those_that_pillow_decodes() -> None:
    Image.init()
    kinds = Image.registered_extensions()
    # only recognised (no decoder of their own), drawings, or only written
    not_decoded = {"BUFR", "GRIB", "HDF5", "MPEG", "EPS", "WMF", "PALM", "PDF"}
    assert {suffix for suffix, kind in kinds.items() if kind not in not_decoded} == IMAGE_SUFFIXES
    assert not IMAGE_SUFFIXES & NON_IMAGE_SUFFIXES
    assert not IMAGE_SUFFIXES & UNDECODED_SUFFIXES


@pytest.mark.parametrize(
    "kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "AVIF", "PPM", "QOI", "DDS"]
)
def test_files_without_a_known_suffix_are_known_by_their_first_bytes(tmp_path: Path, kind: str) -> None:
    pair(tmp_path)
    put(tmp_path / "b" / "ILSVRC2012_val_0001", encoded(kind))
    put(tmp_path / "b" / "photo.JPG?width=200", encoded(kind))
    data = ImageFolder(tmp_path)
    split = data.load("test")
    assert len(split) == 6
    assert all(decode(sample.image).size == (8, 6) for sample in split)
    assert data.remarks == [
        "2 of 6 images are recognised by their first bytes, not by a suffix (first: b/ILSVRC2012_val_0001)"
    ]


@pytest.mark.parametrize("suffix", [".jfif", ".JPE", ".Jfif", ".jpe", ".jpeg", ".mpo"])
def test_every_suffix_of_jpeg_is_one(tmp_path: Path, suffix: str) -> None:
    put(pair(tmp_path) / "a" / f"x{suffix}", JPEG)
    data = ImageFolder(tmp_path)
    assert len(data.load("test")) == 5
    assert data.remarks == []


def test_a_folder_of_nothing_but_suffixless_images_is_a_class(tmp_path: Path) -> None:
    for name in ("test/a/0", "test/b/1", "test/b/2"):
        put(tmp_path / name)
    data = ImageFolder(tmp_path)
    assert data.splits == ("test",)
    assert data.load("test").targets.tolist() == [0, 1, 1]


def test_what_is_not_used_is_counted_by_kind(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        pair(tmp_path / folder)
    for name in ("a/readme.txt", "a/deep/notes.TXT", "b/x.npy", "b/.hidden.png", "b/phone.HEIC", "b/LICENSE"):
        put(tmp_path / "test" / name, b"text")
    put(tmp_path / "test" / "a" / "cat.jpg.bak", JPEG)
    assert ImageFolder(tmp_path).remarks == [
        "7 of 15 files are not used: 2 .txt, 1 .bak, 1 .heic, 1 .npy, 1 hidden, 1 without suffix "
        "(first: test/a/cat.jpg.bak)"
    ]


def test_what_systems_leave_behind_is_neither_class_nor_split_nor_image(tmp_path: Path) -> None:
    pair(tmp_path / "test")
    for name in (
        "@eaDir",
        "__MACOSX",
        "$RECYCLE.BIN",
        "#recycle",
        "lost+found",
        ".ipynb_checkpoints",
        "@Recycle",
    ):
        for place in ("", "test", "test/a"):
            (tmp_path / place / name / "a").mkdir(parents=True)
            put(tmp_path / place / name / "a" / "._0.png", b"\0\5\26\7")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini", "._0.png", "._notes.txt", "Icon\r"):
        put(tmp_path / "test" / "b" / name, b"\0\5\26\7")
        put(tmp_path / "test" / name, b"\0\5\26\7")
    data = ImageFolder(tmp_path)
    assert (data.unavailable(), data.splits, data.remarks) == (None, ("test",), [])
    assert list(data.load("test").ids) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert data.load("test").class_names == ["a", "b"]
    put(tmp_path / "test" / "a" / "@eaDir" / "0.png" / "SYNOPHOTO_THUMB_M.jpg", JPEG)
    put(tmp_path / "test" / ".ipynb_checkpoints" / "1-checkpoint.png")
    put(tmp_path / "__MACOSX" / "x.png")
    assert ImageFolder(tmp_path).remarks == [
        "3 of 7 files are not used: 1 in .ipynb_checkpoints, 1 in @eaDir, 1 in __MACOSX (first: __MACOSX/x.png)"
    ]


def test_images_beside_class_and_split_folders_are_told_and_companions_are_not(tmp_path: Path) -> None:
    pair(tmp_path / "test")
    for name in ("README.md", "labels.csv", "LICENSE", "test/classes.txt", "test/pets.zip"):
        put(tmp_path / name, b"text")
    assert ImageFolder(tmp_path, layout="splits").remarks == []
    for name in ("loose.jpg", "test/one.png", "test/two", "test/three.heic"):
        put(tmp_path / name)
    assert ImageFolder(tmp_path, layout="splits").remarks == [
        "4 of 8 files are not used: 3 beside the class folders, 1 beside the split folders (first: loose.jpg)"
    ]
    flat = pair(tmp_path / "flat")
    put(flat / "loose.jpg")
    assert ImageFolder(flat).remarks == [
        "1 of 5 files is not used: 1 beside the class folders (first: loose.jpg)"
    ]


def test_classes_without_an_image_are_told(tmp_path: Path) -> None:
    pair(tmp_path)
    (tmp_path / "bee").mkdir()
    assert ImageFolder(tmp_path).remarks == ["class 'bee' has no image"]
    put(tmp_path / "bee" / "x.heic")
    put(tmp_path / "cow" / "x.svg", b"<svg/>")
    assert ImageFolder(tmp_path).remarks == [
        "2 of 6 files are not used: 1 .heic, 1 .svg (first: bee/x.heic); "
        "2 of 4 classes have no image (first: 'bee')"
    ]


def test_a_class_that_one_split_lacks_is_told(tmp_path: Path) -> None:
    pair(tmp_path / "train")
    put(tmp_path / "test" / "a" / "0.png")
    assert ImageFolder(tmp_path).remarks == ["class 'b' has no image in split 'test'"]


def test_nothing_but_images_that_are_not_decoded(tmp_path: Path) -> None:
    put(tmp_path / "a" / "x.heic")
    with pytest.raises(
        DataError, match=r"no images .*1 of 1 files is not used: 1 \.heic \(first: a/x\.heic\)"
    ):
        ImageFolder(tmp_path).load("test")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    pair(tmp_path)
    os.mkfifo(tmp_path / "a" / "pipe.png")
    os.mkfifo(tmp_path / "a" / "pipe")
    data = ImageFolder(tmp_path)
    assert len(data.load("test")) == 4
    assert data.remarks[0].startswith("2 of 6 files are not used: 1 .png, 1 without suffix (first: a/pipe)")


USED = [
    "x.png",
    "X.JPG",
    "y.jfif",
    "z.jpe",
    "w.tiff",
    "v.bmp",
    "1.2.webp",
    "no suffix",
    "photo.1999",
    "u.jpg:large",
]
TOLD = ["r.txt", "r.npy", "r.heic", "r.json", "r.zip", ".hidden.png", "LICENSE", "r.jpg.part", "r.dng"]
SILENT = ["Thumbs.db", ".DS_Store", "desktop.ini", "._x.jpg", ".gitkeep"]
BY_CONTENT = {"no suffix", "photo.1999", "u.jpg:large"}
FOLDERS = ["", "deeper", "deeper/still"]
JUNK = ["@eaDir", "__MACOSX", ".thumbnails", "$RECYCLE.BIN"]

Tree = dict[tuple[str, str, str], str]

files = st.one_of(
    st.tuples(st.just("used"), st.sampled_from(USED)),
    st.tuples(st.just("told"), st.sampled_from(TOLD)),
    st.tuples(st.just("silent"), st.sampled_from(SILENT)),
)
below = st.one_of(
    st.tuples(st.just(""), st.sampled_from(FOLDERS)),
    st.tuples(st.sampled_from(JUNK), st.sampled_from(FOLDERS)),
)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([("",), ("test",), ("train", "test"), ("train", "val", "test")]),
    st.lists(st.tuples(st.sampled_from("abc"), below, files), max_size=25),
)
def test_used_and_told_files_are_all_there_are(
    splits: tuple[str, ...], placed: list[tuple[str, tuple[str, str], tuple[str, str]]]
) -> None:
    root = Path(tempfile.mkdtemp())
    try:
        used, told, by_content = set(), set(), set()
        for split in splits:
            for name in "abc":
                put(root / split / name / "0.png")
                used.add(root / split / name / "0.png")
        for number, (name, (junk, folder), (fate, file)) in enumerate(placed):
            path = root / splits[number % len(splits)] / name / junk / folder / file
            content = fate == "used" and file in BY_CONTENT
            put(path, PNG if fate == "used" else b"plain text that begins like no image")
            if fate == "used" and not junk:
                used.add(path)
                by_content |= {path} if content else set()
            elif junk and not content and path.suffix.lower() in IMAGE_SUFFIXES | UNDECODED_SUFFIXES:
                told |= set() if file.startswith("._") else {path}
            elif not junk and fate == "told":
                told.add(path)
        data = ImageFolder(root)
        loaded = {data._split_folders[s] / i for s in data.splits for i in data.load(s).ids}
        assert loaded == used
        for split in data.splits:
            for sample, target in zip(data.load(split), data.load(split).targets, strict=True):
                assert "abc"[target] == sample.id[0]
                decode(sample.image)
        said = " ".join(data.remarks)
        counts = re.search(r"(\d+) of (\d+) files (?:is|are) not used: (.*?) \(first: (.*?)\)", said)
        assert (counts is not None) == bool(told)
        if counts:
            assert int(counts[1]) == len(told)
            assert int(counts[2]) == len(told) + len(used)
            assert sum(map(int, re.findall(r"(?:^|, )(\d+) ", counts[3]))) == len(told)
            assert counts[4] == min(p.relative_to(root).as_posix() for p in told)
        sniffed = re.search(r"(\d+) of \d+ images (?:is|are) recognised by", said)
        assert (int(sniffed[1]) if sniffed else 0) == len(by_content)
    finally:
        shutil.rmtree(root)
