"""`coco-objects` against pycocotools and torchvision on the same files; random files, damaged files, run lengths."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as rle
from pycocotools.coco import COCO

from harness import DataError
from harness_data.coco_objects import CocoObjects
from harness_data.outlines import decode_runs, find_outline_fault, rasterise

SIZES = ((8, 6), (5, 9), (12, 12))
Change = Callable[[dict[str, Any]], Any]


def folder_of(base: Path) -> Path:
    """A folder with images of all sizes, `0.png` and so on; the annotations are the test's."""
    for n, (width, height) in enumerate(SIZES):
        pixels = np.random.default_rng(n).integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(base / f"{n}.png")
    return base


def example() -> dict[str, Any]:
    """Ids with gaps and out of order, an image without objects, two polygons, a crowd, and masks of both encodings."""
    crowd = np.zeros((12, 12), np.uint8, order="F")
    crowd[2:9, 1:11] = 1
    small = rle.encode(np.asfortranarray(crowd[::-1, ::-1]))
    return {
        "images": [
            {"id": 77, "file_name": "2.png", "width": 12, "height": 12},
            {"id": 5, "file_name": "0.png", "width": 8, "height": 6},
            {"id": 9, "file_name": "1.png", "width": 5, "height": 9},
        ],
        "categories": [{"id": 90, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 40, "name": "bird"}],
        "annotations": [
            {"id": 3, "image_id": 77, "category_id": 90, "bbox": [1, 2, 10, 7], "area": 70, "iscrowd": 1,
             "segmentation": {"size": [12, 12], "counts": runs_of(crowd)}},
            {"id": 8, "image_id": 5, "category_id": 2, "bbox": [1.5, 1, 4.25, 4], "area": 11.5, "iscrowd": 0,
             "segmentation": [[1.5, 1, 5.75, 1, 5.75, 5], [1, 5, 2, 5, 2, 4]]},
            {"id": 1, "image_id": 77, "category_id": 40, "bbox": [1, 3, 10, 7], "area": 70, "iscrowd": 0,
             "segmentation": {"size": [12, 12], "counts": small["counts"].decode()}},
        ],
    }  # fmt: skip


def runs_of(mask: np.ndarray) -> list[int]:
    """The uncompressed run lengths, by columns, beginning with zeros."""
    flat = mask.flatten(order="F")
    edges = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    return [0] * int(flat[0]) + np.diff(edges).tolist()


def write(folder: Path, content: Any, name: str = "instances_val2017.json") -> Path:
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder


