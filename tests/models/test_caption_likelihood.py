"""Captions scored by a language model of transformers that sees no image, as `caption-choice` asks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from harness_language.conversations import Question, Turn
from harness_retrieval.choice_scoring import find_way, score_by_likelihood
from harness_transformers.chat_model import HfChat
from harness_transformers.image_text_model import HfImageText

CHOICES = [("a red circle", "a circle red"), ("a blue square or a circle", "a red circle", "square")]


def test_each_caption_has_its_log_likelihood_after_the_prompt(speaker: Callable[[str], Path]) -> None:
    model = HfChat(str(speaker("text")))
    assert find_way(model) == "likelihood"
    assert find_way(HfImageText(str(speaker("llava")))) is None
    model.load(torch.device("cpu"))
    job: Any = SimpleNamespace(model=model, advance=lambda done, total: None)
    scores = score_by_likelihood(job, CHOICES, "look.", "sum")
    per_token = score_by_likelihood(job, CHOICES, "look.", "token")
    question = Question("one", (Turn("user", ("look.",)),))
    for texts, own, each in zip(CHOICES, scores, per_token, strict=True):
        for text, total, mean in zip(texts, own, each, strict=True):
            ((alone,),) = model.loglikelihood([question], [[f" {text}"]])
            assert total == pytest.approx(alone.total, abs=1e-4)
            assert mean == pytest.approx(alone.total / alone.tokens, abs=1e-4)
    assert scores[0][0] == scores[1][1]  # the same caption
