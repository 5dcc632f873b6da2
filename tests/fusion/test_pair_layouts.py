"""Tables and folders of pairs as people have them: where files are found, what a header is, what planning says."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import harness
from harness.errors import DataError
from harness.inference.splits import SYNONYMS
from harness_data.hateful_memes import HatefulMemes
from harness_data.pair_layout import SPLITS
from harness_data.pairs import Pairs
from harness_data.separated import looks_like_header, read_separated

COLOURS = ("red", "green", "blue")
LABELS = "abc"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path_factory.mktemp("cache")))


def _image(colour="red"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def _write(folder, files, table, name="labels.csv"):
    for i, file in enumerate(files):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(_image(COLOURS[i % 3]))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(table, encoding="utf-8", newline="")


def _table(rows, header="id,text,label"):
    return "\n".join([header, *rows]) + "\n"


def _seen(split):
    """The colour of each pair's image, by its place in the table."""
    return [
        max(range(3), key=lambda c: pixel[c])
        for i in range(len(split))
        for pixel in [Image.open(io.BytesIO(split[i].image.data)).convert("RGB").getpixel((0, 0))]
    ]


@pytest.mark.parametrize(
    ("named", "file", "told"),
    [
        ("C:\\data\\imgs\\p{}.png", "p{}.png", True),
        ("images/p{}.png", "p{}.png", True),
        ("images\\p{}.png", "images/p{}.png", False),
        ("./images/p{}.png", "images/p{}.png", False),
        ("p{}.png", "images/p{}.png", False),
        ("/home/me/set/images/p{}.png", "images/p{}.png", True),
        ("https://example.org/a/p{}.png?w=300", "images/p{}.png", True),
        ("images/P{}.PNG", "images/p{}.png", True),
        ("images/p{}.jpg", "images/p{}.png", True),
    ],
)
def test_images_are_found_under_the_last_part_of_a_path(tmp_path, named, file, told):
    rows = [f"x{i},t{i},{LABELS[i % 3]},{named.format(i)}" for i in range(12)]
    _write(tmp_path, [file.format(i) for i in range(12)], _table(rows, "id,text,label,image"))
    data = Pairs(tmp_path)
    split = data.load("all")
    assert _seen(split) == [i % 3 for i in range(12)] == split.targets.tolist()
    expected = f"assumed: 12 files are found by the last part of their path or a similar name (first: '{named.format(0)}'"
    assert data.remarks == ([f"{expected} is {file.format(0)})"] if told else [])


def test_images_that_the_path_does_not_lead_to_are_found_under_the_id(tmp_path):
    rows = [f"{i},t{i},{LABELS[i % 3]},elsewhere/{i + 1000}.png" for i in range(12)]
    _write(tmp_path, [f"{i:05d}.png" for i in range(12)], _table(rows, "id,text,label,image"))
    data = Pairs(tmp_path)
    assert _seen(data.load("all")) == [i % 3 for i in range(12)]
    assert "12 files" in data.remarks[0]


def test_a_like_name_is_not_taken_where_two_rows_or_files_could_be_meant(tmp_path):
    rows = ["1,t,a,a/x.png", "2,t,b,b/x.png", "3,t,a,q/y.png", "4,t,b,c/y.png"]
    _write(tmp_path, ["b/x.png", "c/y.png", "d/y.png"], _table(rows, "id,text,label,image"))
    split = Pairs(tmp_path).load("all")
    assert split.has_image.tolist() == [False, True, False, True]
    # folders that agree decide
    rows = ["1,t,a,/old/train/x.png", "2,t,b,/old/test/x.png"]
    _write(tmp_path / "n", ["i/train/x.png", "i/test/x.png"], _table(rows, "id,text,label,image"))
    assert _seen(Pairs(tmp_path / "n").load("all")) == [0, 1]


