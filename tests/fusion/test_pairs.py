"""Collections of pairs as they are: every kind of dirt is counted exactly, and nothing stops the loading."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness import testing
from harness.errors import DataError, OptionError
from harness.inference.images import decode
from harness_data.pair_files import resolve_inside
from harness_data.pairs import Pairs
from harness_data.text_encoding import DAMAGED_UTF8, decode_text


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def _image(seed=0, mode="RGB", kind="JPEG"):
    pixels = np.random.default_rng(seed).integers(0, 255, (24, 20, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


CHINESE = "今天的天气真好，我们去公园玩"
FRENCH = "c'était une très belle journée à la plage"


@dataclass
class Dirty:
    """A folder of 200 labelled pairs in the layout of the reference classifier, and what is wrong with it."""

    rows: list[str] = field(default_factory=lambda: ["guid,tag"])
    counts: dict[str, int] = field(default_factory=dict)
    whole: dict[str, int] = field(default_factory=dict)


def _make_dirty(folder):
    """200 pairs; the dirt sits at known ids, most of it at ids of its own."""
    data = folder / "data"
    data.mkdir(parents=True)
    dirty = Dirty()
    labels = ("negative", "neutral", "positive")
    for i in range(200):
        text, image = f"post number {i} is fine".encode(), _image(i)
        label = labels[i % 3]
        if i < 10:
            text = f"{CHINESE} {i}".encode("gb18030")
        elif i < 17:
            text = f"{FRENCH} {i}".encode("latin-1")
        elif i < 20:
            text = "“très bien” …".encode("cp1252")
        elif i < 24:
            text = b"" if i % 2 else b" \r\n\t"
        elif i < 29:
            image = image[: len(image) // 2]
        elif i < 31:
            image = b"<html>404</html>" if i % 2 else b""
        elif i < 37:
            image = _image(i, "L")
        elif i < 40:
            image = None
        elif i < 42:
            text = None
        elif i < 44:
            text, image = b"", None
        elif i < 47:
            label = "null"
        elif i < 49:
            label = "postive"
        elif i < 52:
            text = f"日本語 and emoji 😀 {i}".encode()
        elif i == 52:
            text = "﻿byte order mark é".encode()
        elif i == 53:
            text = CHINESE.encode()[:-1]
        elif i == 54:
            label = "Positive "
        if text is not None:
            (data / f"{i}.txt").write_bytes(text)
        if image is not None:
            (data / f"{i}.jpg").write_bytes(image)
        dirty.rows.append(f"{i},{label}")
    dirty.rows += ["60,neutral" if 60 % 3 == 1 else f"60,{labels[60 % 3]}"]  # the same label again
    dirty.rows += [f"61,{labels[(61 + 1) % 3]}"]  # another label
    dirty.rows += ["", "62,negative,positive", ",neutral", "../../outside,positive"]
    for n in range(3):
        (data / f"orphan{n}.jpg").write_bytes(_image(n))
    for n in range(4):
        (data / f"stray{n}.txt").write_bytes(b"nobody asks for me")
    (data / "70.png").write_bytes(_image(70, kind="PNG"))
    (data / "Thumbs.db").write_bytes(b"x")
    (data / "paper.pdf").write_bytes(b"x")
    (data / ".hidden.jpg").write_bytes(b"x")
    (folder.parent / "outside.jpg").write_bytes(_image(1))
    (folder / "train.txt").write_text("\n".join(dirty.rows), encoding="utf-8")
    bare = ["guid,tag", *(f"t{n},null" for n in range(5))]
    for n in range(5):
        (data / f"t{n}.txt").write_bytes(b"what am I")
        (data / f"t{n}.jpg").write_bytes(_image(n))
    (folder / "test_without_label.txt").write_text("\n".join(bare), encoding="utf-8")
    dirty.counts = {
        "text not in UTF-8": 20,
        "text empty": 6,  # two of them without an image too
        "text missing": 3,  # and the one that leads out of the folder
        "text damaged": 1,
        "image unreadable": 7,
        "image greyscale": 6,
        "image missing": 6,
        "name outside the folder": 1,
        "neither text nor image": 3,
    }
    dirty.whole = {
        "label null": 3 + 5,
        "label unknown": 2,
        "id twice": 1,
        "id twice with different labels": 1,
        "row broken": 1,
        "id missing": 1,
        "image without id": 3,
        "text without id": 4,
        "second file of an id": 1,
        "file of another kind": 1,
    }
    return dirty


@pytest.fixture(scope="module")
def dirty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dirty") / "posts"
    return folder, _make_dirty(folder)


@pytest.fixture(scope="module")
def loaded(dirty):
    data = Pairs(dirty[0], classes=["negative", "neutral", "positive"])
    return data, data.load("all")


def test_every_kind_of_dirt_is_counted_exactly(dirty, loaded):
    report = loaded[1].report
    assert {kind: found["count"] for kind, found in report["kinds"].items()} == dirty[1].counts
    assert {kind: found["count"] for kind, found in report["whole"].items()} == dirty[1].whole
    json.dumps(report)


def test_dirt_is_reported_with_file_names(loaded):
    kinds, whole = loaded[1].report["kinds"], loaded[1].report["whole"]
    assert kinds["image unreadable"]["names"] == [f"data/{i}.jpg" for i in range(24, 31)]
    assert kinds["image greyscale"]["names"] == [f"data/{i}.jpg" for i in range(31, 37)]
    assert kinds["text not in UTF-8"]["names"][0] == "data/0.txt (gb18030)"
    assert kinds["text not in UTF-8"]["names"][19] == "data/19.txt (cp1252)"
    assert kinds["neither text nor image"]["names"] == ["42", "43", "../../outside"]
    assert whole["image without id"]["names"] == [f"data/orphan{n}.jpg" for n in range(3)]
    assert whole["second file of an id"]["names"] == ["data/70.png"]
    assert whole["row broken"]["names"] == ["train.txt:205"]
    assert "postive" in whole["label unknown"]["names"][0]
    assert "positive" in whole["label unknown"]["names"][0].split("postive")[1]


def test_what_is_left_is_right(loaded):
    data, split = loaded
    assert data.splits == ("all", "unlabelled")
    # 200 less: 2 with neither, 3 null, 2 unknown, 1 contradictory
    assert len(split) == len(split.ids) == len(set(split.ids)) == 192
    rows = {identity: i for i, identity in enumerate(split.ids)}
    assert {"42", "43", "44", "47", "61"}.isdisjoint(rows)
    assert split.class_names[split.targets[rows["54"]]] == "positive"
    assert split.texts[rows["3"]] == f"{CHINESE} 3"
    assert split.texts[rows["12"]] == f"{FRENCH} 12"
    assert split.texts[rows["18"]] == "“très bien” …"
    assert split.texts[rows["52"]] == "byte order mark é"
    assert split.encodings[rows["3"]] == "gb18030"
    assert split.encodings[rows["49"]] == "utf-8"
    assert split.encodings[rows["53"]] == DAMAGED_UTF8
    assert (~split.has_image).sum() == 7 + 3
    assert (~split.has_text).sum() == 4 + 2
    assert np.array_equal(split.groups["missing_image"], ~split.has_image)


def test_every_sample_that_is_promised_can_be_read(loaded):
    split = loaded[1]
    for i in range(len(split)):
        sample = split[i]
        assert (sample.image is not None) == split.has_image[i]
        assert bool(sample.text) == split.has_text[i]
        if sample.image is not None:
            assert decode(sample.image).mode == "RGB"


def test_rows_without_a_label_form_a_split_of_their_own(loaded):
    split = loaded[0].load("unlabelled")
    assert split.ids == ["44", "45", "46", "t0", "t1", "t2", "t3", "t4"]
    assert (split.targets == -1).all()
    assert split.has_image.all()


def test_verdicts_about_images_are_kept_until_a_file_changes(dirty, loaded, monkeypatch):
    import harness_data.image_checks as checks

    judged = []
    original = checks.check_image
    monkeypatch.setattr(checks, "check_image", lambda source: judged.append(source) or original(source))
    again = Pairs(dirty[0], classes=["negative", "neutral", "positive"]).load("all")
    assert judged == []
    assert again.report == loaded[1].report


def test_what_could_not_be_opened_is_looked_at_again(tmp_path, monkeypatch):
    from harness_data.image_checks import check_images

    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path))

    @dataclass
    class Held:
        data: bytes
        locked: bool = False
        reads: int = 0
        place = stamp = "unchanged"
        file = Path("nowhere")

        def read(self):
            self.reads += 1
            if self.locked:
                raise DataError("Permission denied")
            return self.data

    files = [Held(_image()), Held(_image(), locked=True), Held(b"no image"), Held(_image(mode="L"))]
    assert check_images(files) == ["colour", "unreadable", "unreadable", "greyscale"]
    files[1].locked = False
    assert check_images(files) == ["colour", "colour", "unreadable", "greyscale"]
    assert check_images(files) == ["colour", "colour", "unreadable", "greyscale"]
    assert [f.reads for f in files] == [1, 2, 1, 1]


def test_the_fingerprint_follows_the_files(tmp_path):
    _side_by_side(tmp_path, "1")
    (tmp_path / "labels.csv").write_text("id,label\n1,a\n")
    before = Pairs(tmp_path).fingerprint()
    assert Pairs(tmp_path).fingerprint() == before
    (tmp_path / "1.txt").write_text("a longer text")
    assert Pairs(tmp_path).fingerprint() != before


def _side_by_side(folder, *ids, text="words"):
    folder.mkdir(parents=True, exist_ok=True)
    for identity in ids:
        (folder / f"{identity}.jpg").write_bytes(_image())
        (folder / f"{identity}.txt").write_text(f"{text} {identity}")


LATIN = (
    "c'est très beau", "créée", "naïve", "déjà vu à la plage", "Größe für Mädchen", "El niño comió mañana",
    "São Paulo é ótimo", "don’t worry", "“quoted” text – yes…", "£5 off", "25°C today", "Ærø på øen", "façade",
    "ça", "à", "é", "Tschüß", "Köln, Düsseldorf & München", "señor, ¿qué pasó?", "¡Olé!", "coração", "pâté",
    "crème brûlée", "fête d'été à Orléans où l'on était", "Malmö är så härligt", "œuvre", "«très»", "½ price",
    "Beyoncé", "jalapeño", "hôtel à côté", "m²", "fjäll å ö",
)  # fmt: skip
GB = (
    "很好看", "今天天气真好", "我爱你 you", "好", "北京欢迎你！", "RT @user 转发微博", "好 http://t.cn/abc",
    "生日快乐happy birthday", "心情不好,想回家", "喜欢这个", "的", "这是一张图片 #话题#", "美丽的風景", "😀开心",
    "我爱❤️你", "联通",
    "替換連結路徑不是絕對路徑", "驗證系統設定檔是否有問題",
)  # fmt: skip


@pytest.mark.parametrize("text", LATIN)
def test_european_texts_are_read_as_latin(text):
    assert decode_text(text.encode("cp1252")).text == text
    assert decode_text(text.encode("utf-8")).text == text


@pytest.mark.parametrize("text", GB)
def test_chinese_texts_are_read_as_gb18030(text):
    if text != "联通":  # whose bytes are valid UTF-8: the well-known example of what no rule can tell
        assert decode_text(text.encode("gb18030")).text == text
    assert decode_text(text.encode("utf-8")).text == text


def test_utf8_cut_within_a_character_stays_utf8():
    for text in ("很好看今天", "café 很好看", "un été 😀"):
        found = decode_text(text.encode()[:-1])
        assert found.encoding == DAMAGED_UTF8
        assert found.text == text[:-1] + "\ufffd"


def test_byte_order_marks_and_bytes_of_no_encoding():
    assert decode_text("été 好".encode("utf-16")).text == "été 好"
    assert decode_text("été".encode("utf-8-sig")).text == "été"
    assert decode_text(b"caf\xe9 \x81 x").text == "café \x81 x"
    assert decode_text(b"").text == ""


def test_a_table_with_text_and_image_columns(tmp_path):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.png").write_bytes(_image(kind="PNG"))
    (tmp_path / "img" / "b.jpg").write_bytes(_image())
    with (tmp_path / "pairs.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["tweet", "image_path", "sentiment"], ["so, nice\nreally", "img/a.png", "pos"]])
        writer.writerows(
            [["bad", "b.jpg", "neg"], ["gone", "img/none.jpg", "neg"], ["out", "../x.jpg", "neg"]]
        )
    split = Pairs(tmp_path).load("all")
    assert split.class_names == ["neg", "pos"]
    assert split.texts == ["so, nice\nreally", "bad", "gone", "out"]
    assert split.has_image.tolist() == [True, True, False, False]
    assert split.ids == ["a", "b", "none", "x"]
    assert split.report["kinds"]["name outside the folder"]["count"] == 1


def test_json_lines_with_columns_named_by_hand(tmp_path):
    _side_by_side(tmp_path / "pics", "7", "8")
    lines = [
        {"n": 7, "says": "hello", "mood": 1},
        {"n": 8, "says": None, "mood": 0},
        {"n": 9, "says": "x", "mood": None},
    ]
    text = "\n".join(json.dumps(line) for line in lines) + "\n{broken\n"
    file = tmp_path / "posts.jsonl"
    file.write_text(text)
    data = Pairs(file, id_column="n", text_column="says", label_column="mood")
    split = data.load("all")
    assert split.class_names == ["0", "1"]
    assert split.ids == ["7", "8"]
    assert split.texts == ["hello", ""]
    assert split.has_image.all()
    assert split.report["whole"]["row broken"]["names"] == ["posts.jsonl:4"]
    assert data.load("unlabelled").ids == ["9"]
    with pytest.raises(OptionError, match="'says'"):
        Pairs(file, text_column="say").load("all")


def test_names_and_texts_that_are_no_unicode_survive(tmp_path):
    folder = tmp_path / "sad"
    folder.mkdir()
    name = os.fsdecode(b"caf\xe9")
    (folder / f"{name}.jpg").write_bytes(_image())
    (folder / f"{name}.txt").write_bytes(b"words")
    data = Pairs(tmp_path)
    split = data.load("all")
    assert split.ids == ["sad/caf\ufffd"]
    assert split[0].image is not None
    assert data.fingerprint()
    cut = tmp_path / "cut.jsonl"
    cut.write_text('{"id": 1, "text": "nice \\ud83d", "label": "a"}')
    text = Pairs(cut).load("all").texts[0]
    assert text.encode() == "nice \ufffd".encode()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("tweet:7", "tweet:7"),
        ("2020-01-01 12:30", "2020-01-01 12:30"),
        ("a/./b", "a/b"),
        ("a\\b", "a/b"),
        ("/a", None),
        ("../a", None),
        ("a/../../b", None),
        ("..\\a", None),
        ("C:a", None),
        ("c:\\a", None),
        ("\\\\host\\share\\a", None),
        ("a\0", None),
    ],
)
def test_names_of_files_stay_below_the_folder(name, path):
    assert resolve_inside(name) == path


def test_own_splits_and_class_folders(tmp_path):
    own = tmp_path / "own"
    for name, ids in {"train": "123", "dev": "45", "test": "67"}.items():
        _side_by_side(own / name, *ids, text=name)
        (own / f"{name}.csv").write_text("id,label\n" + "".join(f"{i},{'ab'[int(i) % 2]}\n" for i in ids))
    data = Pairs(own)
    assert data.splits == ("train", "val", "test")
    assert data.load("val").texts == ["dev 4", "dev 5"]
    assert data.load("train").targets.tolist() == [1, 0, 1]

    folders = tmp_path / "folders"
    _side_by_side(folders / "sad", "1", "2")
    _side_by_side(folders / "happy", "1")
    split = Pairs(folders).load("all")
    assert split.ids == ["happy/1", "sad/1", "sad/2"]
    assert split.class_names == ["happy", "sad"]
    assert split.targets.tolist() == [0, 1, 1]


def test_the_same_id_in_two_splits_stands_for_two_pairs(tmp_path):
    for name, label in (("train", "a"), ("test", "b")):
        _side_by_side(tmp_path / name, "1", "2", text=name)
        _side_by_side(tmp_path / name, "3")
        (tmp_path / f"{name}.csv").write_text(f"id,label\n1,{label}\n2,a\n3,null\n")
    data = Pairs(tmp_path)
    assert data.load("train").texts == ["train 1", "train 2"]
    assert data.load("test").texts == ["test 1", "test 2"]
    assert "id twice" not in data.load("test").report["whole"]
    assert data.load("unlabelled").ids == ["3", "test/3"]


def test_a_label_file_without_a_header(tmp_path):
    _side_by_side(tmp_path, "1", "2")
    (tmp_path / "labels.txt").write_text("1\tglad\n2\tsad\n")
    split = Pairs(tmp_path).load("all")
    assert split.ids == ["1", "2"]
    assert split.class_names == ["glad", "sad"]


def test_a_word_for_no_label_is_one_where_the_classes_say_so(tmp_path):
    (tmp_path / "labels.csv").write_text("id,label,text\n1,none,a\n2,hate,b\n3,NULL,c\n")
    assert Pairs(tmp_path, classes=["hate"]).load("all").class_names == ["hate"]
    data = Pairs(tmp_path, classes=["none", "hate"])
    assert data.load("all").targets.tolist() == [0, 1]
    assert data.load("unlabelled").ids == ["3"]


def test_a_file_that_is_no_table_is_refused(tmp_path):
    (tmp_path / "labels.csv").write_text("only one column\n1\n")
    with pytest.raises(DataError, match="no tab, comma"):
        Pairs(tmp_path).load("all")
    (tmp_path / "labels.csv").write_text(",,\n , ,\n")
    with pytest.raises(DataError, match=r"labels\.csv: holds only empty rows"):
        Pairs(tmp_path).load("all")


def test_an_open_quotation_mark_swallows_no_rows(tmp_path):
    (tmp_path / "labels.csv").write_text('id,label,text\n1,a,"open\n2,b,fine\n3,a,fine too\n')
    split = Pairs(tmp_path).load("all")
    assert split.texts == ['"open', "fine", "fine too"]


def test_misplaced_quotation_marks_swallow_no_rows(tmp_path):
    (tmp_path / "labels.csv").write_text('id,label,text\n1,a,"open\n2,b,fine\n3,a,"other"\n4,b,x\n')
    split = Pairs(tmp_path).load("all")
    assert split.ids == ["1", "2", "3", "4"]
    assert split.texts[1] == "fine"
    # a mark within a cell that is grouped: its line break still belongs to it
    (tmp_path / "labels.csv").write_text('id,label,text\n1,a,"two, \nlines"\n2,b,"says "hi" to all"\n3,a,x\n')
    split = Pairs(tmp_path).load("all")
    assert split.ids == ["1", "2", "3"]
    assert split.texts[0] == "two, \nlines"


@pytest.mark.parametrize("separator", ["\u2028", "\x85", "\x0b", "\x1c"])
@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_rows_end_at_line_breaks_alone(tmp_path, separator, delimiter):
    rows = [("id", "label", "text"), ("1", "a", f"one{separator}post"), ("2", "b", "fine")]
    table = "\n".join(delimiter.join(row) for row in rows)
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    split = Pairs(tmp_path).load("all")
    assert split.texts == [f"one{separator}post", "fine"]
    assert split.report["whole"] == {}


def test_labels_that_differ_in_case_are_one_class(tmp_path):
    (tmp_path / "labels.csv").write_text("id,label,text\n1,GOOD,a\n2,bad,b\n3,good,c\n4,good,d\n5,Bad,e\n")
    split = Pairs(tmp_path).load("all")
    assert split.class_names == ["bad", "good"]
    assert split.targets.tolist() == [1, 0, 1, 1, 0]


def test_a_missing_folder_or_table_is_told(tmp_path):
    assert "no such file" in (Pairs(tmp_path / "none").unavailable() or "")
    assert "no table" in (Pairs(tmp_path).unavailable() or "")
    assert "labelz.csv" in (Pairs(tmp_path, labels="labelz.csv").unavailable() or "")
    with pytest.raises(DataError, match="no table"):
        Pairs(tmp_path).load("all")


class TestPairs(testing.DatasetConformance):
    @pytest.fixture
    def dataset(self, dirty):
        return Pairs(dirty[0], classes=["negative", "neutral", "positive"])
