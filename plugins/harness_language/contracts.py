"""What suites may ask of a model that speaks: answers to conversations, and likelihoods of continuations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from harness import register_capability
from harness_language.conversations import ModelAnswer, Question


@register_capability("answers conversations", choose="chat-endpoint, hf-image-text or tiny-mllm")
@runtime_checkable
class AnswersConversations(Protocol):
    """A model that answers questions with texts and images.

    `generate` returns one answer per question, in the order of the questions, an empty list for none, and the
    likeliest answer unless the model's options say otherwise. A question that can't be answered gets a `ModelAnswer`
    that says so, never a text. Raises DataError, naming the question, for more images than it takes; and
    `harness_language.budgets.OutOfBudget` if a budget is spent.

    Optional attributes:
        sees_images: bool, True if absent; a model with False leaves images out (`drop_images`), and its
            `remarks` say so.
        max_images: most images of one question; None or absent: any number.
        identity: after `load`, a dict of what decides the answers (weights or name with revision, generation
            parameters, preparation of images); neither address nor key. Kept answers are found by it.
    """

    def generate(self, questions: Sequence[Question]) -> list[ModelAnswer]: ...


class ContinuationScore(NamedTuple):
    """How likely a continuation is: the sum of its tokens' log-probabilities in nats, and their number.

    `greedy` tells whether every token of it was the likeliest one, so that the model would have said just that.
    """

    total: float
    tokens: int
    greedy: bool


@register_capability("scores continuations", choose="hf-image-text, hf-chat or tiny-mllm")
@runtime_checkable
class ScoresContinuations(Protocol):
    """A model that says how likely given texts are as the beginning of its next turn.

    `loglikelihood` gets as many sequences of continuations as questions, and returns a score for each in the same
    order. A continuation includes the blank it starts with, if any.
    """

    def loglikelihood(
        self, questions: Sequence[Question], continuations: Sequence[Sequence[str]]
    ) -> list[list[ContinuationScore]]: ...