def by_pycocotools(file: Path) -> list[tuple[Any, ...]]:
    """Boxes, labels, crowds, areas and pixels of each image, in the order of ids, as pycocotools reads them."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(file))
    labels = {key: n for n, key in enumerate(sorted(coco.getCatIds()))}
    found = []
    for key in sorted(coco.getImgIds()):
        notes = coco.loadAnns(coco.getAnnIds([key]))
        boxes = np.array([a["bbox"] for a in notes], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found.append((
            str(key),
            boxes.tolist(),
            [labels[a["category_id"]] for a in notes],
            [bool(a.get("iscrowd", 0)) for a in notes],
            [float(a["area"]) for a in notes],
            [coco.annToMask(a).tolist() for a in notes],
        ))  # fmt: skip
    return found


def by_us(folder: Path) -> list[tuple[Any, ...]]:
    split = CocoObjects(folder).load("val")
    found = []
    for n, name in enumerate(split.ids):
        target = split[n].target
        found.append((
            name,
            target.boxes.tolist(),
            target.labels.tolist(),
            target.crowd.tolist(),
            [] if target.areas is None else target.areas.tolist(),
            [rle.decode(dict(m)).tolist() for m in target.masks or ()],
        ))  # fmt: skip
    return found


def test_reads_what_pycocotools_reads(tmp_path: Path) -> None:
    write(folder_of(tmp_path), example())
    assert by_us(tmp_path) == by_pycocotools(tmp_path / "instances_val2017.json")
    split = CocoObjects(tmp_path).load("val")
    assert list(split.ids) == ["5", "9", "77"]
    assert split.class_names == ["cat", "bird", "dog"]  # 2, 40, 90
    assert split.targets[1].boxes.shape == (0, 4)  # an image without objects stays
    assert split.targets[2].crowd.tolist() == [True, False]
    assert split.remarks == []
    assert [Image.open(io.BytesIO(split[n].image.data)).size for n in range(3)] == list(SIZES)


def test_agrees_with_torchvision(tmp_path: Path) -> None:
    from torchvision.datasets import CocoDetection

    write(folder_of(tmp_path), example())
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = CocoDetection(str(tmp_path), str(tmp_path / "instances_val2017.json"))
    split = CocoObjects(tmp_path / "instances_val2017.json", images=tmp_path).load("val")
    for n, (image, notes) in enumerate(theirs):
        assert image.size == Image.open(io.BytesIO(split[n].image.data)).size
        corners = [[x, y, x + w, y + h] for x, y, w, h in (a["bbox"] for a in notes)]
        assert split.targets[n].boxes.tolist() == corners


def test_layouts(tmp_path: Path) -> None:
    usual = tmp_path / "usual"
    for place in ("annotations", "val2017", "train2017"):
        (usual / place).mkdir(parents=True)
    for year, split in (("2017", "val"), ("2017", "train")):
        folder_of(usual / f"{split}{year}")
        write(usual / "annotations", example(), f"instances_{split}{year}.json")
    data = CocoObjects(usual)
    assert data.splits == ("train", "val")
    assert CocoObjects.recognise(usual) == {"path": usual}
    assert len(CocoObjects(usual / "annotations" / "instances_val2017.json").load("val")) == 3
    before = data.fingerprint()
    Image.new("RGB", SIZES[0]).save(usual / "val2017" / "0.png")
    assert CocoObjects(usual).fingerprint() != before  # pixels count
    write(usual / "annotations", example(), "instances_val2014.json")
    assert "2014 and 2017: set year" in str(CocoObjects(usual).unavailable())
    assert CocoObjects(usual, year="2014").splits == ("val",)
    exported = tmp_path / "exported"
    for split in ("valid", "train"):
        (exported / split).mkdir(parents=True)
        write(folder_of(exported / split), example(), "_annotations.coco.json")
    assert CocoObjects(exported).splits == ("train", "valid")
    assert len(CocoObjects(exported).load("valid")) == 3
    (tmp_path / "mine").mkdir()
    write(folder_of(tmp_path / "mine"), example(), "mine.json")
    assert CocoObjects(tmp_path / "mine" / "mine.json").splits == ("test",)
    assert "no instances_val2017.json" in str(CocoObjects(tmp_path).unavailable())
    with pytest.raises(DataError, match=r"no split 'tset'; did you mean 'test'"):
        CocoObjects(tmp_path / "mine" / "mine.json").load("tset")


def put(key: str, number: int, **values: Any) -> Change:
    return lambda told: told[key][number].update(values)


FAULTS: list[tuple[Change, str]] = [
    (put("annotations", 1, category_id=3), r"annotations\[1\] \(id 8\): category 3 is not among"),
    (put("annotations", 1, image_id=6), r"annotations\[1\] \(id 8\): image 6 is not among"),
    (put("annotations", 1, bbox=[1, 1, 9, 4]), r"\(id 8\): box \(1, 1, 10, 5\) lies outside the image '5' of 8×6 pixels"),
    (put("annotations", 1, bbox=[1, 1, 0, 4]), r"\(id 8\): `bbox` should be .* with sides above 0"),
    (put("annotations", 1, bbox=[1, 1, -3, 4]), r"\(id 8\): `bbox` should be .* with sides above 0"),
    (put("annotations", 1, bbox=[1, 1, 4]), r"\(id 8\): `bbox` should be x, y, width, height, found '\[1, 1, 4\]'"),
    (put("annotations", 1, bbox=None), r"\(id 8\): `bbox` should be x, y, width, height, found 'None'"),
    (put("annotations", 1, bbox=[True, 1, 4, 3]), r"\(id 8\): `bbox` should be"),
    (put("annotations", 1, iscrowd=2), r"\(id 8\): `iscrowd` should be 0 or 1, found '2'"),
    (put("annotations", 1, area=-1), r"\(id 8\): `area` should be a number of pixels, found '-1'"),
    (put("annotations", 1, segmentation=[[1, 1, 3, 3]]), r"\(id 8\): a polygon needs three .* found 4 numbers"),
    (put("annotations", 1, segmentation=[[1, 1, 3, 3, 4, 4, 2]]), r"three or more pairs of numbers, found 7"),
    (put("annotations", 1, segmentation=[[1, 1, 3, 3, 4, 40]]), r"point \(4, 40\) lies outside the image of 8×6"),
    (put("annotations", 1, segmentation=[["1", 1, 3, 3, 4, 4]]), r"a polygon should be a list of numbers"),
    (put("annotations", 1, segmentation="1"), r"its outline should be a list of polygons or a run-length"),
    (put("annotations", 0, segmentation={"size": [12, 11], "counts": [132]}), r"size \[12, 11\] .*image \[12, 12\]"),
    (put("annotations", 0, segmentation={"size": [12, 12], "counts": [140]}), r"runs add up to 140 pixels, .* 144"),
    (put("annotations", 0, segmentation={"size": [12, 12], "counts": [150, -6]}), r"counts should be run lengths"),
    (put("annotations", 0, segmentation={"size": [12, 12], "counts": "!"}), r"counts should be run lengths, found '!'"),
    (put("annotations", 0, segmentation={"size": [12, 12], "counts": "PPPPPP"}), r"counts should be run lengths"),
    (put("images", 1, width=6, height=8), r"images\[1\]: the image has 8×6 pixels, its annotation is for 6×8"),
    (put("images", 1, file_name="9.png"), r"images\[1\]: image '5': .*9\.png: can't be read \(No such file"),
    (put("images", 1, file_name="../0.png"), r"images\[1\]: image '\.\./0\.png' is not below"),
    (put("images", 1, file_name="annotations.txt"), r"image '5': .*annotations.txt: no image that can be read"),
    (put("images", 1, id=77), r"images\[1\]: image 77 is at .*images\[0\] already"),
    (put("images", 1, id="5"), r"images\[1\]: `id` should be a whole number, found '5'"),
    (put("annotations", 1, id=3), r"annotations\[1\]: annotation 3 is at .*annotations\[0\] already"),
    (put("images", 1, neg_category_ids=[2]), r"images\[1\]: has `neg_category_ids`, as LVIS's files do"),
    (put("categories", 1, id=90), r"categories\[1\]: category 90 is listed already, as 'dog'"),
    (put("categories", 1, name="dog"), r"categories\[1\]: category 2 has the name 'dog'"),
    (lambda told: told.pop("annotations"), r"has no list `annotations`"),
    (lambda told: told.update(categories=[]), r"lists no categories"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), FAULTS, ids=range(len(FAULTS)))
def test_a_fault_is_one_line(tmp_path: Path, change: Change, message: str) -> None:
    told = example()
    change(told)
    (folder_of(tmp_path) / "annotations.txt").write_text("no image")
    with pytest.raises(DataError, match=message) as found:
        CocoObjects(write(tmp_path, told)).load("val")
    assert str(found.value).startswith(str(tmp_path / "instances_val2017.json"))
    assert "\n" not in str(found.value)


def test_skip_leaves_out_the_image_and_says_so(tmp_path: Path) -> None:
    told = example()
    told["annotations"][1]["bbox"] = [1, 1, 90, 4]
    told["annotations"].append({**told["annotations"][1], "id": 99, "image_id": 1234})
    told["images"][2]["file_name"] = "missing.png"
    split = CocoObjects(write(folder_of(tmp_path), told), on_error="skip").load("val")
    assert list(split.ids) == ["77"]
    images, orphans = split.remarks
    assert images.startswith("2 of 3 images are left out for faults of their files (first: ")
    assert orphans.startswith("1 annotation is left out (first: ")
    told["images"] = told["images"][1:]
    told["annotations"] = told["annotations"][1:2]
    with pytest.raises(DataError, match=r"holds no images that can be used \(.*(outside|missing)"):
        CocoObjects(write(tmp_path, told), on_error="skip").load("val")


def test_what_is_cut_assumed_or_missing_is_said(tmp_path: Path) -> None:
    told = example()
    first, second, third = told["annotations"]
    first["bbox"] = [2, 2, 10.05, 10.9]  # within rounding to the right, over the edge below
    del second["area"]
    third["ignore"] = 1
    split = CocoObjects(write(folder_of(tmp_path), told)).load("val")
    assert split.targets[2].boxes[0].tolist() == [2, 2, 12, 12]
    assert split.targets[0].areas.tolist() == [rle.area(dict(split.targets[0].masks[0]))]
    said = "; ".join(split.remarks)
    assert "1 object is marked `ignore`" in said
    assert "1 box reaches up to a pixel over the image's edge and is cut" in said
    assert "1 of 3 objects state no area: that of their masks counts" in said
    second["segmentation"] = []
    split = CocoObjects(write(tmp_path, told)).load("val")
    assert all(target.masks is None for target in split.targets)
    assert split.targets[0].areas.tolist() == [4.25 * 4]
    assert any(
        r.startswith("1 of 3 objects have no outline, so that masks are left out") for r in split.remarks
    )
    for one in (first, second, third):
        one.pop("area", None), one.pop("segmentation")
    split = CocoObjects(write(tmp_path, told)).load("val")
    assert all(target.areas is None and target.masks is None for target in split.targets)


def test_over_the_edge_within_rounding_is_kept(tmp_path: Path) -> None:
    told = example()
    told["annotations"][1]["bbox"] = [1.5, 1, 6.55, 4]
    split = CocoObjects(write(folder_of(tmp_path), told)).load("val")
    assert split.targets[0].boxes[0, 2] == 8.05
    assert split.remarks == []


@st.composite
def files(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid content: images in any order with gaps in their ids, objects of all kinds of outlines."""
    keys = st.integers(0, 999)
    images = [
        {"id": key, "file_name": f"{n}.png", "width": SIZES[n][0], "height": SIZES[n][1]}
        for key, n in zip(draw(st.lists(keys, min_size=1, max_size=4, unique=True)), draw(st.permutations([0, 1, 2, 2])))
    ]  # fmt: skip
    categories = [
        {"id": k, "name": f"class {k}"} for k in draw(st.lists(keys, min_size=1, max_size=3, unique=True))
    ]
    annotations = []
    for identity in draw(st.lists(st.integers(1, 999), max_size=5, unique=True)):
        image = draw(st.sampled_from(images))
        width, height = image["width"], image["height"]
        left, right = sorted(draw(st.lists(st.integers(0, 4 * width), min_size=2, max_size=2, unique=True)))
        top, bottom = sorted(draw(st.lists(st.integers(0, 4 * height), min_size=2, max_size=2, unique=True)))
        x, y, r, b = left / 4, top / 4, right / 4, bottom / 4
        pixels = np.zeros((height, width), np.uint8, order="F")
        pixels[int(y) : int(b) + 1, int(x) : int(r) + 1] = 1
        outline = draw(st.sampled_from([
            [[x, y, r, y, r, b]],
            [[x, y, r, y, r, b, x, b], [0, 0, 1, 0, 1, 1]],
            {"size": [height, width], "counts": runs_of(pixels)},
            {"size": [height, width], "counts": rle.encode(pixels)["counts"].decode()},
        ]))  # fmt: skip
        annotations.append({
            "id": identity, "image_id": image["id"], "category_id": draw(st.sampled_from(categories))["id"],
            "bbox": [x, y, r - x, b - y], "area": draw(st.integers(0, 99)), "iscrowd": draw(st.integers(0, 1)),
            "segmentation": outline,
        })  # fmt: skip
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(tmp_path_factory.mktemp("coco"))


