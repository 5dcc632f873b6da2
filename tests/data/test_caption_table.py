"""Tables of captions, however untidy: images and captions are those of the rows, or one line says what is wrong."""

from __future__ import annotations

import base64
import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from harness import DataError, OptionError
from harness.testing import DatasetConformance
from harness_data.caption_names import find_named_files
from harness_data.caption_table import CaptionTable
from harness_data.caption_tables import CaptionRules, read_caption_table
from harness_data.pair_files import list_pair_files

COLUMNS = dict.fromkeys(("media", "text", "id", "split", "language", "group"))


def encode(grey: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 5), (grey, 2 * grey % 256, 0)).save(file, "PNG")
    return file.getvalue()


def draw(folder: Path, *names: str) -> None:
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(encode(10 * n + 1))


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode(encoding))
    return path


ROWS = [
    {"image": "images/a.png", "caption": "a red bus", "split": "train"},
    {"image": "images/b.png", "caption": "two dogs, asleep", "split": "test"},
    {"image": "images/a.png", "caption": "ein \"Bus\"", "split": "train"},
    {"image": "images/c.png", "caption": "a café", "split": "test"},
    {"image": "images/b.png", "caption": "dogs", "split": "test"},
]  # fmt: skip


def save_rows(folder: Path, suffix: str, rows: list[dict[str, Any]] = ROWS) -> Path:
    folder.mkdir(exist_ok=True)
    path, table = folder / f"captions{suffix}", pd.DataFrame(rows)
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True, force_ascii=False)
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        table.to_csv(path, index=False, sep="\t" if suffix == ".tsv" else ",")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    draw(tmp_path / "images", "a.png", "b.png", "c.png")
    return tmp_path


class TestCaptionTable(DatasetConformance):
    @pytest.fixture(params=[".csv", ".parquet", ".jsonl"])
    def dataset(self, request: pytest.FixtureRequest, images: Path) -> CaptionTable:
        return CaptionTable(save_rows(images, request.param))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_rows_of_an_image_are_its_captions(images, suffix):
    data = CaptionTable(save_rows(images, suffix))
    assert data.splits == ("train", "test")
    train, test = data.load("train"), data.load("test")
    assert train.ids == ["images/a.png"]
    assert train.targets == [("a red bus", 'ein "Bus"')]
    assert test.ids == test.groups == ["images/b.png", "images/c.png"]
    assert test.targets == [("two dogs, asleep", "dogs"), ("a café",)]
    assert test[1].image.data == encode(21)
    assert test.remarks == ["1 of 2 images have 2 captions, others more or fewer (1: 1); 3 in all"]


LETTERS = "ab \"',;\t|\n#éàü漢😀"
CAPTIONS = st.text(LETTERS, max_size=12)