@pytest.mark.parametrize(
    ("table", "name"),
    [
        ("id;text;label\r\n" + "".join(f"p{i};hello, {i};{LABELS[i % 3]}\r\n" for i in range(12)), "labels.csv"),
        ("sep=;\r\nid;text;label\r\n" + "".join(f"p{i};hello, {i};{LABELS[i % 3]}\r\n" for i in range(12)), "labels.csv"),
        ("\ufeff" + _table([f'p{i},"hello, {i}",{LABELS[i % 3]}' for i in range(12)]), "Labels.CSV"),
        ("# mine\n" + _table([f'p{i},"hello, {i}",{LABELS[i % 3]}' for i in range(12)]), "labels.csv"),
        (_table([f"p{i}\thello, {i}\t{LABELS[i % 3]}\t" for i in range(12)], "id\ttext\tlabel\t"), "labels.tsv"),
        (_table([f'P{i},"hello, {i}",{LABELS[i % 3]}' for i in range(12)], "ID,Text,LABEL"), "labels.csv"),
        (json.dumps({"data": [{"id": f"p{i}", "text": f"hello, {i}", "label": LABELS[i % 3]} for i in range(12)]}),
         "labels.json"),
        (json.dumps({"id": {str(i): f"p{i}" for i in range(12)}, "text": {str(i): f"hello, {i}" for i in range(12)},
                     "label": {str(i): LABELS[i % 3] for i in range(12)}}), "labels.json"),
        ("".join(json.dumps({"id": f"p{i}", "text": f"hello, {i}", "label": i % 3}) + "\n" for i in range(12)),
         "data/train.jsonl"),
    ],
)  # fmt: skip
def test_tables_as_programs_write_them(tmp_path, table, name):
    _write(tmp_path, [f"p{i}.png" for i in range(12)], table, name)
    split = Pairs(tmp_path).load("all")
    assert split.texts == [f"hello, {i}" for i in range(12)]
    assert split.targets.tolist() == [i % 3 for i in range(12)] == _seen(split)


def test_a_header_of_unknown_names_is_no_row(tmp_path):
    rows = [f"p{i:03d},{COLOURS[i % 3]} thing number {i},{LABELS[i % 3]}" for i in range(60)]
    _write(tmp_path, [f"p{i:03d}.png" for i in range(60)], _table(rows, "tweet_id_str,tweet_text,annotation"))
    with pytest.raises(
        DataError, match="no column of labels among: tweet_id_str, tweet_text, annotation; set label_column"
    ):
        Pairs(tmp_path).load("all")
    columns = {"id_column": "tweet_id_str", "text_column": "tweet_text", "label_column": "annotation"}
    assert len(Pairs(tmp_path, **columns).load("all")) == 60
    _write(tmp_path, [], _table(rows, "id,text,mood"))
    with pytest.raises(DataError, match="no column of labels among: id, text, mood; set label_column"):
        Pairs(tmp_path).load("all")


NAMES = st.from_regex(r"[a-z][a-z_]{2,12}", fullmatch=True)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(NAMES, min_size=2, max_size=4, unique=True),
    st.integers(4, 30),
    st.sampled_from(",;\t|"),
    st.booleans(),
)
def test_a_header_is_told_from_rows_whatever_it_says(header, count, delimiter, headed):
    rows = [
        [f"{i:03d}", ("glad!", "sad!")[i % 2], f"words {i}", f"x{i}"][: len(header)] for i in range(count)
    ]
    lines = [delimiter.join(row) for row in ([header] if headed else []) + rows]
    records, broken = read_separated("\n".join(lines), "t", frozenset(), "t")
    assert (len(records), broken) == (count, [])
    assert [*records[0][1].values()] == rows[0]
    assert ([*records[0][1]] == header) == headed


def test_what_is_no_header():
    assert not looks_like_header([["cat", "glad"], ["dog", "sad"], ["cow", "sad"], ["owl", "glad"]])
    assert not looks_like_header([["a1", "sad"], ["a2", "glad"]])
    assert looks_like_header([["post", "mood"], ["p1", "glad"], ["p2", "sad"]])


def test_a_table_in_a_folder_of_its_own_is_found(tmp_path):
    rows = [f"p{i},{LABELS[i % 3]}" for i in range(12)]
    _write(tmp_path, [f"data/p{i}.png" for i in range(12)], _table(rows, "guid,tag"), "data/train.txt")
    for i in range(12):
        (tmp_path / "data" / f"p{i}.txt").write_text(f"words {i}")
    split = Pairs(tmp_path).load("all")
    assert split.texts == [f"words {i}" for i in range(12)]
    assert split.targets.tolist() == [i % 3 for i in range(12)] == _seen(split)


def test_a_table_of_another_name_is_named(tmp_path):
    _write(tmp_path, ["p0.png"], _table(["p0,t,a"]), "posts.csv")
    assert "set `labels` (found posts.csv)" in (Pairs(tmp_path).unavailable() or "")


