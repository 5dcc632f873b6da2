"""Questions in JSON lines and Parquet: each is read right, or its line is named."""

from __future__ import annotations

import base64
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from harness import Answers, DataError, Dataset, OptionError, Split, decode
from harness.inference.split_subsets import draw_subset
from harness.testing import DatasetConformance
from harness_data.question_file import QuestionFile
from harness_data.question_images import holds_image


def png(colour: str = "red", side: int = 8) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(file, "PNG")
    return file.getvalue()


def write(path: Path, *rows: Any, images: tuple[str, ...] = ("a.png", "b.png")) -> Path:
    for name in images:
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).write_bytes(png("red" if name.startswith("a") else "blue"))
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n")
    return path


def row(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": number,
        "question": f"What is {number}?",
        "image": "a.png",
        "answers": ["red", "Red"],
        **more,
    }


def pixel(image: Any) -> Any:
    return decode(image).getpixel((0, 0))


def test_a_file_of_questions_with_answers(tmp_path: Path) -> None:
    data = QuestionFile(write(tmp_path / "set.jsonl", row(1), "", row(2, image="b.png", answers="blue")))
    assert isinstance(data, Dataset)
    assert data.splits == ("test",)
    split = data.load("test")
    assert isinstance(split, Split)
    assert split.ids == ["1", "2"]
    assert split.targets == [Answers(("red", "Red")), Answers(("blue",))]
    assert split.groups == ["a.png", "b.png"]
    assert split.questions == ["What is 1?", "What is 2?"]
    assert split.remarks == []
    sample = split[1]
    assert (sample.id, sample.text, sample.target) == ("2", "What is 2?", Answers(("blue",)))
    assert pixel(sample.image) == (0, 0, 255)
    with pytest.raises(IndexError):
        split[2]


def test_a_part_keeps_what_belongs_to_its_samples(tmp_path: Path) -> None:
    rows = [row(i, image_id=f"g{i}", answer_type=f"t{i}") for i in range(9)]
    split = QuestionFile(write(tmp_path / "set.jsonl", *rows)).load("test")
    part: Any = draw_subset(split, 4, 1)
    assert part.groups == [f"g{i}" for i in part.ids]
    assert part.answer_types == [f"t{i}" for i in part.ids]
    assert part.questions == [f"What is {i}?" for i in part.ids]


def test_splits_by_file_name_and_shards(tmp_path: Path) -> None:
    write(tmp_path / "val.jsonl", row(1))
    table = pa.Table.from_pylist([row(2)])
    for shard in range(2):
        pq.write_table(
            table.set_column(0, "id", pa.array([shard])), tmp_path / f"test-0000{shard}-of-00002.parquet"
        )
    data = QuestionFile(tmp_path)
    assert data.splits == ("test", "val")
    assert data.load("test").ids == ["0", "1"]
    assert QuestionFile(tmp_path / "val.jsonl").splits == ("val",)
    with pytest.raises(DataError, match="no split 'train'"):
        data.load("train")