@given(
    rows=st.lists(st.tuples(st.integers(0, 4), CAPTIONS), min_size=1, max_size=12),
    delimiter=st.sampled_from(",;|\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=100, deadline=None)
def test_a_table_is_read_as_written_or_refused(tmp_path_factory, rows, delimiter, encoding, ends):
    path = tmp_path_factory.mktemp("t") / "t.csv"
    file = io.StringIO()
    writer = csv.writer(file, delimiter=delimiter, lineterminator=ends)
    writer.writerows([("image", "caption"), *((f"{n:03}.jpg", text) for n, text in rows)])
    path.write_bytes(file.getvalue().encode(encoding))
    if delimiter == "\t" and any("\n" in text for _, text in rows):  # where marks often stand for themselves
        with pytest.raises(DataError, match="quotation marks may join lines"):
            read_caption_table(path, CaptionRules(COLUMNS))
        return
    read, _ = read_caption_table(path, CaptionRules(COLUMNS))
    assert [(row.media, row.captions) for row in read] == [
        (f"{n:03}.jpg", (text.strip(),)) for n, text in rows
    ]


@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 3), st.lists(st.sampled_from(["", " ", "a", "b", "b\n", "a\nb"]), max_size=3)
        ),
        min_size=1,
        max_size=10,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_caption_is_lost_or_invented(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("t")
    path = folder / "t.jsonl"
    path.write_text("".join(json.dumps({"image": f"{n}.png", "caption": texts}) + "\n" for n, texts in rows))
    wanted: dict[str, list[str]] = {}
    for n, texts in rows:
        wanted.setdefault(f"{n}.png", []).extend(text.strip() for text in texts if text.strip())
    wanted = {name: texts for name, texts in wanted.items() if texts}
    data = CaptionTable(path)
    if not wanted:
        with pytest.raises(DataError, match="no image has a caption"):
            data.load("test")
        return
    split = data.load("test")
    assert dict(zip(split.ids, map(list, split.targets), strict=True)) == wanted
    empty = sum(not text.strip() for _, texts in rows for text in texts) + sum(not texts for _, texts in rows)
    said = "\n".join(split.remarks)
    assert (f"{empty} of {empty + sum(map(len, wanted.values()))} captions are empty" in said) == bool(empty)
    again = sum(len(texts) - len(set(texts)) for texts in wanted.values())
    assert (f"{again} of {sum(map(len, wanted.values()))} captions repeat" in said) == bool(again)
    broken = sum("\n" in text for texts in wanted.values() for text in texts)
    assert (f"{broken} of {sum(map(len, wanted.values()))} captions hold line breaks" in said) == bool(broken)


def test_texts_in_another_encoding(images):
    path = write(images / "t.csv", "image,caption\nimages/a.png,un café\nimages/b.png,ça\n", "cp1252")
    split = CaptionTable(path).load("test")
    assert split.targets == [("un café",), ("ça",)]
    assert any("2 of 3 lines of t.csv are read as cp1252" in said for said in split.remarks)
    path = write(images / "u.csv", "image,caption\nimages/a.png,a\nimages/b.png,ξ\n", "iso8859-7")
    assert CaptionTable(path, encoding="greek").load("test").targets[1] == ("ξ",)


def test_numbers_with_leading_zeros_stay_texts(tmp_path):
    draw(tmp_path, "000139.png", "139.png")
    path = write(tmp_path / "t.csv", "image,caption\n000139,a\n139,b\n")
    split = CaptionTable(path).load("test")
    assert split.ids == ["000139", "139"]
    assert [split[n].image.data for n in range(2)] == [encode(1), encode(11)]


@pytest.mark.parametrize(
    ("named", "there"), [("A.JPG", "a.jpg"), ("12.png", "00012.png"), ("x.jpeg", "x.png"), ("C:\\my\\set\\b.png", "set/b.png")]
)  # fmt: skip
def test_similar_names_are_found_and_remarked(tmp_path, named, there):
    draw(tmp_path, there)
    split = CaptionTable(write(tmp_path / "t.jsonl", json.dumps({"image": named, "caption": "a"}))).load(
        "test"
    )
    assert split[0].image.data == encode(1)
    assert split.remarks == [f"1 of 1 images is found under a similar name (first: '{named}' is {there})"]


def test_names_that_differ_in_case_are_one_image(tmp_path):
    draw(tmp_path, "a.png")
    split = CaptionTable(write(tmp_path / "t.csv", "image,caption\na.png,x\nA.PNG,y\n")).load("test")
    assert split.ids == ["a.png"]
    assert split.targets == [("x", "y")]


def test_another_image_is_not_taken_for_a_missing_one(tmp_path):
    draw(tmp_path, "val/1.png", "2.png")
    table = write(tmp_path / "t.csv", "image,caption\ntrain/1.png,x\n2.png,y\n02.png,z\n")
    split = CaptionTable(table).load("test")
    assert split.ids == ["train/1.png", "2.png", "02.png"]
    assert any("2 of 3 image files are missing" in said and "train/1.png" in said for said in split.remarks)
    with pytest.raises(DataError, match=r"t.csv:2: image .*train/1.png: can't be read"):
        split[0]


@given(
    st.lists(
        st.sampled_from(["a.png", "A.png", "a", "b.jpg", "x/a.png", "01.png", "1.png"]),
        unique=True,
        min_size=1,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_two_names_share_a_file_by_guess(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("n")
    draw(folder, "a.png", "y/1.png", "b.png")
    found = find_named_files(
        dict.fromkeys(names, "row"), folder, lambda: list_pair_files(folder).images, "image"
    )
    assert list(found.paths) == names
    meant = {
        "a.png": "a.png",
        "A.png": "a.png",
        "a": "a.png",
        "x/a.png": "a.png",
        "b.jpg": "b.png",
        "1.png": "y/1.png",
    }
    for name, path in found.paths.items():
        if path.exists() and name != "01.png":
            assert path == folder / meant[name]
    if {"1.png", "01.png"} <= {*names}:
        assert [found.paths[name].exists() for name in ("1.png", "01.png")] in ([True, False], [False, False])


def test_a_name_that_may_mean_two_files_is_refused(tmp_path):
    draw(tmp_path, "a.png", "a.jpg")
    with pytest.raises(DataError, match=r"t.csv:2: image 'a' may be a.jpg or a.png"):
        CaptionTable(write(tmp_path / "t.csv", "image,caption\na,x\n")).load("test")


def test_an_image_in_two_splits_is_refused(images):
    rows = [*ROWS, {"image": "./images/a.png", "caption": "again", "split": "test"}]
    with pytest.raises(
        DataError,
        match=r"captions.csv:7: image './images/a.png' is in split 'test', but at captions.csv:2 in 'train'",
    ):
        CaptionTable(save_rows(images, ".csv", rows)).load("test")
    folder = images / "both"
    for name in ("train", "val"):
        write(folder / f"{name}.csv", "image,caption\na.png,x\n")
    with pytest.raises(DataError, match=r"but at train.csv:2 in 'train'"):
        CaptionTable(folder, images=images / "images").load("val")


def test_splits_that_differ_in_case_are_refused(images):
    rows = [row | {"split": row["split"].title() if n == 3 else row["split"]} for n, row in enumerate(ROWS)]
    with pytest.raises(DataError, match="the splits 'test' and 'Test' differ only in case"):
        CaptionTable(save_rows(images, ".csv", rows)).load("test")


def test_a_folder_is_no_image(tmp_path):
    draw(tmp_path, "a.png", "a/other.png")
    split = CaptionTable(write(tmp_path / "t.csv", "image,caption\na,x\n")).load("test")
    assert split[0].image.data == encode(1)


def test_tables_of_a_folder_are_splits(images):
    write(images / "sets/train.csv", "image,caption\na.png,x\n")
    write(images / "sets/val.tsv", "image\tcaption\nb.png\ty\n")
    data = CaptionTable(images / "sets", images=images / "images")
    assert data.splits == ("train", "val")
    assert data.load("val").targets == [("y",)]


def test_a_language_must_be_chosen(images):
    path = write(
        images / "t.csv",
        "image,caption,lang\nimages/a.png,bus,en\nimages/a.png,Bus,de\nimages/b.png,dog,en\n",
    )
    with pytest.raises(DataError, match=r"captions in 2 languages \(en: 2, de: 1\): set language"):
        CaptionTable(path).load("test")
    german = CaptionTable(path, language="de").load("test")
    assert german.targets == [("Bus",)]
    assert "2 of 3 rows are not in the language 'de', and left out" in german.remarks
    assert CaptionTable(path, language="all").load("test").targets == [("bus", "Bus"), ("dog",)]
    with pytest.raises(OptionError, match="no captions in the language 'fr'"):
        CaptionTable(path, language="fr").load("test")
    with pytest.raises(OptionError, match="no column of languages"):
        CaptionTable(save_rows(images, ".csv"), language="de").load("test")


def test_groups_and_ids_of_columns(images):
    text = "key,image,caption,group,split\n7,images/a.png,x,G,train\n7,images/a.png,y,G,train\n08,images/b.png,z,G,test\n"
    path = write(images / "t.csv", text)
    split = CaptionTable(path, id_column="key").load("train")
    assert (split.ids, split.groups) == (["7"], ["G"])
    assert "1 of 1 group has items in several splits (first: G)" in split.remarks
    for wrong, said in (
        ("7,images/c.png,x,G,train", "this id is that of another image at t.csv:2"),
        ("8,images/a.png,x,G,train", "has the id '7' at t.csv:2"),
        ("7,images/a.png,x,H,train", "is in group 'H', but at t.csv:2 in 'G'"),
        (",images/a.png,x,G,train", "t.csv:5: has no id"),
        ("7,images/a.png,x,G,", "t.csv:5: names no split"),
        ("7,,x,G,train", "t.csv:5: names no image"),
        ("7,images/a.png,x,and,G,train", "t.csv:5: this row has not as many cells as the first line"),
        ("7,../a.png,x,G,train", "t.csv:5: image '../a.png' is not below"),
    ):
        with pytest.raises(DataError, match=said.replace(".", r"\.")):
            CaptionTable(write(images / "t.csv", f"{text}{wrong}\n"), id_column="key").load("train")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (
            "picture,words\n1,b\n2,c\n",
            DataError,
            "no column of images among: picture, words; set image_column",
        ),
        ("a,b\nc,d\n", DataError, r"its first line \('a,b'\) names no known column: expected a header"),
        ("image,words\na,b\n", DataError, "no column of captions among"),
        ("image,caption\n", DataError, "holds no rows"),
        ("image\na\n", DataError, "no tab, comma"),
    ],
)
def test_tables_that_are_none(tmp_path, text, error, said):
    with pytest.raises(error, match=said):
        CaptionTable(write(tmp_path / "t.csv", text)).load("test")


def test_options_name_columns_that_are_there(images):
    with pytest.raises(OptionError, match=r"no column 'captoin' \(text_column\).*caption"):
        CaptionTable(save_rows(images, ".csv"), text_column="captoin").load("test")
    with pytest.raises(OptionError, match="is both image_column and text_column"):
        CaptionTable(save_rows(images, ".csv"), text_column="image", image_column="image").load("test")


def test_flickr_files(tmp_path):
    draw(tmp_path, "1000.jpg", "20.jpg")
    token = '1000.jpg#0\tTwo men , one hat .\n1000.jpg#1\tMen .\n20.jpg#0\t"Dog\n'
    split = CaptionTable(write(tmp_path / "results.token", token)).load("test")
    assert split.ids == ["1000.jpg", "20.jpg"]
    assert split.targets == [("Two men , one hat .", "Men ."), ('"Dog',)]
    assert [said[:14] for said in split.remarks[:2]] == ["has no header:", "what follows '"]
    bars = "image_name| comment_number| comment\n1000.jpg| 0| A man , a hat .\n20.jpg| 0| A dog\n"
    split = CaptionTable(write(tmp_path / "results.csv", bars)).load("test")
    assert split.targets == [("A man , a hat .",), ("A dog",)]
    table = pd.DataFrame(
        {"raw": ['["A, b", "c"]', '["d"]'], "split": ["test", "val"], "filename": ["1000.jpg", "20.jpg"]}
    )
    table.to_csv(tmp_path / "annotations.csv", index=False)
    data = CaptionTable(tmp_path / "annotations.csv")
    assert data.load("test").targets == [("A, b", "c")]
    assert "the cells of 'raw' are lists in JSON, and hold several captions each" in data.load("val").remarks


def test_images_in_cells_are_told_apart_by_their_bytes(tmp_path):
    rows = [
        {"image": {"bytes": encode(n), "path": "x.png"}, "caption": f"c{i}"} for i, n in enumerate((1, 2, 1))
    ]
    split = CaptionTable(save_rows(tmp_path, ".parquet", rows)).load("test")
    assert (split.ids, split.targets) == (["0", "1"], [("c0", "c2"), ("c1",)])
    assert split[1].image.data == encode(2)
    assert any("3 rows hold their images" in said and "there are 2" in said for said in split.remarks)
    lines = [{"image": base64.b64encode(encode(1)).decode(), "captions": ["a", "b"], "key": "k1"}]
    split = CaptionTable(save_rows(tmp_path, ".jsonl", lines), id_column="key").load("test")
    assert (split.ids, split.targets) == (["k1"], [("a", "b")])


def test_the_fingerprint_follows_captions_and_images(images):
    def look() -> str:
        return CaptionTable(images / "captions.csv").fingerprint()

    save_rows(images, ".csv")
    first = look()
    assert first == look()
    (images / "images/b.png").write_bytes(encode(99))
    second = look()
    assert second != first
    save_rows(images, ".csv", [*ROWS[:4], ROWS[4] | {"caption": "cats"}])
    assert look() not in (first, second)