def test_folders_of_systems_are_no_pairs(tmp_path):
    files = [f"p{i}.png" for i in range(9)] + [
        "__MACOSX/p9.png",
        "@eaDir/p9.png",
        ".ipynb_checkpoints/p9.png",
        "._p9.png",
    ]
    _write(tmp_path, files, _table([f"p{i},t{i},{LABELS[i % 3]}" for i in range(10)]))
    (tmp_path / "p3").write_bytes((tmp_path / "p3.png").read_bytes())
    (tmp_path / "p3.png").unlink()  # an image without a suffix
    (tmp_path / "p4.png").rename(tmp_path / "p4.jfif")
    data = Pairs(tmp_path)
    split = data.load("all")
    assert split.has_image.tolist() == [True] * 9 + [False]
    assert list(split.remarks) == ["of these pairs: 1 without an image (first: p9 (no image))"]
    assert data.remarks == []


def test_one_line_tells_what_is_not_used(tmp_path):
    rows = [f"p{i},t{i},{LABELS[i % 3]}" for i in range(12)]
    rows += ["p12,t,", "p13,t,null", "p0,t0,a", "p1,t1,c", "broken row", ",t,a"]
    _write(tmp_path, [f"p{i}.png" for i in range(16)], _table(rows))
    (tmp_path / "p2.png").write_bytes(b"no image")
    data = Pairs(tmp_path)
    assert data.remarks == [
        "not used: 2 rows without a label (first: p12), 1 rows with an id that occurred before (first: p0 "
        "(labels.csv:16)), 1 ids with different labels (first: p1), 1 rows without an id (first: labels.csv:19), "
        "1 rows that can't be read (first: labels.csv:18), 2 images that no row names (first: p14.png)"
    ]
    assert list(data.load("all").remarks) == [
        "of these pairs: 1 with an image that can't be read (first: p2.png)"
    ]
    sound = tmp_path / "sound"
    _write(sound, [f"p{i}.png" for i in range(12)], _table(rows[:12]))
    (sound / "README.md").write_text("words")
    assert Pairs(sound).remarks == list(Pairs(sound).load("all").remarks) == []


def _planned(own_plugins, folder, method="early-features", **options):
    suite = {
        "name": "s",
        "protocol": {"plugin": "fusion", "epochs": 1},
        "models": ["counting"],
        "datasets": [{"plugin": "pairs", "path": str(folder), "label": "mine", **options}],
        "methods": [method],
        "metrics": ["top1"],
    }
    (planned,) = harness.plan(suite, store=folder / "store")
    return planned


def test_what_no_classifier_can_be_trained_on_is_said_at_planning(own_plugins, tmp_path):
    files = [f"p{i}.png" for i in range(12)]
    _write(tmp_path / "one", files, _table([f"p{i},t{i},a" for i in range(12)]))
    one = _planned(own_plugins, tmp_path / "one")
    assert one.state == "skipped"
    assert "labels.csv: all 12 labelled pairs have the same class ('a')" in one.reason
    _write(
        tmp_path / "gone",
        files,
        _table([f"i/q{i}.png,t{i},{LABELS[i % 3]}" for i in range(12)], "image,text,label"),
    )
    gone = _planned(own_plugins, tmp_path / "gone")
    assert "none of its 12 pairs has its image; the first would be i/q0.png" in gone.reason
    assert _planned(own_plugins, tmp_path / "gone", "text-only").state == "run"
    _write(tmp_path / "bare", files, _table([f"p{i},t{i},-1" for i in range(12)]))
    assert (
        "none of its rows makes a labelled pair (label null: 12)"
        in _planned(own_plugins, tmp_path / "bare").reason
    )
    _write(tmp_path / "alone", [f"data/p{i}.png" for i in range(12)], "words", "README.md")
    assert (
        "have the same class ('data'); if that is not their label, set `labels`"
        in _planned(own_plugins, tmp_path / "alone").reason
    )
    _write(
        tmp_path / "head", files, _table([f"p{i},t{i},{LABELS[i % 3]}" for i in range(12)], "id,text,mood")
    )
    assert "set label_column" in _planned(own_plugins, tmp_path / "head").reason
    assert _planned(own_plugins, tmp_path / "head", label_column="mood").state == "run"


