"""Shots by similarity of images (RICES): the most similar last, without the query's own image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import harness
from harness import Answers, Sample
from harness.discovery import registry
from harness_language.conversations import ImagePart, list_images
from tests.mllm.test_answering import Looker


class Shades:
    """Grey images, each of its own shade; the last four training images are test images, under their groups."""

    splits = ("train", "test")
    target_kind = "answers"

    def load(self, split: str) -> Any:
        return ShadeSplit(split)


class ShadeSplit:
    per_sample = ("groups",)

    def __init__(self, split: str) -> None:
        test = [5, 95, 145, 235]
        self.shades = [10, 20, 60, 100, 140, 180, 220, 240, *test] if split == "train" else test
        self.ids = [f"{split}-{shade}" for shade in self.shades]
        self.groups = [f"shade-{shade}" for shade in self.shades]
        self.targets = [Answers((str(shade),)) for shade in self.shades]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, row: int) -> Sample:
        image = np.full((4, 4, 3), self.shades[row], np.uint8)
        return Sample(self.ids[row], image=image, text="How bright?", target=self.targets[row])


class Brightness:
    """Embeds an image as a direction that turns with its brightness."""

    def load(self, device: torch.device) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image.convert("RGB"), np.float32))

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        angle = images.mean((1, 2, 3)) / 255 * np.pi / 2
        return torch.stack([angle.cos(), angle.sin()], 1)


class Teller(Looker):
    """Keeps what it is asked."""

    def answer(self, question: Any) -> Any:
        from harness_language.conversations import ModelAnswer

        return ModelAnswer("unknown")


@pytest.fixture
def ask(tmp_path):
    """Return a function that asks with some shots and returns, for each query's shade, the shades of its shots."""

    def ask(shots: int, **protocol: Any) -> dict[int, list[int]]:
        suite = {
            "name": "toy", "protocol": {"plugin": "answering", **protocol}, "models": ["teller"], "datasets": ["shades"],
            "metrics": ["exact-match"], "axes": {"shots": [shots]}, "seeds": [0],
        }  # fmt: skip
        (record,) = harness.run(suite, store=tmp_path / f"{shots}-{len(protocol)}", device="cpu").records
        assert record.status == "ok", record.reason
        found = {}
        for question in Looker.asked:
            shades = [int(np.asarray(image.decoded())[0, 0, 0]) for image in list_images(question)]
            answers = [turn.parts[0] for turn in question.turns if turn.role == "assistant"]
            assert [str(shade) for shade in shades[:-1]] == answers
            found[shades[-1]] = shades[:-1]
        return found

    with (
        registry.register_temporarily("models", "teller", Teller),
        registry.register_temporarily("models", "brightness", Brightness),
        registry.register_temporarily("datasets", "shades", Shades),
    ):
        yield ask


def test_the_most_similar_stands_last_and_the_query_is_out(ask):
    found = ask(3, selection="similar", embedder="brightness")
    for query, shades in found.items():
        distances = [abs(shade - query) for shade in shades]
        assert distances == sorted(distances, reverse=True)
    assert all(query not in shades for query, shades in found.items())
    assert found[5][-1] == 10
    assert found[235][-1] == 240


def test_random_shots_are_one_set_and_fewer_are_some_of_more(ask):
    two, four = ask(2), ask(4)
    assert len({tuple(shades) for shades in two.values()}) == 1
    assert len({tuple(shades) for shades in four.values()}) == 1
    assert next(iter(four.values()))[:2] == next(iter(two.values()))


def test_parts_of_a_shot_are_its_image_then_its_question(ask):
    ask(1)
    user = Looker.asked[0].turns[0]
    assert isinstance(user.parts[0], ImagePart)
    assert user.parts[1] == "How bright?"
