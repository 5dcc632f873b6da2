"""Answers by likelihood: the choice that a model finds most likely as the beginning of its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness_language.conversations import ImagePart, Question
from harness_mllm.answering_options import Normalisation

BLANK = 127
"""Grey level of the image whose score "blank" subtracts."""


def score_choices(
    model: Any, questions: Sequence[Question], texts: Sequence[Sequence[str]], normalise: Normalisation
) -> list[NDArray[np.float64]]:
    """Return a score per choice of each question, in nats (per token or byte if normalised so).

    "sum" is the log-probability of the whole text, "token" and "byte" divide it by their number, and "blank"
    subtracts the log-probability under grey images, the pointwise mutual information with the images.
    """
    scores = model.loglikelihood(questions, texts)
    found = [np.array([score.total for score in own], np.float64) for own in scores]
    if normalise == "token":
        return [own / [max(s.tokens, 1) for s in given] for own, given in zip(found, scores, strict=True)]
    if normalise == "byte":
        return [
            own / [max(len(t.encode()), 1) for t in given] for own, given in zip(found, texts, strict=True)
        ]
    if normalise == "blank":
        blank = model.loglikelihood([blank_images(question) for question in questions], texts)
        return [own - [score.total for score in given] for own, given in zip(found, blank, strict=True)]
    return found


def blank_images(question: Question) -> Question:
    """Return the question with a grey image of the same size in place of each of its last turn."""
    last = question.turns[-1]
    parts = tuple(_make_blank(p) if isinstance(p, ImagePart) else p for p in last.parts)
    return replace(question, turns=(*question.turns[:-1], replace(last, parts=parts)))


def _make_blank(part: ImagePart) -> ImagePart:
    return ImagePart(Image.new("RGB", part.decoded().size, (BLANK, BLANK, BLANK)))
