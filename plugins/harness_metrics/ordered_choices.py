"""Metrics of answers whose choices are ordered, such as bins of a number: ±1 accuracy and quadratic kappa."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from harness import DataError
from harness_metrics.answers import Answered, require_answers


def place_answers(answers: Answered, metric: str) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the given and the right place among the ordered choices, N each, and the number of choices.

    An answer that is not "ok" has the place −1. Turned choices (`orders`) are turned back. Raises DataError, naming
    the metric, for a question without a right choice, and for questions with different numbers of choices.
    """
    counts = {len(choices) for choices in answers.choices}
    if len(counts) != 1:
        raise DataError(f"{metric}: questions have different numbers of choices, which are no bins")
    count = counts.pop()
    given = np.full(len(answers), -1, np.int64)
    right = np.empty(len(answers), np.int64)
    for row, (choices, place) in enumerate(zip(answers.choices, answers.right, strict=True)):
        if place is None:
            raise DataError(f"{metric}: question '{answers.ids[row]}' has no right choice")
        right[row] = (place + answers.orders[row]) % count
        said = answers.extracted[row]
        if answers.outcomes[row] == "ok" and said is not None:
            given[row] = (choices.index(said) + answers.orders[row]) % count
    return given, right, count


class WithinOne:
    """The share of answers at most one bin from the right one; what can't be read is wrong."""

    title = "±1 bin accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for an answer at most one bin away, else 0; N."""
        given, right, _ = place_answers(answers, "within-one")
        return np.asarray((given >= 0) & (np.abs(given - right) <= 1), np.float64)

    def __call__(self, answers: Answered) -> float:
        """Return the share as a fraction. Raises DataError for choices that can't be bins."""
        return float(self.per_sample(require_answers(answers, "within-one")).mean())


class QuadraticKappa:
    """Cohen's kappa with quadratic weights between given and right bins (by scikit-learn).

    An answer that can't be read counts as the bin farthest from the right one, so that silence is never of use.
    Undefined, and so refused, if all given and right bins are one and the same.
    """

    title = "Quadratic κ"
    higher_is_better = True
    bounds = (-1.0, 1.0)

    def __call__(self, answers: Answered) -> float:
        """Return kappa. Raises DataError for choices that can't be bins, and where kappa is undefined."""
        from sklearn.metrics import cohen_kappa_score

        given, right, count = place_answers(require_answers(answers, "quadratic-kappa"), "quadratic-kappa")
        farthest = np.where(right >= count / 2, 0, count - 1)
        given = np.where(given < 0, farthest, given)
        if len({*given.tolist(), *right.tolist()}) < 2:
            raise DataError(
                "quadratic-kappa: all answers and all right choices are one bin, so it is not defined"
            )
        return float(cohen_kappa_score(right, given, labels=list(range(count)), weights="quadratic"))
