"""SugarCrepe, ARO and Winoground on small copies of their files: captions to choose from."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import Answers, DataError, OptionError, decode
from harness.testing import DatasetConformance
from harness_data.aro import FILES, Aro
from harness_data.caption_pairs import mix_captions
from harness_data.sugarcrepe import CATEGORIES, SugarCrepe
from harness_data.winoground import Winoground

Change = Callable[[Any], Any]


def draw(path: Path, size: tuple[int, int] = (8, 6)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[..., 0] = np.arange(size[0]) * 20
    Image.fromarray(pixels).save(path)


def write(path: Path, values: Any, change: Change | None = None) -> None:
    if change is not None:
        change(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def right_of(answers: Answers) -> str:
    assert answers.right is not None
    return answers.choices[answers.right]


@given(st.text(min_size=1), st.lists(st.text(), min_size=1, max_size=5), st.text())
def test_mixed_captions_are_all_there_and_the_right_one_is_known(
    right: str, wrong: list[str], id: str
) -> None:
    answers = mix_captions(right, wrong, id)
    assert sorted(answers.choices) == sorted([right, *wrong])
    assert right_of(answers) == right
    assert mix_captions(right, wrong, id) == answers


def test_the_right_caption_is_about_as_often_first_as_second() -> None:
    first = [mix_captions("a", ["b"], f"swap-obj/{n}").right == 0 for n in range(400)]
    assert 0.4 < np.mean(first) < 0.6


def write_sugarcrepe(folder: Path, change: Change | None = None) -> Path:
    for category in CATEGORIES:
        rows = {
            str(n): {"filename": f"{n // 2:012d}.jpg", "caption": f"A {n}. ", "negative_caption": f"B {n}."}
            for n in range(3)
        }
        name = f"{category.replace('-', '_')}.json"
        write(folder / "data" / name, rows, change if category == "swap-att" else None)
    for n in range(2):
        draw(folder / "val2017" / f"{n:012d}.jpg")
    return folder


def test_sugarcrepe(tmp_path: Path) -> None:
    split = SugarCrepe(write_sugarcrepe(tmp_path)).load("test")
    assert len(split) == 21
    assert split.ids[:4] == ["add-att/0", "add-att/1", "add-att/2", "add-obj/0"]
    assert split.answer_types == [category for category in CATEGORIES for _ in range(3)]
    assert split.groups[:3] == ["000000000000.jpg"] * 2 + ["000000000001.jpg"]
    assert [right_of(target) for target in split.targets[:3]] == ["A 0.", "A 1.", "A 2."]
    assert {len(target.choices) for target in split.targets} == {2}
    assert split.questions[0] == "Which caption describes the image?"
    assert decode(split[2].images[0]).size == (8, 6)
    assert split.remarks == []


def test_categories_of_sugarcrepe(tmp_path: Path) -> None:
    write_sugarcrepe(tmp_path)
    two = SugarCrepe(tmp_path / "data", images=tmp_path, categories=["swap-obj", "add-obj"])
    assert two.load("test").ids[::3] == ["add-obj/0", "swap-obj/0"]
    (tmp_path / "data" / "replace_att.json").unlink()
    assert two.unavailable() is None
    assert "no replace_att.json; get them" in str(SugarCrepe(tmp_path).unavailable())
    assert "and 6 more of SugarCrepe's files" in str(SugarCrepe(tmp_path / "nowhere").unavailable())
    with pytest.raises(OptionError, match=r"no category 'swap-rel'.*did you mean"):
        SugarCrepe(tmp_path, categories=["swap-rel"])
    with pytest.raises(OptionError, match="empty list"):
        SugarCrepe(tmp_path, categories=[])


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r["1"].pop("caption"), r"swap_att.json, \[1\]: `caption` should be a text, there is none"),
        (lambda r: r["1"].update(negative_caption=" "), r"\[1\]: `negative_caption` is empty"),
        (lambda r: r["2"].update(filename="../a.jpg"), r"\[2\]: image '../a.jpg' is not below"),
        (lambda r: r.update({"0": 7}), r"\[0\]: expected an object, found a int"),
        (lambda r: r.clear(), "expected a list of objects, or objects by key, found an empty dict"),
    ],
)
def test_faults_in_sugarcrepe_are_named(tmp_path: Path, change: Change, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        SugarCrepe(write_sugarcrepe(tmp_path, change)).load("test")
    assert "\n" not in str(caught.value)


def test_a_missing_image_is_told(tmp_path: Path) -> None:
    write_sugarcrepe(tmp_path)
    (tmp_path / "val2017" / "000000000001.jpg").unlink()
    split = SugarCrepe(tmp_path).load("test")
    assert split.remarks[0].startswith("1 of 2 image files is missing")
    with pytest.raises(DataError, match=r"add_att.json, \[2\]: image .*000000000001.jpg: can't be read"):
        split[2]


def write_aro(folder: Path, part: str, change: Change | None = None) -> Path:
    draw(folder / "images" / "1.jpg")
    draw(folder / "val2014" / "c.jpg")
    box = {"bbox_x": 2, "bbox_y": 1, "bbox_w": 4, "bbox_h": 3, "image_path": "1.jpg"}
    said = {"true_caption": "the horse eats the grass", "false_caption": "the grass eats the horse"}
    rows: list[dict[str, Any]] = [
        box | said | {"relation_name": name, "attributes": [name, "old"]}
        for name in ("eating", "near", "near")
    ]
    if part.endswith("-order"):
        rows = [
            {"image": "val2014/c.jpg", "caption_options": [f"a {n} b c", "b", "c", "d", "e"]}
            for n in range(3)
        ]
        (folder / "images" / "1.jpg").unlink()
        (folder / "images").rmdir()
    write(folder / FILES[part], rows, change)
    return folder


@pytest.mark.parametrize(("part", "categories"), [("relation", "near"), ("attribution", "near_old")])
def test_relations_and_attributions_are_cut_to_their_box(tmp_path: Path, part: Any, categories: str) -> None:
    split = Aro(write_aro(tmp_path, part), part=part).load("test")
    assert split.ids == [f"{part}/{n}" for n in range(3)]
    assert split.answer_types[1:] == [categories] * 2
    assert split.groups == ["1.jpg"] * 3
    assert right_of(split.targets[0]) == "the horse eats the grass"
    cut = decode(split[0].images[0])
    assert cut.size == (4, 3)
    with Image.open(tmp_path / "images" / "1.jpg") as whole:
        assert np.array_equal(np.asarray(cut), np.asarray(whole.crop((2, 1, 6, 4))))


@pytest.mark.parametrize("part", ["coco-order", "flickr30k-order"])
def test_orders_have_five_captions(tmp_path: Path, part: Any) -> None:
    split = Aro(write_aro(tmp_path, part), part=part).load("test")
    assert [len(target.choices) for target in split.targets] == [5] * 3
    assert [right_of(target) for target in split.targets] == [f"a {n} b c" for n in range(3)]
    assert decode(split[0].images[0]).size == (8, 6)
    assert not hasattr(split, "answer_types")
    with pytest.raises(OptionError, match=f"leave_out .* '{part}' has none"):
        Aro(tmp_path, part=part, leave_out=["near"])


def test_relations_that_hold_both_ways_may_be_left_out(tmp_path: Path) -> None:
    write_aro(tmp_path, "relation")
    assert "all 2 relations count" in Aro(tmp_path).load("test").remarks[0]
    split = Aro(tmp_path / FILES["relation"], leave_out=["near"]).load("test")
    assert split.ids == ["relation/0"]
    assert split.remarks == ["2 of 3 samples are left out, of 1 of 2 categories"]
    with pytest.raises(DataError, match=r"nothing to leave out is called 'neat'.*did you mean 'near'"):
        Aro(tmp_path, leave_out=["neat"]).load("test")
    assert "no such file; get it from the ARO project" in str(Aro(tmp_path, part="attribution").unavailable())


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    [
        ("relation", lambda r: r[1].update(bbox_w=0), r"relation.json, \[1\]: its box is 0 pixels wide"),
        ("relation", lambda r: r[1].pop("bbox_x"), r"\[1\]: `bbox_x` should be a whole number"),
        ("relation", lambda r: r[0].pop("relation_name"), r"\[0\]: `relation_name` should be a text"),
        ("attribution", lambda r: r[0].update(attributes=["a"]), r"\[0\]: `attributes` should be two texts"),
        ("coco-order", lambda r: r[2].update(caption_options=["a"]), r"\[2\]: `caption_options` should be at"),
        ("coco-order", lambda r: r[2].update(caption_options=["a", 3]), r"\[2\]: `caption_options` should be at"),
        ("coco-order", lambda r: r[2].update(image="/etc/a.jpg"), r"\[2\]: image '/etc/a.jpg' is not below"),
    ],
)  # fmt: skip
def test_faults_in_aro_are_named(tmp_path: Path, part: Any, change: Change, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Aro(write_aro(tmp_path, part, change), part=part).load("test")


def winoground_rows() -> list[dict[str, Any]]:
    return [
        {"id": n, "image_0": f"ex_{n}_img_0", "image_1": f"ex_{n}_img_1", "caption_0": f"{n} old sits young",
         "caption_1": f"{n} young sits old", "tag": "Noun", "collapsed_tag": ("Object", "Relation")[n]}
        for n in range(2)
    ]  # fmt: skip


def write_winoground(folder: Path, change: Change | None = None) -> Path:
    rows = winoground_rows()
    if change is not None:
        change(rows)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "data" / "examples.jsonl").write_text(lines)
    for n in range(2):
        for image in range(2):
            draw(folder / "data" / "images" / f"ex_{n}_img_{image}.png", (8 + image, 6))
    return folder


def check_winoground(split: Any) -> None:
    assert split.ids == ["0/0", "0/1", "1/0", "1/1"]
    assert split.groups == ["0", "0", "1", "1"]
    assert split.answer_types == ["Object"] * 2 + ["Relation"] * 2
    assert split.targets[0] == Answers(choices=("0 old sits young", "0 young sits old"), right=0)
    assert split.targets[1] == Answers(choices=("0 old sits young", "0 young sits old"), right=1)
    assert [decode(split[n].images[0]).size for n in range(4)] == [(8, 6), (9, 6)] * 2
    assert split.remarks == []


def test_winoground_of_json_lines(tmp_path: Path) -> None:
    check_winoground(Winoground(write_winoground(tmp_path)).load("test"))
    assert set(Winoground(tmp_path, category="tag").load("test").answer_types) == {"Noun"}
    assert "neither examples.jsonl nor" in str(Winoground(tmp_path / "x").unavailable())


def test_winoground_of_the_hub_s_parquet(tmp_path: Path) -> None:
    def encode(width: int) -> dict[str, Any]:
        file = io.BytesIO()
        Image.new("RGB", (width, 6)).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    rows = [row | {"image_0": encode(8), "image_1": encode(9)} for row in winoground_rows()]
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "data" / "test-00000-of-00001.parquet")
    check_winoground(Winoground(tmp_path).load("test"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda r: r[1].pop("id"), "examples.jsonl:2: has no id"),
        (lambda r: r[1].update(id=0), "examples.jsonl:2: id '0/0' is at .*examples.jsonl:1 already"),
        (lambda r: r[0].update(caption_1=""), "examples.jsonl:1: `caption_1` is missing or empty"),
        (lambda r: r[0].update(caption_1=r[0]["caption_0"]), "both captions are '0 old sits young'"),
        (lambda r: r[0].update(image_1=None), "`image_1` holds no images, expected one"),
        (lambda r: r[0].update(image_0="../a"), "image '../a.png' is not below"),
    ],
)
def test_faults_in_winoground_are_named(tmp_path: Path, change: Change, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Winoground(write_winoground(tmp_path, change)).load("test")


class TestConformance(DatasetConformance):
    @pytest.fixture(params=["sugarcrepe", "aro", "winoground"])
    def dataset(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        if request.param == "sugarcrepe":
            return SugarCrepe(write_sugarcrepe(tmp_path))
        if request.param == "aro":
            return Aro(write_aro(tmp_path, "relation"))
        return Winoground(write_winoground(tmp_path))
