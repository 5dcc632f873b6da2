"""Accuracy of answers to questions with choices: each on its own, and over all orders of the choices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_metrics.answers import Answered, require_answers

GroupKey = TypeVar("GroupKey", bound=Hashable)


class ChoiceAccuracy:
    """The share of questions with choices whose right choice was given; what can't be read is wrong."""

    title = "Choice accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for a right answer, else 0; N. Raises DataError for a question without a right choice."""
        return judge_choices(answers, "choice-accuracy")

    def __call__(self, answers: Answered) -> float:
        """Return the share as a fraction."""
        return float(self.per_sample(require_answers(answers, "choice-accuracy")).mean())


class CircularAccuracy:
    """Accuracy over questions that are asked in several orders of their choices: right only if right in every order.

    Its unit is a question with a prompt, not an answer, and so is the unit of its intervals and tests: `per_sample`
    holds the question's value in each of its rows. Source: MMBench (Liu et al., ECCV 2024).
    """

    title = "Circular accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return the value of its question in each row, N."""
        unit, value = self._judge_questions(answers)
        found: NDArray[np.float64] = value[unit]
        return found

    def __call__(self, answers: Answered) -> float:
        """Return the share of questions as a fraction. Raises DataError for a question asked in one order only."""
        return float(self._judge_questions(require_answers(answers, "circular-accuracy"))[1].mean())

    def _judge_questions(self, answers: Answered) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the question of each row, and 1 or 0 for each question."""
        right = judge_choices(answers, "circular-accuracy")
        unit, keys = number_groups(list(zip(answers.ids, answers.prompts, strict=True)))
        rows = np.bincount(unit)
        if len(rows) and rows.min() < 2:
            name = keys[int(rows.argmin())][0]
            raise DataError(
                f"circular-accuracy: question '{name}' was asked in one order of its choices only; ask it in all"
            )
        return unit, (np.bincount(unit, weights=right) == rows).astype(np.float64)


def judge_choices(answers: Answered, metric: str) -> NDArray[np.float64]:
    """Return 1 where the right choice was given, else 0; N.

    Raises DataError, naming the metric, for a question without choices or without a right one.
    """
    values = np.zeros(len(answers))
    for row, (choices, right) in enumerate(zip(answers.choices, answers.right, strict=True)):
        if right is None:
            lacks = "no choices" if not choices else "no right choice"
            raise DataError(f"{metric}: question '{answers.ids[row]}' has {lacks}")
        values[row] = answers.outcomes[row] == "ok" and answers.extracted[row] == choices[right]
    return values


def number_groups(keys: Sequence[GroupKey]) -> tuple[NDArray[np.intp], list[GroupKey]]:
    """Return the number of each key's group, by first appearance, and the different keys."""
    number: dict[GroupKey, int] = {}
    unit = np.array([number.setdefault(key, len(number)) for key in keys], np.intp)
    return unit, list(number)
