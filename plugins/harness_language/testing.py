"""The checks of conversations as a pytest class, for the tests of the package that a model comes from.

class TestMyModel(ConversationConformance):
    @pytest.fixture
    def model(self):
        return MyModel()
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from harness.testing import ModelConformance, NotChecked
from harness_language import conversation_checks as checks
from harness_language.conversations import Question


class ConversationConformance(ModelConformance):
    """Checks of a model that answers conversations, beside those of any model. Greedy answers are expected.

    The fixture `model` returns an unloaded instance; `questions`, questions to ask it, by default `draw_questions`.
    """

    @pytest.fixture
    def questions(self, subject: Any) -> Sequence[Question]:
        """Questions within the model's limit of images."""
        return checks.draw_questions(getattr(subject.model, "max_images", None))

    def test_answers_in_order(self, subject: Any, questions: Sequence[Question]) -> None:
        """Answers come in the order of the questions, the same each time."""
        checks.check_answers_in_order(subject.model, questions)

    def test_batch_equals_single(self, subject: Any, questions: Sequence[Question]) -> None:
        """A question has the same answer alone as among others."""
        checks.check_batch_equals_single(subject.model, questions)

    def test_empty_list(self, subject: Any) -> None:
        """No questions have no answers."""
        checks.check_empty_list(subject.model)

    def test_image_limit(self, subject: Any) -> None:
        """Too many images are refused by the question's name."""
        _skip_unchecked(checks.check_image_limit, subject.model)

    def test_lengths(self, subject: Any, questions: Sequence[Question]) -> None:
        """An answer ends at its limits."""
        checks.check_lengths(subject.model, questions)

    def test_identity(self, subject: Any) -> None:
        """What decides the answers can be written down."""
        _skip_unchecked(checks.check_identity, subject.model)

    def test_scores(self, subject: Any, questions: Sequence[Question]) -> None:
        """Scores are log-probabilities, in any order the same."""
        _skip_unchecked(checks.check_continuation_scores, subject.model, questions)

    def test_sees_images(self, subject: Any, questions: Sequence[Question]) -> None:
        """Images count if, and only if, the model sees them."""
        _skip_unchecked(checks.check_sees_images, subject.model, questions)


def _skip_unchecked(check: Any, *given: Any) -> None:
    __tracebackhide__ = True
    try:
        check(*given)
    except NotChecked as reason:
        pytest.skip(str(reason))
