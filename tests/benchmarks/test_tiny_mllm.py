"""What reading fixed shots once saves `tiny-mllm`: against a loop over questions, and against batches alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from harness_embedded import speaking_prompts
from harness_embedded.tiny_mllm import TinyMLLM
from harness_language.conversations import ImagePart, Question, Turn

SHOTS, QUERIES, OPTIONS = (
    8,
    48,
    ("circle", "square", "star", "cross", "ring", "heart", "moon", "house", "tree", "fish"),
)


@pytest.fixture
def model() -> TinyMLLM:
    found = TinyMLLM(steps=0)
    found.load(torch.device("cpu"))
    return found


@pytest.fixture
def questions(measuring: bool) -> list[Question]:
    rng = np.random.default_rng(0)
    count = QUERIES if measuring else 6
    images = [ImagePart(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)) for _ in range(SHOTS + count)]
    turns: list[Turn] = []
    for image in images[:SHOTS]:
        turns += [Turn("user", (image, "What shape is it?")), Turn("assistant", ("star",))]
    return [
        Question(f"q{n}", (*turns, Turn("user", (image, "What shape is it?"))), max_tokens=3)
        for n, image in enumerate(images[SHOTS:])
    ]


def test_generation_with_fixed_shots(
    model: TinyMLLM, questions: list[Question], one_thread: None, ratio: Callable[..., float], measuring: bool
) -> None:
    def loop() -> list[Any]:
        return [model.generate([question])[0] for question in questions]

    assert loop() == model.generate(questions)
    if measuring:
        assert ratio(loop, lambda: model.generate(questions), 3) > 1.5


def test_likelihoods_with_fixed_shots(
    model: TinyMLLM,
    questions: list[Question],
    one_thread: None,
    ratio: Callable[..., float],
    measuring: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against a loop over questions and options; and against batches that read the shots anew, but images once."""

    def loop() -> list[list[float]]:
        return [
            [model.loglikelihood([question], [[option]])[0][0].total for option in OPTIONS]
            for question in questions
        ]

    def score(least: int) -> list[list[float]]:
        monkeypatch.setattr(speaking_prompts, "LEAST_SHARED", least)
        found = model.loglikelihood(questions, [OPTIONS] * len(questions))
        return [[score.total for score in of_one] for of_one in found]

    assert np.allclose(score(10_000), score(16), atol=1e-4)
    assert np.allclose(loop(), score(16), atol=1e-4)
    if measuring:
        assert ratio(loop, lambda: score(16), 3) > 1.5
        assert ratio(lambda: score(10_000), lambda: score(16), 3) > 1.2
