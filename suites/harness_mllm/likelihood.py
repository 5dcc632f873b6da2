"""Answers by likelihood: the choice that a model finds most likely as the beginning of its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness import DataError
from harness_language.conversations import ImagePart, Question
from harness_mllm.answering_options import Normalisation

BLANK = 127
"""Grey level of the image whose score "blank" subtracts."""


def score_choices(
    model: Any, questions: Sequence[Question], texts: Sequence[Sequence[str]], normalise: Normalisation
) -> list[NDArray[np.float64]]:
    """Return a score per choice of each question, in nats (per token or byte if normalised so).

    "sum" is the log-probability of the whole text, "token" and "byte" divide it by their number, and "blank"
    subtracts the log-probability under grey images, the pointwise mutual information with the images. Raises
    DataError, naming the question, for scores that are missing or no numbers, and for a text whose likelihood under
    grey images is not known (servers list few tokens) while it is under the true ones.
    """
    scores = _ask_scores(model, questions, texts)
    found = [np.array([score.total for score in own], np.float64) for own in scores]
    if normalise == "token":
        return [own / [max(s.tokens, 1) for s in given] for own, given in zip(found, scores, strict=True)]
    if normalise == "byte":
        return [
            own / [max(len(t.encode()), 1) for t in given] for own, given in zip(found, texts, strict=True)
        ]
    if normalise == "blank":
        blank = _ask_scores(model, [blank_images(question) for question in questions], texts)
        grey = [np.array([score.total for score in given], np.float64) for given in blank]
        return [_subtract_blank(*one) for one in zip(questions, texts, found, grey, strict=True)]
    return found


def pick_likeliest(scores: Sequence[float] | NDArray[np.float64], choices: Sequence[str]) -> int | None:
    """Return the index of the highest score, or None if choices of different texts share it."""
    best = np.flatnonzero(np.asarray(scores) == np.max(scores)).tolist()
    return int(best[0]) if len({choices[n] for n in best}) == 1 else None


def _ask_scores(model: Any, questions: Sequence[Question], texts: Sequence[Sequence[str]]) -> list[list[Any]]:
    scores: list[list[Any]] = list(model.loglikelihood(questions, texts))
    if len(scores) != len(questions):
        raise DataError(f"the model scored {len(scores)} of {len(questions)} questions")
    for question, given, own in zip(questions, scores, texts, strict=True):
        if len(given) != len(own):
            raise DataError(
                f"question '{question.id}': the model scored {len(given)} of {len(own)} continuations"
            )
        if any(np.isnan(score.total) for score in given):
            raise DataError(f"question '{question.id}': a likelihood is not a number")
    return scores


def _subtract_blank(
    question: Question, texts: Sequence[str], own: NDArray[np.float64], grey: NDArray[np.float64]
) -> NDArray[np.float64]:
    known = np.isfinite(own)
    if (unknown := known & ~np.isfinite(grey)).any():
        raise DataError(
            f"question '{question.id}': the likelihood of {texts[int(unknown.argmax())]!r} under a blank image is not "
            "known: use another `normalise` than 'blank'"
        )
    return np.subtract(own, grey, out=np.full_like(own, -np.inf), where=known)


def blank_images(question: Question) -> Question:
    """Return the question with a grey image of the same size in place of each of its last turn."""
    last = question.turns[-1]
    parts = tuple(_make_blank(p) if isinstance(p, ImagePart) else p for p in last.parts)
    return replace(question, turns=(*question.turns[:-1], replace(last, parts=parts)))


def _make_blank(part: ImagePart) -> ImagePart:
    return ImagePart(Image.new("RGB", part.decoded().size, (BLANK, BLANK, BLANK)))