@pytest.mark.parametrize("written", ["base64", "uri", "bytes", "struct", "list"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_images_in_the_table(tmp_path: Path, written: str, suffix: str) -> None:
    red, blue = (base64.b64encode(png(colour)).decode() for colour in ("red", "blue"))
    cells: dict[str, tuple[Any, Any]] = {
        "base64": (red, blue),
        "uri": (f"data:image/png;base64,{red}", f"data:image/png;base64,{blue}"),
        "bytes": (png("red"), png("blue")),
        "struct": ({"bytes": png("red"), "path": None}, {"bytes": png("blue"), "path": "b.png"}),
        "list": ([{"bytes": png("blue"), "path": None}, {"bytes": png("red"), "path": None}],
                 [{"bytes": png("red"), "path": None}, {"bytes": png("blue"), "path": None}]),
    }  # fmt: skip
    rows = [row(i, image=cell) for i, cell in enumerate(cells[written])]
    path = tmp_path / f"set.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=1)
    elif written in ("base64", "uri"):
        write(path, *rows)
    else:
        pytest.skip("JSON holds no bytes")
    split = QuestionFile(path).load("test")
    for index, colour in ((1, (0, 0, 255)), (0, (255, 0, 0))):  # not in the order of the file
        assert len(split[index].images) == (2 if written == "list" else 1)
        assert pixel(split[index].images[-1]) == colour
    assert split.remarks == ["2 of 2 questions name no image, and count as independent of each other"]
    assert split.groups == ["0", "1"]


def test_several_images_in_a_list_and_in_columns(tmp_path: Path) -> None:
    rows = [row(1, image=["a.png", "b.png"]), row(2, image=["b.png"])]
    split = QuestionFile(write(tmp_path / "set.jsonl", *rows)).load("test")
    assert [pixel(image) for image in split[0].images] == [(255, 0, 0), (0, 0, 255)]
    assert split.groups == ["a.png|b.png", "b.png"]
    rows = [row(1, image_1="b.png", image_2=None), row(2, image_1="b.png", image_2="a.png")]
    for one in rows:
        del one["image"]
    data = QuestionFile(write(tmp_path / "two.jsonl", *rows), image_columns=["image_1", "image_2"])
    assert [len(data.load("test")[i].images) for i in range(2)] == [1, 2]


@pytest.mark.parametrize(
    ("right", "index"), [("blue", 1), ("B", 1), (1, 1), ("1", 1), (1.0, 1), (" blue ", 1), (0, 0), ("A", 0)]
)
def test_the_right_choice_by_text_letter_or_index(tmp_path: Path, right: Any, index: int) -> None:
    path = write(
        tmp_path / "set.jsonl",
        {"question": "?", "image": "a.png", "options": ["red", "blue"], "answer": right},
    )
    split = QuestionFile(path).load("test")
    assert split.targets == [Answers((), ("red", "blue"), index)]
    assert "there is no column of ids: they are the rows' numbers, from 0" in split.remarks


def choice(right: Any, choices: Any = ("red", "blue"), **more: Any) -> dict[str, Any]:
    return {"id": 1, "question": "?", "image": "a.png", "choices": choices, "answer": right, **more}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{broken", "set.jsonl:2: not a line of JSON"),
        ("[1]", "set.jsonl:2: expected a JSON object, found a list"),
        (row(1), r"set.jsonl:2: id '1' is at .*set.jsonl:1 already"),
        (row(2, id=None), "set.jsonl:2: has no id in column 'id'"),
        (row(2, question=" "), "set.jsonl:2: the question is empty"),
        (row(2, question=None), "set.jsonl:2: the question is empty"),
        (row(2, image=None), "set.jsonl:2: has no image; set text_only"),
        (row(2, image=[]), "set.jsonl:2: has no image"),
        (row(2, image=3), "set.jsonl:2: an image is a int"),
        (row(2, image="../a.png"), r"set.jsonl:2: image '../a.png' is not below"),
        (row(2, image="/etc/a.png"), r"set.jsonl:2: image '/etc/a.png' is not below"),
        (row(2, image="C:\\a.png"), r"set.jsonl:2: image 'C:\\a.png' is not below"),
        (row(2, image="https://x.org/a.png"), "is an address; download it"),
        (row(2, answers=[]), "set.jsonl:2: has no answers"),
        (row(2, answers=None), "set.jsonl:2: has no answers"),
        (row(2, answers=["red", ""]), "set.jsonl:2: one of its 2 answers is empty"),
    ],
)  # fmt: skip
def test_bad_rows_are_named_with_their_line(tmp_path: Path, line: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        QuestionFile(write(tmp_path / "set.jsonl", row(1), line)).load("test")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (choice("green"), "set.jsonl:1: the right answer 'green' is not among its 2 choices"),
        (choice("C"), "set.jsonl:1: the right answer 'C' is not among its 2 choices"),
        (choice(2), "set.jsonl:1: the right answer '2' is not among its 2 choices, counted from 0"),
        (choice("--1"), "the right answer '--1' is not among its 2 choices"),
        (choice("9" * 5000), "the right answer '9999"),
        (choice("two\nlines"), "'two lines' is not among"),
        (choice(-1), "'-1' is not among its 2 choices, counted from 0"),
        (choice(None), "set.jsonl:1: has no right answer"),
        (choice(True), "set.jsonl:1: has no right answer"),
        (choice("A", ["B", "A"]), "'A' is the text of choice 2 and the letter of choice 1: set right_as to text or letter"),
        (choice(1, ["1", "2"]), "'1' is the text of choice 1 and the index of choice 2: set right_as"),
        (choice("red", "red"), "its choices are a str, expected a list"),
        (choice("red", ["red"]), "has a single choice"),
        (choice("red", ["red", ""]), "one of its 2 choices is empty"),
    ],
)  # fmt: skip
def test_bad_choices_are_named_with_their_line(tmp_path: Path, line: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        QuestionFile(write(tmp_path / "set.jsonl", line)).load("test")


def test_right_as_and_first_index_decide(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", choice("A", ["B", "A"]))
    for how, index in (("text", 1), ("letter", 0)):
        assert QuestionFile(path, right_as=how).load("test").targets[0].right == index  # type: ignore[arg-type]
    path = write(tmp_path / "ones.jsonl", choice(2))
    assert QuestionFile(path, first_index=1).load("test").targets[0].right == 1
    with pytest.raises(OptionError, match="first_index is 2"):
        QuestionFile(path, first_index=2)
    with pytest.raises(DataError, match="'A' is not among its 2 choices as index"):
        QuestionFile(write(tmp_path / "a.jsonl", choice("A")), right_as="index").load("test")


def test_indices_that_may_count_from_one_are_told(tmp_path: Path) -> None:
    rows = [choice(1 + i % 2, ["red", "blue", "green"], id=i) for i in range(12)]
    remarks = QuestionFile(write(tmp_path / "set.jsonl", *rows)).load("test").remarks
    assert remarks == [
        "column 'answer' is read as indices from 0, and none of 12 is 0: if they count from 1, set first_index = 1"
    ]
    rows[3]["answer"] = 0
    assert QuestionFile(write(tmp_path / "set.jsonl", *rows)).load("test").remarks == []


def test_labels_are_choices(tmp_path: Path) -> None:
    rows = [
        {"id": i, "question": "?", "image": "a.png", "label": name}
        for i, name in enumerate(("no", "yes", "no"))
    ]
    split = QuestionFile(write(tmp_path / "set.jsonl", *rows)).load("test")
    assert split.targets[1] == Answers(("yes",), ("no", "yes"), 1)
    assert split.remarks == ["the choices are the 2 labels of column 'label': no, yes"]


@pytest.mark.parametrize(
    ("options", "more", "problem"),
    [
        ({"question_column": "questoin"}, {}, r"no column 'questoin' \(question_column\); did you mean 'question'"),
        ({"image_columns": ["picture"]}, {}, r"no column 'picture' \(image_columns\)"),
        ({}, {"qid": 4}, "columns 'id' and 'qid' may both hold the id: name one with id_column"),
        ({}, {"prompt": "?"}, "columns 'question' and 'prompt' may both hold the question: name one with question_column"),
        ({}, {"label": "x"}, "columns 'answers' and 'label' may both hold the answers: name one with answers_column or label"),
        ({"right_column": "answers"}, {}, "right_column is 'answers', but there is no column of choices"),
    ],
)  # fmt: skip
def test_columns_that_are_unknown_or_not_clear(tmp_path: Path, options: Any, more: Any, problem: str) -> None:
    with pytest.raises((DataError, OptionError), match=problem):
        QuestionFile(write(tmp_path / "set.jsonl", row(1, **more)), **options).load("test")


@pytest.mark.parametrize(
    ("lacking", "problem"),
    [("question", "no column of the question among"), ("image", "no column of the image among"),
     ("answers", "no column of the answers among: id, question, image; set answers_column")],
)  # fmt: skip
def test_columns_that_are_not_there(tmp_path: Path, lacking: str, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        QuestionFile(write(tmp_path / "set.jsonl", {k: v for k, v in row().items() if k != lacking})).load(
            "test"
        )


def test_named_columns_and_those_not_used(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", row(1, q="Which?", source="web"))
    split = QuestionFile(path, question_column="q").load("test")
    assert split.questions == ["Which?"]
    assert split.remarks == ["2 columns are not used: question, source"]


def test_missing_images_are_told_at_once_and_named_on_access(tmp_path: Path) -> None:
    split = QuestionFile(
        write(tmp_path / "set.jsonl", row(1), *(row(i, image="gone.png") for i in (2, 3)))
    ).load("test")
    assert len(split.remarks) == 1
    assert split.remarks[0].startswith("1 of 2 image files is missing (first: ")
    assert split.remarks[0].endswith("set.jsonl:2)")
    assert pixel(split[0].image) == (255, 0, 0)
    with pytest.raises(DataError, match=r"set.jsonl:2: image .*gone.png: can't be read \(No such file"):
        split[1]


def test_images_from_another_folder(tmp_path: Path) -> None:
    path = write(tmp_path / "tables" / "set.jsonl", row(1), images=("../pictures/a.png",))
    split = QuestionFile(path, images=tmp_path / "pictures").load("test")
    assert decode(split[0].images[0]).size == (8, 8)


def test_text_only_questions_and_placeholders_are_told(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", row(1, image=None), row(2, question="In <image 1>, what?"))
    split = QuestionFile(path, text_only=True).load("test")
    assert split[0].images == ()
    assert split.remarks == [
        "1 of 2 questions have no image",
        "1 of 2 questions name no image, and count as independent of each other",
        "1 of 2 questions hold '<image…', which is taken as text",
    ]


def test_files_that_are_none(tmp_path: Path) -> None:
    assert "no such file or folder" in str(QuestionFile(tmp_path / "gone").unavailable())
    assert "holds no table of questions" in str(QuestionFile(tmp_path).unavailable())
    (tmp_path / "a.csv").write_text("x")
    assert "not a table of questions" in str(QuestionFile(tmp_path / "a.csv").unavailable())
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"bad\.parquet: can't be read as Parquet"):
        QuestionFile(tmp_path / "bad.parquet").load("test")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match=r"empty\.jsonl: holds no rows"):
        QuestionFile(tmp_path / "empty.jsonl").load("test")
    path = write(tmp_path / "odd.jsonl", row(1, image="data:image/png;base64,%%%"))
    with pytest.raises(DataError, match=r"odd\.jsonl:1: its image can't be decoded as base64"):
        QuestionFile(path).load("test")[0]


def test_fingerprint_follows_rows_and_images(tmp_path: Path) -> None:
    path = write(tmp_path / "set.jsonl", row(1))
    before = QuestionFile(path).fingerprint()
    assert QuestionFile(path).fingerprint() == before
    (tmp_path / "a.png").write_bytes(png("green", 9))
    after = QuestionFile(path).fingerprint()
    assert after != before
    write(path, row(1, answers=["redder"]))
    assert QuestionFile(path).fingerprint() not in (before, after)


def test_a_path_is_no_image_however_long() -> None:
    assert holds_image(base64.b64encode(png()).decode())
    assert not holds_image("images/" + "a" * 200 + "/b")
    assert not holds_image("A" * 200)
    assert not holds_image("a.png")


texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12).filter(lambda t: bool(t.strip()))
rows = st.lists(
    st.tuples(texts, st.lists(texts, min_size=2, max_size=5, unique_by=str.strip), st.integers(0, 1)), min_size=1, max_size=6
)  # fmt: skip


@given(rows, st.booleans(), st.sampled_from(["index", "text"]))
def test_any_questions_are_read_as_written(given_rows: Any, parquet: bool, how: Any) -> None:
    table = [
        {
            "id": f"r{i}",
            "question": q,
            "image": "a.png",
            "choices": c,
            "right": str(r) if how == "index" else c[r],
        }
        for i, (q, c, r) in enumerate(given_rows)
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"set.{'parquet' if parquet else 'jsonl'}"
        if parquet:
            pq.write_table(pa.Table.from_pylist(table), path)
        else:
            path.write_text(
                "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in table), "utf-8", newline="\n"
            )
        split = QuestionFile(path, right_as=how).load("test")
    for one, question, target in zip(given_rows, split.questions, split.targets, strict=True):
        assert question == one[0].strip()
        assert list(target.choices) == [text.strip() for text in one[1]]
        assert target.right == one[2]


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    ["id", "question", "image", "answers", "choices", "answer", "label", "image_id", "answer_type", "x"]
)


@given(st.lists(st.dictionaries(keys, json_values, max_size=9), max_size=3))
def test_whatever_a_file_holds_is_read_or_refused_in_one_line(objects: list[Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "set.jsonl"
        path.write_text("".join(json.dumps(one) + "\n" for one in objects))
        try:
            split = QuestionFile(path, text_only=True).load("test")
        except (DataError, OptionError) as error:
            refused = str(error)
        else:
            refused = ""
            assert len(split) == len(objects)
            assert all(target.references or target.right is not None for target in split.targets)
    assert "\n" not in refused


class TestQuestionFile(DatasetConformance):
    @pytest.fixture(params=["answers", "choices", "parquet"])
    def dataset(self, request: pytest.FixtureRequest, tmp_path: Path) -> QuestionFile:
        if request.param == "parquet":
            pixels = [png(colour) for colour in ("red", "blue", "green")]
            table = pa.Table.from_pylist([row(i, image={"bytes": data}) for i, data in enumerate(pixels)])
            pq.write_table(table, tmp_path / "set.parquet")
            return QuestionFile(tmp_path / "set.parquet")
        make = row if request.param == "answers" else lambda i: choice("red", id=i)
        for i in range(5):
            Image.fromarray(np.full((4, 4, 3), 40 * i, np.uint8)).save(tmp_path / f"{i}.png")
        return QuestionFile(
            write(tmp_path / "set.jsonl", *[{**make(i), "image": f"{i}.png"} for i in range(5)])
        )


@pytest.mark.parametrize(
    ("choices", "right", "text"),
    [
        ({"B": "dog", "A": "cat"}, "A", "cat"),
        ({"A": "cat", "B": None, "C": "dog", "D": "cow"}, "C", "dog"),
        ({"1": "cat", "2": "dog", "3": "cow"}, "1", "cat"),
        ({"text": ["cat", "dog", "cow"], "label": ["1", "2", "3"]}, 2, "dog"),
        ({"text": ["cat", "dog"], "label": ["B", "A"]}, "A", "dog"),
        ({"text": ["cat", "dog"]}, "B", "dog"),
        ({"A": "cat", "B": "dog"}, 1, "dog"),
    ],
)
def test_labels_of_the_data_say_which_choice_is_right(
    tmp_path: Path, choices: Any, right: Any, text: str
) -> None:
    split = QuestionFile(write(tmp_path / "a.jsonl", choice(right, choices))).load("test")
    target = split.targets[0]
    assert target.choices[target.right] == text


def test_labels_that_are_not_one_per_choice_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", choice("A", {"text": ["cat", "dog"], "label": ["A", "A"]}))
    with pytest.raises(DataError, match=r"a\.jsonl:1: 1 labels of 2 choices: A, A"):
        QuestionFile(path).load("test")
