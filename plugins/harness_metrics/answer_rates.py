"""The shares of answers that could not be read, were refused, were cut, or failed."""

from __future__ import annotations

from harness_metrics.answers import OUTCOMES, Answered, require_answers


class AnswerRates:
    """The shares of answers with each outcome but "ok": a wrong model and a mute one are told apart by them."""

    higher_is_better = False
    bounds = (0.0, 1.0)
    unit = "fraction"
    proportion = OUTCOMES[1:]
    title = {  # noqa: RUF012 (as the contract declares it)
        "unparsed": "Unparsed",
        "refused": "Refused",
        "truncated": "Truncated",
        "failed": "Failed",
    }

    def __call__(self, answers: Answered) -> dict[str, float]:
        """Return the share of each outcome as a fraction."""
        count = len(require_answers(answers, "answer-rates"))
        return {outcome: answers.outcomes.count(outcome) / count for outcome in OUTCOMES[1:]}
