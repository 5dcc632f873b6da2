"""The protocol `answering` on captions: the option `question` is asked, and the captions are the references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

import harness
from harness import Sample
from harness.discovery import registry
from harness_language.conversations import ImagePart, ModelAnswer, Question, list_images

ANIMALS = ("dog", "cat", "horse", "sheep")
ASKED = "Describe the image in one sentence."


class CaptionedAnimals:
    """Images of one grey; two captions each name its animal."""

    splits = ("train", "val")
    target_kind = "captions"

    def load(self, split: str) -> Any:
        return CaptionedSplit(split)


class CaptionedSplit:
    per_sample = ("groups", "objects")

    def __init__(self, split: str) -> None:
        self.animals = [ANIMALS[n % 4] for n in range(12)]
        self.ids = [f"{split}-{n}" for n in range(12)]
        self.groups = list(self.ids)
        self.targets = [(f"a {name} in the field", f"one {name} stands on grass") for name in self.animals]
        self.objects = [(name,) for name in self.animals]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        image = np.full((4, 4, 3), 10 * ANIMALS.index(self.animals[row]), np.uint8)
        return Sample(self.ids[row], image=image, target=self.targets[row])


class Describer:
    """Writes the first caption of the last image; speaks of a dog without one."""

    asked: Sequence[Question] = ()

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        Describer.asked = questions
        return [ModelAnswer(f"a {self.see(list_images(q))} in the field") for q in questions]

    def see(self, images: Sequence[ImagePart]) -> str:
        return ANIMALS[int(np.asarray(images[-1].decoded())[0, 0, 0]) // 10] if images else "dog"

    def loglikelihood(self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]) -> Any:
        raise AssertionError("captions are not compared by likelihood")


@pytest.fixture
def caption(tmp_path):
    """Return a function that captions the toy images and returns the records."""

    def caption(protocol: dict[str, Any], metrics: Sequence[str], axes: dict[str, Any] | None = None):
        suite = {
            "name": "toy", "protocol": {"plugin": "answering", "question": ASKED, **protocol}, "seeds": [0],
            "models": ["describer"], "datasets": ["captioned-animals"], "metrics": list(metrics), "axes": axes or {},
        }  # fmt: skip
        return harness.run(suite, store=tmp_path / "store", device="cpu").records

    with (
        registry.register_temporarily("models", "describer", Describer),
        registry.register_temporarily("datasets", "captioned-animals", CaptionedAnimals),
    ):
        yield caption


def test_captions_are_the_references_of_what_is_written(caption):
    axes = {"probe": ["none", "no image"]}
    records = {r.coordinates["probe"]: r for r in caption({}, ["exact-match", "chair"], axes)}
    assert records["none"].metrics["exact-match"] == 1
    assert records["none"].metrics["chair.i"] == 0
    assert records["none"].notes["example"].endswith(ASKED)
    assert records["no image"].metrics["exact-match"] == 0.25
    assert records["no image"].metrics["chair.i"] == 0.75


def test_cider_of_a_reference_is_higher_than_of_another_images(caption):
    pytest.importorskip("pycocoevalcap")
    plain, blind = caption({}, ["cider"], {"probe": ["none", "no image"]})
    assert plain.metrics["cider"] > blind.metrics["cider"] > 0


def test_shots_show_an_image_and_its_first_caption(caption):
    caption({}, ["exact-match"], {"shots": [2]})
    for question in Describer.asked:
        users, said = question.turns[:-1:2], question.turns[1:-1:2]
        assert [turn.parts[-1] for turn in users] == [ASKED, ASKED]
        shown = [Describer().see([p for p in turn.parts if isinstance(p, ImagePart)]) for turn in users]
        assert [turn.parts for turn in said] == [(f"a {animal} in the field",) for animal in shown]


def test_captions_have_no_choices_to_compare(caption):
    (record,) = caption({"how": "likelihood"}, ["exact-match"])
    assert record.status == "skipped"
    assert "captions are no choices to compare by likelihood" in record.reason
