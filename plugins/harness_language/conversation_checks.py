"""Checks that a loaded model keeps the contract of conversations: each returns, or raises Violation or NotChecked."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from harness import DataError, has
from harness.testing import NotChecked, Violation
from harness_language.contracts import ScoresContinuations
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn, count_images

LETTERS = ("A", "B")
"""Continuations of one token with about every tokenizer."""


def draw_questions(images: int | None = None) -> list[Question]:
    """Return questions of several lengths, with 0 to 3 images, at most `images` each; the same every time."""
    rng = np.random.default_rng(19)
    pictures = [ImagePart(rng.integers(0, 256, (24 + 8 * n, 32, 3), dtype=np.uint8)) for n in range(4)]
    shots = (
        Turn("user", (pictures[0], "What is this? A or B?")), Turn("assistant", ("A",)),
        Turn("user", (pictures[1], "And what is this?")),
    )  # fmt: skip
    found = [
        Question("text", (Turn("user", ("Say A or B.",)),), max_tokens=8),
        Question("image", (Turn("user", (pictures[2], "What is this? A or B?")),), max_tokens=8),
        Question("text first", (Turn("user", ("Look: ", pictures[3], " A or B?")),), max_tokens=5),
        Question("shot", shots, max_tokens=8),
        Question("system", (Turn("system", ("Answer in one letter. " * 6,)), *shots), max_tokens=3),
        Question("three", (Turn("user", (*pictures[:3], "Which differs?")),), max_tokens=8),
    ]
    return [question for question in found if images is None or count_images(question) <= images]


def check_answers_in_order(model: Any, questions: Sequence[Question]) -> None:
    """Answers come as `ModelAnswer`s, one per question, in the order of the questions, the same each time."""
    found = _generate(model, questions)
    again = _generate(model, questions)
    _expect_equal(found, again, questions, "the same answers to the same questions", "two calls")
    expected = "answers in the order of the questions"
    backwards = _generate(model, questions[::-1])[::-1]
    _expect_equal(found, backwards, questions, expected, "the order reversed")
    turned = _generate(model, [*questions[1:], *questions[:1]])
    _expect_equal(found, [*turned[-1:], *turned[:-1]], questions, expected, "the first one last")


def check_batch_equals_single(model: Any, questions: Sequence[Question]) -> None:
    """A question has the same answer alone as among others (padding on the wrong side shows here)."""
    alone = [answer for question in questions for answer in _generate(model, [question])]
    together = _generate(model, questions)
    _expect_equal(
        together, alone, questions, "a question to have the same answer alone and in a batch", "alone"
    )


def check_empty_list(model: Any) -> None:
    """No questions have no answers."""
    if (found := model.generate([])) != []:
        raise Violation(
            "generate([]) to return []", repr(found), "A cell may have answered all its questions before."
        )


def check_image_limit(model: Any) -> None:
    """More images than `max_images` are refused before anything runs, in a message that names the question."""
    most = getattr(model, "max_images", None)
    if most is None:
        raise NotChecked("the model states no `max_images`")
    picture = ImagePart(np.zeros((16, 16, 3), np.uint8))
    crowded = Question("the crowded one", (Turn("user", (*[picture] * (most + 1), "?")),))
    fitting = Question("the fitting one", (Turn("user", (*[picture] * most, "?")),), max_tokens=1)
    _generate(model, [fitting])
    expected = f"a DataError that names the question with {most + 1} images, where `max_images` is {most}"
    why = "An image that is left out silently is a wrong answer that nobody can explain."
    try:
        found: object = model.generate([fitting, crowded])
    except DataError as error:
        if crowded.id in str(error):
            return
        found = str(error)
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    raise Violation(expected, found, why)


def check_lengths(model: Any, questions: Sequence[Question]) -> None:
    """An answer ends at `max_tokens` and before a stop text."""
    for question, answer in zip(questions, _generate(model, questions), strict=True):
        if answer.tokens_out > question.max_tokens:
            raise Violation(
                f"at most {question.max_tokens} new tokens (question '{question.id}')",
                answer.tokens_out,
                "Budgets and published protocols count on it.",
            )
        if len(answer.text.strip()) < 3:
            continue
        stop = answer.text.strip()[1:3]
        (stopped,) = _generate(model, [replace(question, stop=(stop,))])
        if stop in stopped.text or not answer.text.startswith(stopped.text):
            raise Violation(
                f"the answer {answer.text!r} cut before its stop text {stop!r}",
                repr(stopped.text),
                "What follows a stop text is another turn, and would be taken for the answer.",
            )


def check_identity(model: Any) -> None:
    """After `load`, `identity` can be written as JSON, and holds no address."""
    identity = getattr(model, "identity", None)
    if identity is None:
        raise NotChecked("the model states no `identity`")
    try:
        text = json.dumps(identity, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise Violation(
            "`identity` to be a dict of JSON values", error, "Keys of kept answers come of it."
        ) from None
    if "http://" in text or "https://" in text:
        raise Violation(
            "no address in `identity`", text, "A server that moves would be asked everything again."
        )


def check_continuation_scores(model: Any, questions: Sequence[Question]) -> None:
    """Scores are log-probabilities in the order of questions and continuations; the greedy one is what is answered."""
    if not has(model, ScoresContinuations):
        raise NotChecked("the model does not score continuations")
    there = model.loglikelihood(questions, [LETTERS] * len(questions))
    back = model.loglikelihood(questions[::-1], [LETTERS[::-1]] * len(questions))
    if [len(scores) for scores in there] != [len(LETTERS)] * len(questions):
        raise Violation("a score for each continuation of each question", there, "Ranking needs all of them.")
    for question, one, other in zip(questions, there, back[::-1], strict=True):
        for letter, score, turned in zip(LETTERS, one, other[::-1], strict=True):
            where = f"{letter!r} after question '{question.id}'"
            if not (score.total <= 1e-6 and score.tokens >= 1):
                raise Violation(
                    f"a log-probability of {where}", score, "It is a sum of logarithms of shares."
                )
            if not (score.total == turned.total or math.isclose(score.total, turned.total, abs_tol=1e-3)):
                raise Violation(
                    f"the same score of {where} in any order",
                    f"{score.total} and {turned.total}",
                    "A cache that grew with one continuation was used for the next.",
                )
            if score.greedy and score.tokens == 1:
                (answer,) = _generate(model, [replace(question, max_tokens=1, stop=(), choices=None)])
                if answer.text.strip() != letter:
                    raise Violation(
                        f"the answer {letter!r} to '{question.id}', since its score says `greedy`",
                        repr(answer.text),
                        "Likelihood and generation must be of the same prompt.",
                    )


def check_sees_images(model: Any, questions: Sequence[Question]) -> None:
    """A model that sees images answers, or scores, differently where the image differs; a blind one does not."""
    seen = bool(getattr(model, "sees_images", True))
    changed = [_invert_images(question) for question in questions if count_images(question)]
    asked = [question for question in questions if count_images(question)]
    same = [a.text for a in _generate(model, asked)] == [a.text for a in _generate(model, changed)]
    if has(model, ScoresContinuations):
        pairs = (model.loglikelihood(some, [LETTERS] * len(some)) for some in (asked, changed))
        same = same and all(a == b for a, b in zip(*pairs, strict=True))
    if seen and same and not has(model, ScoresContinuations):
        raise NotChecked(
            "the texts of the answers are the same with other images, and it has no scores to compare"
        )
    if seen == same:
        raise Violation(
            "answers or scores that depend on the images"
            if seen
            else "answers that ignore the images, for a blind model",
            "the same with other images" if same else "others with other images",
            "A projection that is zero, or images that never reach the network, look like a weak model.",
        )


def _invert_images(question: Question) -> Question:
    turns = [
        replace(
            turn,
            parts=tuple(
                p if isinstance(p, str) else ImagePart(255 - np.asarray(p.decoded(), np.uint8))
                for p in turn.parts
            ),
        )
        for turn in question.turns
    ]
    return replace(question, turns=tuple(turns))


def _generate(model: Any, questions: Sequence[Question]) -> list[ModelAnswer]:
    found = model.generate(list(questions))
    if not (isinstance(found, list) and all(isinstance(answer, ModelAnswer) for answer in found)):
        raise Violation(
            "generate to return a list of ModelAnswers", repr(found)[:200], "The suites read them."
        )
    if len(found) != len(questions):
        raise Violation(
            f"{len(questions)} answers", len(found), "Answers belong to questions by their place."
        )
    return found


def _expect_equal(
    found: Sequence[ModelAnswer],
    other: Sequence[ModelAnswer],
    questions: Sequence[Question],
    expected: str,
    between: str,
) -> None:
    for question, one, two in zip(questions, found, other, strict=True):
        if (one.text, one.status) != (two.text, two.status):
            raise Violation(
                expected,
                f"{one.text!r} ({one.status}) and, {between}, {two.text!r} ({two.status}) to '{question.id}'",
                "The batch and its order are no part of a cell's id, and must not decide its result.",
            )