@settings(max_examples=60, deadline=None)
@given(told=files())
def test_random_files_are_read_as_pycocotools_reads_them(folder: Path, told: dict[str, Any]) -> None:
    write(folder, told)
    assert by_us(folder) == by_pycocotools(folder / "instances_val2017.json")


ODD = st.sampled_from([None, True, "x", "", -1, 1e9, 2.5, [], [[]], {}, 0, 7, [1], 10**30])


@settings(max_examples=120, deadline=None)
@given(told=files(), data=st.data())
def test_a_changed_value_is_refused_or_read_as_pycocotools_reads_it(
    folder: Path, told: dict[str, Any], data: st.DataObject
) -> None:
    records = [r for key in told for r in told[key]]
    record = data.draw(st.sampled_from(records))
    key = data.draw(st.sampled_from(sorted(record)))
    if data.draw(st.booleans()):
        del record[key]
    else:
        record[key] = data.draw(ODD)
    refused_or_same(folder, json.dumps(told).encode())


@settings(max_examples=120, deadline=None)
@given(told=files(), place=st.integers(0, 10**6), byte=st.sampled_from(b'0-9a"[]{},:.e \x00\xff'))
def test_a_damaged_byte_is_refused_or_read_as_pycocotools_reads_it(
    folder: Path, told: dict[str, Any], place: int, byte: int
) -> None:
    content = bytearray(json.dumps(told).encode())
    content[place % len(content)] = byte
    refused_or_same(folder, bytes(content))