def test_a_cell_says_what_its_pairs_leave_out(own_plugins, tmp_path):
    rows = [f"p{i},t{i},{(-1, 0, 1)[i % 3]}" for i in range(30)]
    _write(tmp_path, [f"p{i}.png" for i in range(31)], _table([*rows, "p99,t,"]))
    cell = _planned(own_plugins, tmp_path).cell
    assert cell.remarks == [
        "mine: 10 of 30 rows are labelled '-1', counted as a class; list the others in `classes` to leave them out",
        "mine: not used: 1 rows without a label (first: p99), 1 images that no row names (first: p30.png)",
    ]


def test_pictures_of_a_kind_that_is_not_decoded_are_told(tmp_path):
    _write(
        tmp_path, [f"p{i}.png" for i in range(9)], _table([f"p{i},t{i},{LABELS[i % 3]}" for i in range(9)])
    )
    for i in range(3):
        (tmp_path / f"p{i}.png").rename(tmp_path / f"p{i}.heic")
    data = Pairs(tmp_path)
    assert data.remarks == ["not used: 3 files that are neither images nor texts (first: p0.heic)"]
    assert data.load("all").has_image.sum() == 6


def test_marks_group_cells_of_a_tab_separated_table_where_they_must(tmp_path):
    plain = [f'p{i}\t"hello" {i}\t{LABELS[i % 3]}' for i in range(9)]
    _write(tmp_path, [], _table(plain, "id\ttext\tlabel"), "labels.tsv")
    assert Pairs(tmp_path).load("all").texts == [f'"hello" {i}' for i in range(9)]
    doubled = [f'p{i}\t"say ""hello"" {i}"\t{LABELS[i % 3]}' for i in range(9)]
    _write(tmp_path, [], _table(doubled, "id\ttext\tlabel"), "labels.tsv")
    assert Pairs(tmp_path).load("all").texts == [f'say "hello" {i}' for i in range(9)]
    broken = [f'p{i}\t"two\nlines {i}"\t{LABELS[i % 3]}' for i in range(9)]
    _write(tmp_path, [], _table(broken, "id\ttext\tlabel"), "labels.tsv")
    assert Pairs(tmp_path).load("all").texts == [f"two\nlines {i}" for i in range(9)]


def test_two_columns_that_could_be_meant_are_told(tmp_path):
    _write(
        tmp_path,
        [],
        _table([f"p{i},t{i},{'xy'[i % 2]},{LABELS[i % 3]}" for i in range(9)], "id,text,sentiment,label"),
    )
    data = Pairs(tmp_path)
    assert data.load("all").class_names == ["a", "b", "c"]
    assert data.remarks == [
        "labels.csv: column 'label' is read for labels, not 'sentiment'; label_column overrules"
    ]
    assert Pairs(tmp_path, label_column="sentiment").remarks == []


def test_a_class_folder_is_a_class_whatever_its_name(tmp_path):
    for i, name in enumerate(("nan", "none", "-1", "joy")):
        _write(tmp_path, [f"{name}/{i}.png"], "words", f"{name}/{i}.txt")
    data = Pairs(tmp_path)
    assert data.load("all").class_names == ["-1", "joy", "nan", "none"]
    assert data.remarks == []


def test_ids_that_count_anew_in_each_table_are_no_repetitions(tmp_path):
    for name in ("train", "test"):
        _write(tmp_path, [], _table([f"{i},{name} {i},{LABELS[i % 3]}" for i in range(9)]), f"{name}.csv")
    data = Pairs(tmp_path)
    assert data.load("test").texts == [f"test {i}" for i in range(9)]
    assert data.remarks == []


def test_images_of_the_other_phase_of_hateful_memes_are_no_news(tmp_path):
    for k, name in enumerate(("train", "dev_seen", "test_seen")):
        ids = range(4 * k, 4 * k + 4)
        lines = [{"id": i, "img": f"img/{i}.png", "label": i % 2, "text": "t"} for i in ids]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    _write(tmp_path, [f"img/{i}.png" for i in range(20)], "", "README.md")
    assert HatefulMemes(tmp_path).remarks == []


@pytest.mark.parametrize(
    ("name", "split"),
    [(name, split) for role, split in SPLITS.items() for name in SYNONYMS[role] if split != "train"],
)
def test_tables_of_splits_have_the_names_that_all_data_sets_know(tmp_path, name, split):
    _write(tmp_path, [], _table(["1,one,a", "2,two,b", "3,three,a"]), "Training.csv")
    _write(tmp_path, [], _table(["4,four,a", "5,five,b"]), f"{name}.csv")
    pairs = Pairs(tmp_path)
    assert pairs.splits == ("train", split)
    assert list(pairs.load(split).ids) == ["4", "5"]
