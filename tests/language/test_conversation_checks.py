"""The checks of the contract: the endpoint keeps it, and models with planted faults do not."""

from __future__ import annotations

import hashlib

import pytest

from harness import DataError
from harness.testing import NotChecked, Violation
from harness_language import conversation_checks as checks
from harness_language.contracts import ContinuationScore
from harness_language.conversations import ModelAnswer, count_images, drop_images, render_question
from harness_language.endpoint_model import ChatEndpoint
from harness_language.testing import ConversationConformance


class TestChatEndpoint(ConversationConformance):
    @pytest.fixture
    def model(self, lasting_server, tmp_path):
        options = {"likelihood": "first-token", "max_images": 3, "replay": "off"}
        return ChatEndpoint("m", lasting_server.address, log=tmp_path, **options)


class Sound:
    """Answers with words and scores that all it sees decides."""

    max_images = 3
    sees_images = True
    identity = {"model": "sound"}  # noqa: RUF012

    def generate(self, questions):
        for question in questions:
            if count_images(question) > self.max_images:
                raise DataError(f"question '{question.id}' shows too many images")
        return [self.answer(question) for question in questions]

    def digest(self, question):
        seen = question if self.sees_images else drop_images(question)
        return hashlib.sha256(render_question(seen).encode()).hexdigest()

    def answer(self, question):
        digest = self.digest(question)
        words = ["A" if digest[0] < "8" else "B", *digest[1:]][: question.max_tokens]
        text = " ".join(words)
        for stop in question.stop:
            text = text.partition(stop)[0]
        return ModelAnswer(text, tokens_out=len(words))

    def loglikelihood(self, questions, continuations):
        return [
            [self.score(q, text) for text in texts] for q, texts in zip(questions, continuations, strict=True)
        ]

    def score(self, question, text):
        first = self.answer(question).text[0]
        return ContinuationScore(
            -0.1 - int(self.digest(question)[1], 16) / 99 - (text != first), 1, text == first
        )


CHECKS = [getattr(checks, name) for name in dir(checks) if name.startswith("check_")]


def run(check, model):
    needs_questions = "questions" in check.__code__.co_varnames[: check.__code__.co_argcount]
    return check(model, checks.draw_questions(3)) if needs_questions else check(model)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_model_keeps_the_contract(check):
    run(check, Sound())


class Reversed(Sound):
    def generate(self, questions):
        return super().generate(questions)[::-1]


class Shifted(Sound):
    def generate(self, questions):
        found = super().generate(questions)
        return found[1:] + found[:1]


class OfItsBatch(Sound):
    def generate(self, questions):
        return [ModelAnswer(f"{answer.text[:1]} {len(questions)}") for answer in super().generate(questions)]


class NoneForNone(Sound):
    def generate(self, questions):
        return super().generate(questions) or None


class Texts(Sound):
    def generate(self, questions):
        return [answer.text for answer in super().generate(questions)]


class Short(Sound):
    def generate(self, questions):
        return super().generate(questions)[:-1]


class Silent(Sound):
    def generate(self, questions):
        return [self.answer(question) for question in questions]


class Unnamed(Sound):
    def generate(self, questions):
        if any(count_images(question) > 3 for question in questions):
            raise DataError("too many images")
        return [self.answer(question) for question in questions]


class Endless(Sound):
    def answer(self, question):
        return ModelAnswer("A and so on", tokens_out=99)


class DeafToStops(Sound):
    def answer(self, question):
        return ModelAnswer("A and so on", tokens_out=1)


class Blind(Sound):
    """Says that it sees."""

    def digest(self, question):
        return super().digest(drop_images(question))


class Peeping(Sound):
    """Says that it is blind."""

    sees_images = False

    def digest(self, question):
        return hashlib.sha256(render_question(question).encode()).hexdigest()


class Growing(Sound):
    """Its cache grows from one continuation to the next."""

    def loglikelihood(self, questions, continuations):
        found = super().loglikelihood(questions, continuations)
        return [
            [score._replace(total=score.total - 0.01 * n) for n, score in enumerate(row)] for row in found
        ]


class Unlikely(Sound):
    def score(self, question, text):
        return super().score(question, text)._replace(total=0.5)


class Contradicting(Sound):
    def score(self, question, text):
        return super().score(question, text)._replace(greedy=True)


class Addressed(Sound):
    identity = {"address": "http://localhost:1/v1"}  # noqa: RUF012


@pytest.mark.parametrize(
    ("model", "check"),
    [
        (Reversed, "answers_in_order"), (Shifted, "answers_in_order"), (Texts, "answers_in_order"),
        (Short, "answers_in_order"), (OfItsBatch, "batch_equals_single"), (NoneForNone, "empty_list"),
        (Silent, "image_limit"), (Unnamed, "image_limit"), (Endless, "lengths"), (DeafToStops, "lengths"),
        (Blind, "sees_images"), (Peeping, "sees_images"), (Growing, "continuation_scores"), (Unlikely, "continuation_scores"),
        (Contradicting, "continuation_scores"), (Addressed, "identity"),
    ],
)  # fmt: skip
def test_planted_faults_are_found(model, check):
    with pytest.raises(Violation):
        run(getattr(checks, f"check_{check}"), model())


def test_what_cannot_be_checked_is_said():
    class Plain:
        def generate(self, questions):
            return [ModelAnswer("A") for _ in questions]

    for check in (
        checks.check_image_limit,
        checks.check_identity,
        checks.check_continuation_scores,
        checks.check_sees_images,
    ):
        with pytest.raises(NotChecked):
            run(check, Plain())
