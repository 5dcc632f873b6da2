"""`yolo-objects`: label files as fractions, polygons, images without files; random and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle

from harness import DataError
from harness_data.yolo_objects import YoloObjects

WIDTH, HEIGHT = 32, 16
YAML = "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"


def data(base: Path, labels: dict[str, str | None], yaml: str = YAML) -> Path:
    """Images `images/val/<name>.png` with label files; None: there is none."""
    for name, text in labels.items():
        for kind in ("images", "labels"):
            (base / kind / "val").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(base / "images" / "val" / f"{name}.png")
        if text is not None:
            (base / "labels" / "val" / f"{name}.txt").write_text(text)
    (base / "data.yaml").write_text(yaml)
    return base


def test_fractions_become_pixels(tmp_path: Path) -> None:
    split = YoloObjects(data(tmp_path, {"b": "1 0.5 0.5 0.25 0.5\n\n0 .5 .5 1 1", "a": "", "c": None})).load(
        "val"
    )
    assert list(split.ids) == ["images/val/a.png", "images/val/b.png", "images/val/c.png"]
    assert split.targets[1].boxes.tolist() == [[12, 4, 20, 12], [0, 0, 32, 16]]
    assert split.targets[1].labels.tolist() == [1, 0]
    assert split.targets[1].masks is None
    assert [len(t.boxes) for t in split.targets] == [0, 2, 0]  # without a file or a line: no objects
    assert split.remarks == [
        "1 of 3 images has no label file and counts as showing no objects (first: images/val/c.png)"
    ]
    assert split.class_names == ["cat", "dog"]


def test_polygons_give_masks_and_boxes(tmp_path: Path) -> None:
    split = YoloObjects(data(tmp_path, {"a": "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"})).load("val")
    target = split.targets[0]
    assert target.boxes.tolist() == [[8, 4, 24, 12]]
    wanted = np.zeros((HEIGHT, WIDTH), np.uint8)
    wanted[4:12, 8:24] = 1
    assert rle.decode(dict(target.masks[0])).tolist() == wanted.tolist()
    assert target.areas.tolist() == [wanted.sum()]
    mixed = YoloObjects(data(tmp_path, {"a": "1 0.25 0.25 0.75 0.25 0.75 0.75\n0 .5 .5 .1 .1"})).load("val")
    assert mixed.targets[0].masks is None
    assert mixed.remarks[0].startswith("1 of 2 objects have no outline, so that masks are left out of all")


def test_repeated_lines_count_once(tmp_path: Path) -> None:
    split = YoloObjects(data(tmp_path, {"a": "1 0.5 0.5 0.25 0.5\n1 .5 .5 .25 .50\n"})).load("val")
    assert len(split.targets[0].boxes) == 1
    assert split.remarks == ["1 line that repeats another is left out"]


def test_labels_without_an_image_are_told(tmp_path: Path) -> None:
    base = data(tmp_path, {"a": "1 0.5 0.5 0.25 0.5", "b": "0 .5 .5 .1 .1"})
    (base / "labels" / "val" / "classes.txt").write_text("cat\ndog")
    assert YoloObjects(base).load("val").remarks == []
    (base / "images" / "val" / "a.png").unlink()
    split = YoloObjects(base).load("val")
    assert list(split.ids) == ["images/val/b.png"]
    assert split.remarks == [
        f"1 label file has no image, beside 1 images (first: {base / 'labels' / 'val' / 'a.txt'})"
    ]


def test_lists_of_images_and_exported_layouts(tmp_path: Path) -> None:
    base = data(
        tmp_path, {"a": "0 .5 .5 .5 .5", "b": "1 .5 .5 .5 .5"}, "val: val.txt\nnames: [cat, dog]\nnc: 2"
    )
    (base / "val.txt").write_text("./images/val/b.png\n")
    told = YoloObjects(base / "data.yaml")
    assert told.splits == ("val",)
    assert list(told.load("val").ids) == ["images/val/b.png"]
    (base / "val.txt").write_text("images/val/z.png\nimages/val/b.png\n")
    with pytest.raises(
        DataError, match=r"z\.txt: image 'images/val/z\.png': .*z\.png: can't be read \(No such"
    ):
        told.load("val")
    (base / "images" / "val").rename(base / "pictures")
    for name in "ab":  # beside the images
        (base / "labels" / "val" / f"{name}.txt").rename(base / "pictures" / f"{name}.txt")
    (base / "data.yaml").write_text("path: /on/another/machine\ntest: ../pictures\nnames: [cat, dog]")
    split = YoloObjects(base).load("test")
    assert [t.labels.tolist() for t in split.targets] == [[0], [1]]
    assert YoloObjects.recognise(base) == {"path": base}
    assert YoloObjects.recognise(base / "pictures") is None


def test_labels_and_pixels_decide_the_fingerprint(tmp_path: Path) -> None:
    data(tmp_path, {"a": "0 .5 .5 .5 .5", "b": None}, YAML.replace("train: images/train\n", ""))
    prints = [YoloObjects(tmp_path).fingerprint()]
    (tmp_path / "labels" / "val" / "b.txt").write_text("")
    prints.append(YoloObjects(tmp_path).fingerprint())
    (tmp_path / "labels" / "val" / "b.txt").write_text("0 .5 .5 .5 .5")
    prints.append(YoloObjects(tmp_path).fingerprint())
    Image.new("RGB", (WIDTH, HEIGHT), (1, 2, 3)).save(tmp_path / "images" / "val" / "a.png")
    prints.append(YoloObjects(tmp_path).fingerprint())
    assert len(set(prints)) == 4


FAULTS = [
    ("2 .5 .5 .1 .1", r"a\.txt:2: class 2 is not one of the 2 classes, 0 to 1"),
    ("-1 .5 .5 .1 .1", r"a\.txt:2: class -1 is not one"),
    ("0.5 .5 .5 .1 .1", r"a\.txt:2: class 0\.5 is not one"),
    ("0 .5 .5 .1", r"a\.txt:2: expected `class cx cy w h`, .* found 4 numbers"),
    ("0 .5 .5 .1 .1 .9", r"a\.txt:2: .* found 6 numbers"),
    ("0 .5 .5 .1 .1 .9 .1 .2", r"a\.txt:2: .* found 8 numbers"),
    ("cat .5 .5 .1 .1", r"a\.txt:2: expected numbers, found 'cat"),
    ("0 .5 nan .1 .1", r"a\.txt:2: expected numbers"),
    ("0 .5 1_0 .1 .1", r"a\.txt:2: expected numbers"),
    ("0 .5 .5 0 .1", r"a\.txt:2: width 0 and height 0\.1 should be above 0"),
    ("0 16 8 4 4", r"a\.txt:2: expected fractions of the image's size, found '0 16 8 4 4'"),
    ("0 .5 .5 .1 1.2", r"a\.txt:2: box \(14.4, -1.6, 17.6, 17.6\) lies outside the image 'images/val/a.png' of 32×16"),
    ("0 .5 .5 1.4 .9 .3 .3", r"a\.txt:2: box .* lies outside the image"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_one_line(tmp_path: Path, line: str, message: str) -> None:
    data(tmp_path, {"a": f"0 .5 .5 .1 .1\n{line}\n", "b": "1 .5 .5 .5 .5"})
    with pytest.raises(DataError, match=message) as found:
        YoloObjects(tmp_path).load("val")
    assert str(found.value).startswith(str(tmp_path / "labels" / "val"))
    assert "\n" not in str(found.value)
    split = YoloObjects(tmp_path, on_error="skip").load("val")
    assert list(split.ids) == ["images/val/b.png"]
    assert "1 of 2 images is left out" in split.remarks[0]


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        (
            "val: images/val\nnames: [yes, no]",
            r"data\.yaml: name 0 should be a text, found True: put it in quotes",
        ),
        ("val: images/val\nnames: {0: a, 2: b}", r"`names` should be numbered 0 to 1, found \[0, 2\]"),
        ("val: images/val\nnames: [a, a]", r"name 'a' is of two classes, 0 and 1"),
        ("val: images/val\nnames: [a, b]\nnc: 3", r"`nc` is 3, `names` lists 2"),
        ("val: images/val", r"`names` should list the classes, found 'None'"),
        ("names: [a]", r"names no images: expected `train`, `val` or `test`"),
        ("val: [1]\nnames: [a]", r"`val` should be a folder, a list of images, or several, found '1'"),
        ("- a", r"expected keys such as `val` and `names`, found a list"),
        ("val: [", r"not valid YAML"),
        ("val: images/val\npath: 3\nnames: [a]", r"`path` should be a text, found '3'"),
    ],
)
def test_a_wrong_configuration_is_unavailable(tmp_path: Path, yaml: str, message: str) -> None:
    told = YoloObjects(data(tmp_path, {"a": None}, yaml))
    assert told.splits == ()
    with pytest.raises(DataError, match=message) as found:
        told.load("val")
    assert "\n" not in str(found.value)


def test_folders_that_are_not_there(tmp_path: Path) -> None:
    assert "should name the folders" in str(YoloObjects(tmp_path).unavailable())
    data(tmp_path, {"a": None})
    with pytest.raises(
        DataError, match=r"none of the 1 images of `val` has a label file; .*labels/val/a\.txt"
    ):
        YoloObjects(tmp_path).load("val")
    with pytest.raises(DataError, match=r"data\.yaml: `train`: no images/train below"):
        YoloObjects(tmp_path).load("train")


def test_turned_images_are_refused_until_the_view_is_told(tmp_path: Path) -> None:
    data(tmp_path, {"a": "0 .5 .5 .5 1", "b": "0 .5 .5 .5 1"})
    turned = Image.new("RGB", (WIDTH, HEIGHT))
    exif = turned.getexif()
    exif[0x0112] = 6
    (tmp_path / "images" / "val" / "a.png").unlink()
    turned.save(tmp_path / "images" / "val" / "a.jpg", exif=exif)
    with pytest.raises(DataError, match=r'a\.jpg: has the EXIF orientation 6, .*set exif = "ignored"'):
        YoloObjects(tmp_path).load("val")
    assert len(YoloObjects(tmp_path, on_error="skip").load("val")) == 1
    stored = YoloObjects(tmp_path, exif="ignored").load("val")
    assert stored.targets[0].boxes.tolist() == [[8, 0, 24, 16]]
    assert "1 of 2 images has an EXIF orientation, which is ignored" in stored.remarks[0]
    upright = YoloObjects(tmp_path, exif="applied").load("val")
    assert upright.targets[0].boxes.tolist() == [[4, 0, 12, 32]]
    assert upright[0].image.size == (HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return data(tmp_path_factory.mktemp("yolo"), {"a": ""})


def spans(end: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.lists(st.integers(0, end), min_size=2, max_size=2, unique=True).map(lambda s: (min(s), max(s)))


boxes = st.tuples(st.integers(0, 1), spans(WIDTH), spans(HEIGHT))


def lines_of(drawn: list[tuple[int, tuple[int, int], tuple[int, int]]]) -> str:
    return "".join(
        f"{label} {(x + r) / 2 / WIDTH:.6f} {(y + b) / 2 / HEIGHT:.6f} {(r - x) / WIDTH:.6f} {(b - y) / HEIGHT:.6f}\n"
        for label, (x, r), (y, b) in drawn
    )


@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(boxes, max_size=5, unique=True))
def test_random_files_round_trip(
    base: Path, drawn: list[tuple[int, tuple[int, int], tuple[int, int]]]
) -> None:
    target = YoloObjects(data(base, {"a": lines_of(drawn)})).load("val").targets[0]
    assert target.labels.tolist() == [label for label, _, _ in drawn]
    wanted = np.array([(x, y, r, b) for _, (x, r), (y, b) in drawn], float).reshape(-1, 4)
    assert np.abs(target.boxes - wanted).max(initial=0) < 1e-4  # six digits


@settings(max_examples=150, deadline=None)
@given(
    drawn=st.lists(boxes, min_size=1, max_size=3, unique=True),
    place=st.integers(0, 999),
    byte=st.sampled_from(b"09-.e x\n\xff"),
)
def test_damaged_files_are_refused_or_read_right(
    base: Path, drawn: list[tuple[int, tuple[int, int], tuple[int, int]]], place: int, byte: int
) -> None:
    content = bytearray(lines_of(drawn).encode())
    content[place % len(content)] = byte
    data(base, {"a": ""})
    (base / "labels" / "val" / "a.txt").write_bytes(content)
    try:
        target = YoloObjects(base).load("val").targets[0]
    except DataError as error:
        assert str(base) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    rows = list(
        dict.fromkeys(tuple(map(float, row.split())) for row in content.decode().splitlines() if row.strip())
    )
    assert target.labels.tolist() == [int(row[0]) for row in rows]
    for box, (_, x, y, w, h, *more) in zip(target.boxes, rows, strict=True):
        wanted = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2])
        if more:  # a line break was lost, which makes a polygon
            points = np.array([x, y, w, h, *more]).reshape(-1, 2)
            wanted = np.concatenate([points.min(axis=0), points.max(axis=0)])
        wanted *= [WIDTH, HEIGHT, WIDTH, HEIGHT]
        assert np.abs(box - np.clip(wanted, 0, [WIDTH, HEIGHT] * 2)).max() <= 0.1
