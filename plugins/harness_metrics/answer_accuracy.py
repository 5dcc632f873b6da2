"""Accuracy of free answers: VQA accuracy, ANLS, exact match."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness import DataError, OptionError
from harness_metrics.answer_normalisation import normalise_answer, normalised_similarity
from harness_metrics.answers import Answered, require_answers

FEWEST_ANNOTATORS = 4
"""With fewer, even an answer that all of them gave would not be counted as right."""


class VqaAccuracy:
    """VQA accuracy: the mean over all leave-one-out sets of human answers of min(matches / 3, 1).

    With ten answers, 0, 1, 2, 3 and 4 equal ones give 0, 0.3, 0.6, 0.9 and 1. Both sides are normalised by the
    published rules (`harness_metrics.answer_normalisation`). Source: Antol et al., ICCV 2015; Goyal et al., CVPR 2017.
    """

    title = "VQA accuracy"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return each answer's accuracy, N. Raises DataError for fewer than four human answers to a question."""
        values = np.zeros(len(answers))
        for row, references in enumerate(answers.references):
            if len(references) < FEWEST_ANNOTATORS:
                raise DataError(
                    f"vqa-accuracy: question '{answers.ids[row]}' has {len(references)} reference answers; it is "
                    f"defined from {FEWEST_ANNOTATORS} on (VQA has ten): use exact-match"
                )
            said = _read_answer(answers, row)
            if said is not None:
                values[row] = score_vqa_answer(said, references)
        return values

    def __call__(self, answers: Answered) -> float:
        """Return the mean accuracy as a fraction."""
        return float(self.per_sample(require_answers(answers, "vqa-accuracy")).mean())


def score_vqa_answer(said: str, references: Sequence[str]) -> float:
    """Return the VQA accuracy of one answer against all human answers to its question."""
    normal = normalise_answer(said)
    equal = [normalise_answer(reference) == normal for reference in references]
    return sum(min((sum(equal) - own) / 3, 1.0) for own in equal) / len(equal)


class Anls:
    """Average normalised Levenshtein similarity: 1 − NL to the nearest reference if NL is below a threshold, else 0.

    NL is the edit distance divided by the length of the longer text; case and repeated blanks are ignored.
    Source: Biten et al., "Scene Text Visual Question Answering", ICCV 2019.

    Args:
        threshold: the NL from which on an answer counts nothing.
    """

    title = "ANLS"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, threshold: float = 0.5) -> None:
        """Store the options. Raises OptionError for a threshold outside (0, 1]."""
        if not 0 < threshold <= 1:
            raise OptionError(f"anls: threshold is {threshold}, expected a number above 0, at most 1")
        self.threshold = threshold

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return each answer's similarity to the nearest reference, N. Raises DataError for a question without one."""
        values = np.zeros(len(answers))
        for row in range(len(answers)):
            references = _list_references(answers, row, "anls")
            said = _read_answer(answers, row)
            if said is None:
                continue
            folded = _fold_blanks(said)
            best = max(normalised_similarity(folded, _fold_blanks(reference)) for reference in references)
            values[row] = best if 1 - best < self.threshold else 0.0
        return values

    def __call__(self, answers: Answered) -> float:
        """Return the mean similarity as a fraction."""
        return float(self.per_sample(require_answers(answers, "anls")).mean())


class ExactMatch:
    """The share of answers that equal one of the references, or the right choice.

    Args:
        normalise: compare after normalisation by VQA's rules (case, punctuation, articles, number words); else only
            surrounding blanks are ignored.
    """

    title = "Exact match"
    higher_is_better = True
    bounds = (0.0, 1.0)
    unit = "fraction"

    def __init__(self, normalise: bool = True) -> None:
        """Store the options."""
        self.normalise = normalise

    def per_sample(self, answers: Answered) -> NDArray[np.float64]:
        """Return 1 for a match, else 0; N. Raises DataError for a question without a reference."""
        form = normalise_answer if self.normalise else str.strip
        values = np.zeros(len(answers))
        for row in range(len(answers)):
            references = _list_references(answers, row, "exact-match")
            said = _read_answer(answers, row)
            # an answer that normalises to nothing, such as "the", equals no other that does
            values[row] = said is not None and (form(said) or said) in {form(r) or r for r in references}
        return values

    def __call__(self, answers: Answered) -> float:
        """Return the share as a fraction."""
        return float(self.per_sample(require_answers(answers, "exact-match")).mean())


def _read_answer(answers: Answered, row: int) -> str | None:
    """Return what was read from an answer, or None if it can't be right: refused, truncated, failed, unparsed."""
    return answers.extracted[row] if answers.outcomes[row] == "ok" else None


def _list_references(answers: Answered, row: int, metric: str) -> tuple[str, ...]:
    if not (references := answers.list_accepted(row)):
        raise DataError(f"{metric}: question '{answers.ids[row]}' has neither a reference nor a right choice")
    return references


def _fold_blanks(text: str) -> str:
    return " ".join(text.lower().split())
