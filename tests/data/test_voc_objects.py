"""`voc-objects` against torchvision's reader on the development kit's layout; random and damaged files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import DataError, OptionError
from harness_data.voc2007 import CLASSES
from harness_data.voc_objects import VocObjects

WIDTH, HEIGHT = 20, 15
Object = tuple[str, int, tuple[float, float, float, float]]
OBJECTS: list[Object] = [("dog", 0, (1, 1, 20, 15)), ("person", 1, (3, 4, 3, 9))]


def annotation(objects: list[Object], size: tuple[int, int] | None = (WIDTH, HEIGHT)) -> str:
    """A file of the development kit: corners from 1, inclusive; persons with parts."""
    text = "".join(
        f"<object><name>{name}</name><pose>Left</pose><truncated>0</truncated><difficult>{difficult}</difficult>"
        + "<bndbox>"
        + "".join(f"<{key}>{v}</{key}>" for key, v in zip(("xmin", "ymin", "xmax", "ymax"), box))
        + "</bndbox>"
        + ("<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>" if name == "person" else "")
        + "</object>"
        for name, difficult, box in objects
    )
    sized = f"<size><width>{size[0]}</width><height>{size[1]}</height><depth>3</depth></size>" if size else ""
    return f"<annotation><filename>a.jpg</filename>{sized}{text}</annotation>"


def devkit(root: Path, files: dict[str, str], splits: dict[str, list[str]] | None = None) -> Path:
    """VOCdevkit/VOC2012 with these annotations; returns the root, as torchvision takes it."""
    base = root / "VOCdevkit" / "VOC2012"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (base / name).mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (base / "Annotations" / f"{name}.xml").write_text(text)
        Image.new("RGB", (WIDTH, HEIGHT), (9, 9, 9)).save(base / "JPEGImages" / f"{name}.jpg")
    for split, names in (splits or {"val": list(files)}).items():
        (base / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return root


def test_corners_begin_at_one_and_end_inside(tmp_path: Path) -> None:
    split = VocObjects(devkit(tmp_path, {"a": annotation(OBJECTS), "b": annotation([])})).load("val")
    target = split.targets[0]
    assert target.boxes.tolist() == [[0, 0, 20, 15], [2, 3, 3, 9]]  # the whole image, and one column
    assert [CLASSES[n] for n in target.labels] == ["dog", "person"]
    assert target.ignored.tolist() == [False, True]  # difficult
    assert target.areas is None
    assert split.targets[1].boxes.shape == (0, 4)
    assert list(split.ids) == ["a", "b"]
    assert split.class_names == list(CLASSES)
    assert split.remarks == []
    assert split[0].target is split.targets[0]


def test_agrees_with_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import VOCDetection

    devkit(tmp_path, {"a": annotation(OBJECTS), "b": annotation(OBJECTS[:1])})
    split = VocObjects(tmp_path).load("val")
    for n, (image, told) in enumerate(VOCDetection(str(tmp_path), "2012", "val")):
        assert Image.open(io.BytesIO(split[n].image.data)).size == image.size
        rows = told["annotation"]["object"]
        boxes = [[int(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")] for o in rows]
        assert split.targets[n].boxes.tolist() == [[x - 1, y - 1, r, b] for x, y, r, b in boxes]
        assert [CLASSES[label] for label in split.targets[n].labels] == [o["name"] for o in rows]


@pytest.mark.parametrize("name", ["VOCDetection", "vocsegmentation", "CocoDetection"])
def test_torchvisions_name_leads_to_the_reader(name: str) -> None:
    from harness_torchvision.datasets import TorchvisionDataset

    with pytest.raises(
        OptionError, match=r"the data set '(voc|coco)-(objects|regions)' reads the same folder"
    ):
        TorchvisionDataset(name)


def test_lists_and_layouts(tmp_path: Path) -> None:
    files = {name: annotation(OBJECTS) for name in "abc"}
    devkit(tmp_path, files, {"train": ["a"], "val": ["b", "c"], "trainval": ["a", "b", "c"]})
    base = tmp_path / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Main" / "cat_val.txt").write_text("b  1\nc -1\n")
    data = VocObjects(tmp_path)
    assert data.splits == ("train", "val", "trainval")
    assert data.overlapping == (("train", "trainval"), ("val", "trainval"))
    assert VocObjects(base).load("val").ids == ["b", "c"]
    assert VocObjects.recognise(base) == {"path": base}
    before = data.fingerprint()
    assert VocObjects(base).fingerprint() == before  # wherever it lies
    (base / "Annotations" / "c.xml").write_text(annotation([]))
    assert VocObjects(tmp_path).fingerprint() != before
    (tmp_path / "VOCdevkit" / "VOC2007" / "ImageSets" / "Main").mkdir(parents=True)
    assert "VOC2007 and VOC2012: set year" in str(VocObjects(tmp_path).unavailable())
    assert VocObjects(tmp_path, year="2012").splits == ("train", "val", "trainval")
    assert "no ImageSets/Main with a list such as val.txt" in str(VocObjects(tmp_path / "none").unavailable())
    (base / "ImageSets" / "Main" / "val.txt").write_text("b\nc\nb\n")
    with pytest.raises(DataError, match=r"val\.txt:3: image 'b' is at line 1 already"):
        VocObjects(base).load("val")


def test_own_classes_sizes_and_other_images(tmp_path: Path) -> None:
    devkit(tmp_path, {"a": annotation([("zebra", 0, (1, 1, 5, 5))], None)})
    base = tmp_path / "VOCdevkit" / "VOC2012"
    (base / "JPEGImages" / "a.jpg").unlink()
    Image.new("RGB", (WIDTH, HEIGHT)).save(base / "JPEGImages" / "a.png")
    split = VocObjects(tmp_path, classes=["lion", "zebra"]).load("val")
    assert split.targets[0].labels.tolist() == [1]
    assert split.remarks[0].startswith("1 of 1 annotations state no size to check (first: ")


FAULTS = [
    ("<annotation>", r"a\.xml: not valid XML \(no element found"),
    ('<?xml version="1.0" encoding="klingon"?><annotation/>', r"a\.xml: not valid XML"),
    ("<notes/>", r"a\.xml: expected an <annotation>, found a <notes>"),
    (annotation([("dgo", 0, (1, 1, 5, 5))]), r"a\.xml, object 1: class 'dgo' is not one of the 20.*mean 'dog'"),
    (annotation([*OBJECTS, ("dog", 0, (5, 1, 4, 5))]), r"object 3: <bndbox> is inverted: xmin 5, ymin 1, xmax 4"),
    (annotation([("dog", 0, (1, 1, 22, 5))]), r"object 1: box \(0, 0, 22, 5\) lies outside the image 'a' of 20×15"),
    (annotation([("dog", 0, (1, -2, 9, 5))]), r"object 1: box \(0, -3, 9, 5\) lies outside"),
    (annotation([("dog", 2, (1, 1, 9, 5))]), r"object 1: <difficult> should be 0 or 1, found 2"),
    (annotation(OBJECTS).replace("<xmax>20</xmax>", ""), r"object 1: expected one <xmax>, found none"),
    (annotation(OBJECTS).replace("<xmax>20", "<xmax>2</xmax><xmax>20"), r"expected one <xmax>, found 2"),
    (annotation(OBJECTS).replace("<xmax>20", "<xmax>wide"), r"<xmax> should be a number, found 'wide'"),
    (annotation(OBJECTS).replace("<xmax>20", "<xmax>nan"), r"<xmax> should be a number, found 'nan'"),
    (annotation(OBJECTS).replace("<name>dog</name>", ""), r"object 1: expected one <name>, found none"),
    (annotation(OBJECTS, (15, 20)), r"a\.xml: the image has 20×15 pixels, its annotation is for 15×20"),
    (annotation(OBJECTS).replace("<width>20", "<width>20.5"), r"<size> should be whole numbers, found 20\.5×15"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    devkit(tmp_path, {"a": text, "b": annotation(OBJECTS)})
    with pytest.raises(DataError, match=message) as found:
        VocObjects(tmp_path).load("val")
    assert str(found.value).startswith(str(tmp_path))
    assert "\n" not in str(found.value)
    split = VocObjects(tmp_path, on_error="skip").load("val")
    assert list(split.ids) == ["b"]
    assert split.remarks[0].startswith("1 of 2 images is left out for faults of their files (first: ")


def test_missing_files_are_named(tmp_path: Path) -> None:
    base = devkit(tmp_path, {"a": annotation(OBJECTS)}) / "VOCdevkit" / "VOC2012"
    (base / "JPEGImages" / "a.jpg").rename(base / "JPEGImages" / "z.jpg")
    with pytest.raises(DataError, match=r"a\.xml: image 'a': .*a\.jpg: can't be read \(No such file or dir"):
        VocObjects(tmp_path).load("val")
    (base / "Annotations" / "a.xml").unlink()
    with pytest.raises(
        DataError, match=r"a\.xml: can't be read \(No such file or directory\); correct it, or"
    ):
        VocObjects(tmp_path).load("val")


def test_a_list_of_classes_that_makes_no_sense(tmp_path: Path) -> None:
    base = devkit(tmp_path, {"a": annotation(OBJECTS)})
    (tmp_path / "none.txt").write_text("\n")
    for classes, message in (
        (["cat", "dog", "cat"], "classes: class 'cat' is listed twice"),
        (tmp_path / "none.txt", f"{tmp_path / 'none.txt'}: lists no classes"),
        (tmp_path / "gone.txt", f"{tmp_path / 'gone.txt'}: can't be read (No such file or directory)"),
    ):
        assert VocObjects(base, classes=classes).unavailable() == message  # type: ignore[arg-type]


def test_one_pixel_over_the_edge_is_cut_and_said(tmp_path: Path) -> None:
    split = VocObjects(devkit(tmp_path, {"a": annotation([("dog", 0, (0, 1, 21, 5))])})).load("val")
    assert split.targets[0].boxes.tolist() == [[0, 0, 20, 5]]
    assert split.remarks[0].startswith(
        "1 box reaches up to a pixel over the image's edge and is cut (first: "
    )


def spans(end: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(1, end), st.integers(1, end)).map(lambda pair: (min(pair), max(pair)))


objects = st.builds(
    lambda name, difficult, x, y: (name, difficult, (x[0], y[0], x[1], y[1])),
    st.sampled_from(CLASSES),
    st.integers(0, 1),
    spans(WIDTH),
    spans(HEIGHT),
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return devkit(tmp_path_factory.mktemp("voc"), {"a": annotation([])})


@settings(max_examples=60, deadline=None)
@given(drawn=st.lists(objects, max_size=5))
def test_random_files_round_trip(root: Path, drawn: list[Object]) -> None:
    """As many pixels inside a box as its inclusive corners count."""
    devkit(root, {"a": annotation(drawn)})
    target = VocObjects(root).load("val").targets[0]
    for box, (name, difficult, (x, y, r, b)), label, ignored in zip(
        target.boxes, drawn, target.labels, target.ignored, strict=True
    ):
        inside = np.zeros((HEIGHT, WIDTH), bool)
        inside[y - 1 : b, x - 1 : r] = True  # pixel 1 is the first
        left, top, right, bottom = box.astype(int)
        assert inside[top:bottom, left:right].all()
        assert inside.sum() == np.prod(box[2:] - box[:2])
        assert (CLASSES[label], ignored) == (name, bool(difficult))


@settings(max_examples=150, deadline=None)
@given(drawn=st.lists(objects, min_size=1, max_size=3), data=st.data())
def test_damaged_files_are_refused_or_read_right(
    root: Path, drawn: list[Object], data: st.DataObject
) -> None:
    text = annotation(drawn)
    place = data.draw(st.integers(0, len(text) - 1))
    kind = data.draw(st.sampled_from(["cut", "delete", "replace"]))
    byte = data.draw(st.sampled_from('019-.e<>/ax"& '))
    damaged = {"cut": text[:place], "delete": text[:place] + text[place + 1 :]}.get(
        kind, text[:place] + byte + text[place + 1 :]
    )
    devkit(root, {"a": damaged})
    try:
        split = VocObjects(root).load("val")
    except DataError as error:
        assert str(root) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    tree = ElementTree.fromstring(damaged)
    told: list[Any] = [o for o in tree if o.tag == "object"]
    target = split.targets[0]
    assert len(target.boxes) == len(told)
    for box, label, element in zip(target.boxes, target.labels, told, strict=True):
        corners = [float(element.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")]
        wanted = np.clip(np.array(corners) - [1, 1, 0, 0], 0, [WIDTH, HEIGHT] * 2)
        assert np.abs(box - wanted).max() <= 0.1  # beyond the edge by rounding
        assert CLASSES[label] == element.findtext("name").strip()
