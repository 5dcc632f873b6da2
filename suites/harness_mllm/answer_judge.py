"""The judge's work: comparisons in both orders, marks by criteria, and claims that are checked one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness import DataError, Job
from harness_language.conversations import ImagePart, ModelAnswer, Question, count_images
from harness_mllm.judge_prompts import (
    CHECKED,
    STATED,
    ask_to_check,
    ask_to_compare,
    ask_to_find,
    ask_to_mark,
    ask_to_split,
    read_claim_verdict,
    read_claims,
    read_mark,
    read_preference,
)
from harness_mllm.judged import UNREADABLE

if TYPE_CHECKING:
    from harness_mllm.judging_options import JudgingOptions


@dataclass(frozen=True)
class Case:
    """An answer to be judged, neither it nor what it is compared with empty; `reference` is "" if not shown."""

    id: str
    images: tuple[ImagePart, ...]
    question: str
    answer: str
    other: str = ""
    reference: str = ""


class JudgeVerdict(NamedTuple):
    """Verdicts on one answer, what the judge said, and the claims that were checked, if any."""

    verdicts: tuple[str, ...]
    said: tuple[str, ...]
    claims: tuple[str, ...] = ()


class AnswerJudge:
    """A judge with a protocol's options. Every question to it stands alone, so that no order of them counts."""

    def __init__(self, options: JudgingOptions, job: Job) -> None:
        self.options, self.job = options, job
        self.counts: Counter[str] = Counter()
        self.example: Question | None = None
        """The first question that the judge was asked."""

    def compare(self, cases: Sequence[Case]) -> list[JudgeVerdict]:
        """Return for each case what the judge says of the answer, shown first, and shown second."""
        own = self.options
        questions = [
            ask_to_compare(
                f"{case.id}#judge#{order}", case.images, case.question, pair, case.reference, own.guidance,
                own.verdict_tokens,
            )
            for case in cases
            for order, pair in enumerate([(case.answer, case.other), (case.other, case.answer)])
        ]  # fmt: skip
        said = self._ask(questions)
        meanings = [{"1": "win", "2": "loss", "tie": "tie"}, {"1": "loss", "2": "win", "tie": "tie"}]
        read = [meanings[n % 2].get(read_preference(a) or "", UNREADABLE) for n, a in enumerate(said)]
        texts = [_show(answer) for answer in said]
        return [JudgeVerdict(tuple(read[n : n + 2]), tuple(texts[n : n + 2])) for n in range(0, len(read), 2)]

    def mark(self, cases: Sequence[Case]) -> list[JudgeVerdict]:
        """Return for each case the mark by each criterion."""
        own, several = self.options, len(self.options.criteria)
        questions = [
            ask_to_mark(
                f"{case.id}#judge#{place}", case.images, case.question, case.answer, criterion, own.scale,
                case.reference, own.guidance, own.verdict_tokens,
            )
            for case in cases
            for place, criterion in enumerate(own.criteria)
        ]  # fmt: skip
        said = self._ask(questions)
        marks = [UNREADABLE if (m := read_mark(answer, own.scale)) is None else str(m) for answer in said]
        texts = [_show(answer) for answer in said]
        return [
            JudgeVerdict(tuple(marks[n : n + several]), tuple(texts[n : n + several]))
            for n in range(0, len(marks), several)
        ]

    def check(self, cases: Sequence[Case]) -> list[JudgeVerdict]:
        """Return for each case its answer's claims, and what the judge says of each and the images."""

        def ask(id: str, case: Case, claim: str) -> Question:
            return ask_to_check(id, case.images, claim, self.options.guidance, self.options.verdict_tokens)

        return self._check_claims(cases, [case.answer for case in cases], "claims", ask, CHECKED)

    def cover(self, cases: Sequence[Case]) -> list[JudgeVerdict]:
        """Return for each case its reference's claims (`other`), and whether the answer states each.

        An answer that is empty states none, which the judge is not asked.
        """

        def ask(id: str, case: Case, claim: str) -> Question:
            return ask_to_find(id, case.answer, claim, self.options.verdict_tokens)

        return self._check_claims(cases, [case.other for case in cases], "reference", ask, STATED)

    def _check_claims(
        self, cases: Sequence[Case], texts: Sequence[str], what: str, ask: Callable[[str, Case, str], Question],
        known: Sequence[str],
    ) -> list[JudgeVerdict]:  # fmt: skip
        tokens = (
            self.options.asking.max_tokens + self.options.verdict_tokens
        )  # a list is longer than its text
        splits = [
            ask_to_split(f"{case.id}#{what}", case.question, text, tokens)
            for case, text in zip(cases, texts, strict=True)
        ]
        split = self._ask(splits)
        claims = [read_claims(answer) for answer in split]
        asked = [
            (row, ask(f"{case.id}#{what}#{place}", case, claim))
            for row, (case, own) in enumerate(zip(cases, claims, strict=True))
            for place, claim in enumerate(own or ())
            if case.answer
        ]
        said: list[list[ModelAnswer]] = [[] for _ in cases]
        for (row, _), answer in zip(asked, self._ask([question for _, question in asked]), strict=True):
            said[row].append(answer)
        found = []
        for case, listed, own, answers in zip(cases, split, claims, said, strict=True):
            verdicts = [read_claim_verdict(answer, known) or UNREADABLE for answer in answers]
            if own is None:
                verdicts = [UNREADABLE]
            elif not case.answer:
                verdicts = [known[-1]] * len(own)
            texts_said = (_show(listed), *map(_show, answers))
            found.append(JudgeVerdict(tuple(verdicts), texts_said, tuple(own or ())))
        return found

    def _ask(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        """Return the judge's answers. Raises DataError if it gives another number of them."""
        answers: list[ModelAnswer] = []
        total = len(questions)
        if questions and self.example is None:
            self.example = questions[0]
        for at in range(0, total, self.options.at_once):
            part = questions[at : at + self.options.at_once]
            given = self.job.model.generate(part)
            if len(given) != len(part):
                raise DataError(f"the judge gave {len(given)} answers to {len(part)} questions")
            answers += given
            self.job.advance(at + len(part), total)
        self.counts["judge_calls"] += total
        self.counts["judge_images"] += sum(count_images(question) for question in questions)
        self.counts["judge_tokens_in"] += sum(answer.tokens_in for answer in answers)
        self.counts["judge_tokens_out"] += sum(answer.tokens_out for answer in answers)
        return answers


def _show(answer: ModelAnswer) -> str:
    """Return what a judge said, for the record, with its status if it is not "ok"."""
    told = " ".join(text for text in (answer.text, answer.reason) if text)
    return told if answer.status == "ok" else f"[{answer.status}] {told}".strip()