def refused_or_same(folder: Path, content: bytes) -> None:
    write(folder, content)
    try:
        found = by_us(folder)
    except DataError as error:
        assert str(folder) in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
        return
    told = json.loads(content)
    theirs = by_pycocotools_or_defaults(folder / "instances_val2017.json", told)
    sizes = {str(i["id"]): (i["width"], i["height"]) * 2 for i in told["images"]}
    for ours, other in zip(found, theirs, strict=True):
        assert (ours[0], *ours[2:4]) == (other[0], *other[2:4])
        mine, wanted = (np.reshape(boxes, (-1, 4)) for boxes in (ours[1], other[1]))
        # up to a pixel over the edge is cut
        assert np.array_equal(np.clip(mine, 0, sizes[ours[0]]), np.clip(wanted, 0, sizes[ours[0]]))
        assert ours[4] in (other[4], [])  # no areas at all where none is stated
        assert ours[5] in (other[5], [])  # no masks at all where one object has none


def by_pycocotools_or_defaults(file: Path, told: dict[str, Any]) -> list[tuple[Any, ...]]:
    """What pycocotools reads; an area that is not stated is that of the mask, or of the box where masks are unknown."""
    bare = [a for a in told["annotations"] if not a.get("segmentation")]
    sizes = {i["id"]: (i["width"], i["height"]) for i in told["images"]}
    for note in told["annotations"]:
        if note.get("area") is None:
            box = float(note["bbox"][2] * note["bbox"][3])
            outline = note.get("segmentation")
            note["area"] = float(rle.area(rasterise(outline, sizes[note["image_id"]]))) if outline else box
    for note in bare:
        note["segmentation"] = [[0, 0, 1, 0, 1, 1]]
    again = file.with_name("again.json")
    again.write_text(json.dumps(told))
    return by_pycocotools(again)


@settings(max_examples=150, deadline=None)
@given(bits=st.lists(st.booleans(), min_size=1, max_size=400), width=st.integers(1, 20))
def test_run_lengths_of_pycocotools_are_decoded(bits: list[bool], width: int) -> None:
    flat = np.resize(np.array(bits, np.uint8), -(-len(bits) // width) * width)
    pixels = np.asfortranarray(flat.reshape(-1, width))
    text = rle.encode(pixels)["counts"].decode()
    assert decode_runs(text) == runs_of(pixels)
    outline = {"size": list(pixels.shape), "counts": text}
    assert find_outline_fault(outline, (width, len(pixels))) is None
    assert rle.decode(rasterise(outline, (width, len(pixels)))).tolist() == pixels.tolist()


@settings(max_examples=200, deadline=None)
@given(text=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8))
def test_text_that_is_accepted_as_runs_covers_the_image(text: str) -> None:
    outline = {"size": [6, 8], "counts": text}
    if find_outline_fault(outline, (8, 6)) is None:
        counts = decode_runs(text)
        assert counts is not None
        assert sum(counts) == 48
        assert rle.area(rasterise(outline, (8, 6))) == sum(counts[1::2])
