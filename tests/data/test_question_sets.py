"""VQAv2, COCO captions, POPE and questions of the Hugging Face hub, on small copies of their files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from PIL import Image

from harness import Answers, DataError, OptionError, Unavailable, decode
from harness.testing import DatasetConformance
from harness_data.coco_captions import CocoCaptions
from harness_data.hub_questions import HubQuestions
from harness_data.pope import Pope
from harness_data.vqa import Vqa

IMAGES = (42, 16631)
VQA_QUESTIONS, VQA_ANNOTATIONS = (
    "v2_OpenEnded_mscoco_val2014_questions.json",
    "v2_mscoco_val2014_annotations.json",
)

Change = Callable[[Any], None]


def draw_images(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for image in IMAGES:
        Image.new("RGB", (8, 6), (image % 251, 0, 0)).save(
            folder / f"COCO_val2014_{image:012d}.jpg", quality=95
        )


def write_json(path: Path, values: Any, change: Change | None = None) -> None:
    if change is not None:
        change(values)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def write_vqa(folder: Path, questions: Change | None = None, annotations: Change | None = None) -> Path:
    draw_images(folder / "val2014")
    asked = [{"image_id": image, "question_id": image * 1000, "question": "Is it red?"} for image in IMAGES]
    answers = [
        {
            "question_id": one["question_id"],
            "image_id": one["image_id"],
            "answer_type": "yes/no",
            "question_type": "is it",
            "multiple_choice_answer": "yes",
            "answers": [
                {"answer": "yes" if i else "no", "answer_confidence": "yes", "answer_id": i + 1}
                for i in range(10)
            ],
        }
        for one in asked
    ]
    write_json(folder / VQA_QUESTIONS, {"data_subtype": "val2014", "questions": asked}, questions)
    write_json(folder / VQA_ANNOTATIONS, {"annotations": answers}, annotations)
    return folder


def test_vqa_keeps_all_ten_answers(tmp_path: Path) -> None:
    data = Vqa(write_vqa(tmp_path))
    assert data.splits == ("val",)
    split = data.load("val")
    assert split.ids == ["42000", "16631000"]
    assert split.groups == ["42", "16631"]
    assert split.answer_types == ["yes/no"] * 2
    assert split.targets[0] == Answers(("no",) + ("yes",) * 9)
    assert split.remarks == []
    sample = split[1]
    assert sample.text == "Is it red?"
    assert decode(sample.images[0]).size == (8, 6)


@pytest.mark.parametrize(
    ("questions", "annotations", "problem"),
    [
        (lambda q: q["questions"].append(dict(q["questions"][0])), None, r"questions\[2\]: id '42000' is at .*\[0\] already"),
        (lambda q: q["questions"][1].update(question=" "), None, r"questions\[1\]: `question` is empty"),
        (lambda q: q["questions"][1].update(question_id="x"), None, r"questions\[1\]: `question_id` should be a whole number"),
        (lambda q: q["questions"][1].pop("image_id"), None, r"questions\[1\]: `image_id` should be a whole number, there"),
        (lambda q: q["questions"].pop(), None, r"annotations\[1\]: its question is not in v2_OpenEnded"),
        (lambda q: q.pop("questions"), None, "has no list `questions`"),
        (None, lambda a: a["annotations"].pop(), r"questions\[1\]: question 16631000 has no answers in v2_mscoco"),
        (None, lambda a: a["annotations"].append(a["annotations"][0]), r"annotations\[2\]: question 42000 is annotated at"),
        (None, lambda a: a["annotations"][0].update(image_id=7), "question 42000 is about image 42, its answers about 7"),
        (None, lambda a: a["annotations"][0].update(answers=[]), "question 42000 has no answers"),
        (None, lambda a: a["annotations"][0]["answers"][3].update(answer=""), r"annotations\[0\]: answers\[3\] has no text"),
        (None, lambda a: a["annotations"].append(3), r"annotations\[2\]: expected an object, found a int"),
    ],
)  # fmt: skip
def test_faults_in_vqa_are_named(
    tmp_path: Path, questions: Change, annotations: Change, problem: str
) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        Vqa(write_vqa(tmp_path, questions, annotations)).load("val")
    assert "\n" not in str(caught.value)


def test_vqa_that_is_not_there_or_damaged(tmp_path: Path) -> None:
    assert f"no {VQA_QUESTIONS} with {VQA_ANNOTATIONS}" in str(Vqa(tmp_path).unavailable())
    with pytest.raises(DataError, match="no v2_OpenEnded"):
        Vqa(tmp_path).load("val")
    (write_vqa(tmp_path) / VQA_QUESTIONS).write_text("{")
    with pytest.raises(DataError, match=rf"{VQA_QUESTIONS}: not valid JSON"):
        Vqa(tmp_path).load("val")


def test_a_missing_image_of_vqa_is_told(tmp_path: Path) -> None:
    write_vqa(tmp_path)
    (tmp_path / "val2014" / "COCO_val2014_000000000042.jpg").unlink()
    split = Vqa(tmp_path).load("val")
    assert split.remarks[0].startswith("1 of 2 image files is missing")
    with pytest.raises(DataError, match=r"questions\[0\]: image .*000000000042.jpg: can't be read"):
        split[0]


def write_coco(folder: Path, captions: Change | None = None, instances: Change | None = None) -> Path:
    draw_images(folder / "val2014")
    images = [{"id": image, "file_name": f"COCO_val2014_{image:012d}.jpg"} for image in (*IMAGES, 99)]
    said = [{"id": i, "image_id": IMAGES[i % 2], "caption": f"caption {i}\n"} for i in range(10)]
    write_json(
        folder / "annotations" / "captions_val2014.json", {"images": images, "annotations": said}, captions
    )
    shown = {
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
        "annotations": [{"image_id": 42, "category_id": c} for c in (18, 1, 18)],
    }
    write_json(folder / "annotations" / "instances_val2014.json", shown, instances)
    return folder


def test_captions_of_coco(tmp_path: Path) -> None:
    data = CocoCaptions(write_coco(tmp_path), objects=True)
    assert data.splits == ("val",)
    split = data.load("val")
    assert split.ids == split.groups == ["42", "16631"]
    assert split.targets[0] == ("caption 0", "caption 2", "caption 4", "caption 6", "caption 8")
    assert split.objects == [("dog", "person"), ()]
    assert split.remarks == ["1 of 3 images have no caption and are left out (first: 99)"]
    assert split[0].text is None
    assert decode(split[0].images[0]).size == (8, 6)
    assert not hasattr(CocoCaptions(tmp_path).load("val"), "objects")


@pytest.mark.parametrize(
    ("captions", "instances", "problem"),
    [
        (lambda c: c["annotations"][3].update(image_id=5), None, r"annotations\[3\]: image 5 is not among the file's images"),
        (lambda c: c["annotations"][3].update(caption=""), None, r"annotations\[3\]: `caption` is empty"),
        (lambda c: c["images"].append(c["images"][0]), None, r"images\[3\]: image 42 is at .*images\[0\] already"),
        (lambda c: c["images"][0].update(file_name="../x.jpg"), None, r"images\[0\]: image '../x.jpg' is not below"),
        (None, lambda i: i["annotations"][0].update(category_id=3), r"annotations\[0\]: category 3 is not among"),
        (None, lambda i: i["annotations"][0].update(image_id=3), r"annotations\[0\]: image 3 is not among those"),
    ],
)  # fmt: skip
def test_faults_in_coco_are_named(tmp_path: Path, captions: Change, instances: Change, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        CocoCaptions(write_coco(tmp_path, captions, instances), objects=True).load("val")


def test_coco_files_that_are_not_there_or_not_clear(tmp_path: Path) -> None:
    assert "no captions_val2014.json" in str(CocoCaptions(tmp_path).unavailable())
    write_coco(tmp_path)
    (tmp_path / "annotations" / "instances_val2014.json").unlink()
    assert "no instances_val2014.json, which `objects` needs" in str(
        CocoCaptions(tmp_path, objects=True).unavailable()
    )
    write_json(tmp_path / "captions_train2017.json", {"images": [], "annotations": []})
    assert "captions of both 2014 and 2017: set year" in str(CocoCaptions(tmp_path).unavailable())
    assert CocoCaptions(tmp_path, year="2014").splits == ("val",)


def write_pope(folder: Path, *more: Any, name: str = "coco_pope_random.json") -> Path:
    draw_images(folder / "val2014")
    rows = [
        {"question_id": i + 1, "image": f"COCO_val2014_{image:012d}.jpg", "text": f"Is there a {name} in the image?",
         "label": label}
        for i, (image, name, label) in enumerate([(42, "dog", "yes"), (42, "car", "no"), (16631, "cat", "no")])
    ]  # fmt: skip
    (folder / name).write_text("".join(json.dumps(one) + "\n" for one in [*rows, *more]))
    return folder


def test_pope(tmp_path: Path) -> None:
    split = Pope(write_pope(tmp_path)).load("test")
    assert split.ids == ["1", "2", "3"]
    assert split.targets == [
        Answers((word,), ("yes", "no"), i) for word, i in (("yes", 0), ("no", 1), ("no", 1))
    ]
    assert split.groups[0] == split.groups[1] != split.groups[2]
    assert split[2].text == "Is there a cat in the image?"
    assert decode(split[2].images[0]).size == (8, 6)
    assert split.remarks == []
    assert "no file *_pope_popular.json" in str(Pope(tmp_path, setting="popular").unavailable())
    (tmp_path / "aokvqa_pope_random.json").write_text("")
    assert "are both there: name one as the path" in str(Pope(tmp_path).unavailable())
    assert len(Pope(tmp_path / "coco_pope_random.json").load("test")) == 3


GOOD = {"question_id": 9, "image": "a.jpg", "text": "Is there a cat?", "label": "no"}


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"label": "maybe"}, "random.json:4: the label is 'maybe', expected yes or no"),
        ({"label": None}, "the label is None"),
        ({"text": ""}, "random.json:4: the question is empty"),
        ({"question": "Is there?"}, "has both `text` and `question`"),
        ({"question_id": 1}, "random.json:4: id '1' is at .*random.json:1 already"),
        ({"question_id": None}, "has no question_id"),
        ({"image": None}, "random.json:4: has no image"),
        ({"image": "../a.jpg"}, "image '../a.jpg' is not below"),
    ],
)
def test_faults_in_pope_are_named(tmp_path: Path, more: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        Pope(write_pope(tmp_path, {**GOOD, **more})).load("test")


def save(folder: Path, columns: dict[str, Any], **features: Any) -> str:
    made = datasets.Dataset.from_dict(columns)
    for name, feature in features.items():
        made = made.cast_column(name, feature)
    made.save_to_disk(str(folder))
    return str(folder)


def pictures(count: int = 3) -> list[Image.Image]:
    return [Image.new("RGB", (8, 6), (20 * i, 0, 0)) for i in range(count)]


def red_of(image: Any) -> Any:
    return decode(image).getpixel((0, 0))[0]  # type: ignore[index]


def test_questions_of_the_hub(tmp_path: Path) -> None:
    columns = {"question_id": ["x", "y", "z"], "question": ["a?", "b?", "c?"], "image": pictures(),
               "options": [["red", "blue"]] * 3, "answer": ["B", "A", "A"], "image_id": [7, 7, 8], "url": [""] * 3}  # fmt: skip
    split = HubQuestions(save(tmp_path / "set", columns)).load("test")
    assert split.ids == ["x", "y", "z"]
    assert split.targets == [Answers((), ("red", "blue"), right) for right in (1, 0, 0)]
    assert split.groups == ["7", "7", "8"]
    assert split.remarks == ["1 column is not used: url"]
    assert [red_of(split[i].images[0]) for i in (2, 0, 1)] == [40, 0, 20]


def test_labels_and_lists_of_images_of_the_hub(tmp_path: Path) -> None:
    a, b, c = pictures()
    columns = {"query": ["?", "??"], "images": [[a], [b, c]], "label": [1, 0]}
    made = save(
        tmp_path / "set",
        columns,
        label=datasets.ClassLabel(names=["no", "yes"]),
        images=datasets.Sequence(datasets.Image()),
    )
    split = HubQuestions(made).load("test")
    assert split.targets == [Answers(("yes",), ("no", "yes"), 1), Answers(("no",), ("no", "yes"), 0)]
    assert [[red_of(image) for image in split[i].images] for i in range(2)] == [[0], [20, 40]]


def test_faults_in_questions_of_the_hub_are_named(tmp_path: Path) -> None:
    columns = {"question": ["a?", "", "c?"], "image": pictures(), "answers": [["x"]] * 3}
    made = save(tmp_path / "set", columns)
    with pytest.raises(DataError, match="split test, row 1: the question is empty"):
        HubQuestions(made).load("test")
    with pytest.raises(OptionError, match=r"no column 'pictures' \(image_columns\)"):
        HubQuestions(made, image_columns=["pictures"]).load("test")
    columns = {"question": ["a?", "b?"], "image": [pictures(1)[0], None], "answers": [["x"]] * 2}
    with pytest.raises(DataError, match="row 1: has no image; set text_only"):
        HubQuestions(save(tmp_path / "bare", columns)).load("test")
    with pytest.raises(Unavailable, match="no folder written by save_to_disk"):
        HubQuestions(str(tmp_path / "gone")).load("test")
    assert "no revision is given" in HubQuestions("owner/questions").remarks[0]


def make_hub(folder: Path) -> HubQuestions:
    columns = {
        "id": ["x", "y", "z"],
        "question": ["a?", "b?", "c?"],
        "image": pictures(),
        "answers": [["r"], ["g"], ["b"]],
    }
    return HubQuestions(save(folder / "set", columns))


MAKERS: dict[str, Callable[[Path], Any]] = {
    "vqa": lambda folder: Vqa(write_vqa(folder)),
    "coco": lambda folder: CocoCaptions(write_coco(folder), objects=True),
    "pope": lambda folder: Pope(write_pope(folder)),
    "hub": make_hub,
}


class TestQuestionSets(DatasetConformance):
    @pytest.fixture(params=MAKERS)
    def dataset(self, request: pytest.FixtureRequest, tmp_path: Path) -> Any:
        return MAKERS[request.param](tmp_path)


@pytest.mark.parametrize("name", MAKERS)
def test_fingerprints_follow_what_is_read(tmp_path: Path, name: str) -> None:
    data = MAKERS[name](tmp_path)
    before = data.fingerprint()
    assert data.fingerprint() == before
    if name == "hub":
        save(tmp_path / "other", {"question": ["new?"], "image": pictures(1), "answers": [["x"]]})
        assert HubQuestions(str(tmp_path / "other")).fingerprint() != before
        return
    Image.new("RGB", (9, 9)).save(tmp_path / "val2014" / "COCO_val2014_000000000042.jpg")
    assert type(data)(tmp_path).fingerprint() != before
