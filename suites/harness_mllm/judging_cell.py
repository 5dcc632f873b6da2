"""One cell of the protocol `judging`: the student's answers, the judge's verdicts, canaries, and the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness import Job, Result
from harness.inference.evaluate import measure_samples
from harness.learning.draws import rank_for_draw
from harness_language.conversations import ImagePart, ModelAnswer, render_question
from harness_metrics.answers import Answered
from harness_mllm.answer_judge import AnswerJudge, Case, JudgeVerdict
from harness_mllm.answering_cell import AnsweringCell
from harness_mllm.canaries import try_canaries
from harness_mllm.evidence_kinds import keep_readers, measure_kinds
from harness_mllm.judged import Judged
from harness_mllm.judged_numbers import summarise_verdicts
from harness_mllm.judging_options import name_criterion
from harness_mllm.questions import Item

if TYPE_CHECKING:
    from harness_mllm.judging_options import JudgingOptions

NOTHING = JudgeVerdict((), ())


@dataclass(frozen=True)
class Given:
    """What one model answered to all questions: its texts (empty without an answer), and which are right, if known."""

    answers: Sequence[ModelAnswer]
    answered: Answered
    texts: Sequence[str]
    right: Sequence[bool | None]


class JudgingCell:
    """The answers and verdicts of one cell. Raises DataError for samples that can't be asked about."""

    def __init__(self, options: JudgingOptions, job: Job) -> None:
        self.options, self.job = options, job
        self.asking = AnsweringCell(options.asking, job)
        self.items: list[Item] = [one.item for one in self.asking.asked]
        self.judge = AnswerJudge(options, job.at(options.judge))
        student, judge = job.cell.model, self.judge.job.cell.model
        if student is not None and judge is not None and student.identity == judge.identity:
            job.remark("the judge is the student itself: models tend to prefer their own answers")

    def result(self) -> Result:
        """Let the student answer and the judge judge, and measure both."""
        began = time.perf_counter()
        student = collect_answers(self.asking)
        others, others_right = self._list_others()
        cases = self._list_cases(student, others)
        verdicts, found = self._judge(cases)
        judged = self._collect(student, others, others_right, verdicts, found)
        criteria = [name_criterion(text) for text in self.options.criteria]
        numbers, columns = summarise_verdicts(judged, criteria)
        numbers |= self._try_canaries(cases, verdicts)
        evidence = {"": student.answered, "judged": judged}
        metrics = numbers | measure_kinds(self.job, evidence)
        seconds = time.perf_counter() - began
        count = len(self.items)
        return Result(
            metrics, count=count, samples=self._list_samples(student, judged, verdicts, found) | columns,
            cost={"questions": count, "questions_per_second": count / max(seconds, 1e-9), **self.judge.counts},
            notes=self._describe(), evidence=evidence,
        )  # fmt: skip

    def _list_others(self) -> tuple[list[str], list[bool | None]]:
        """Return what each answer is compared with (or its reference), and whether it is right, if known."""
        if self.options.opponent is None:
            known = [None if item.target.right is None else True for item in self.items]
            return [item.answer for item in self.items], known
        given = collect_answers(AnsweringCell(self.options.asking, self.job.at(self.options.opponent)))
        return list(given.texts), list(given.right)

    def _list_cases(self, student: Given, others: Sequence[str]) -> list[Case]:
        own = self.options
        return [
            Case(
                item.id, list_shown_images(item) if own.show_images else (), item.question, text, other,
                item.answer if own.show_reference else "",
            )
            for item, text, other in zip(self.items, student.texts, others, strict=True)
        ]  # fmt: skip

    def _judge(self, cases: Sequence[Case]) -> tuple[list[JudgeVerdict], list[JudgeVerdict]]:
        """Return the verdicts on each answer, and those on the claims of its reference."""
        how = self.options.how
        ask = {"compare": self.judge.compare, "rubric": self.judge.mark, "claims": self.judge.check}[how]
        rows = [row for row, case in enumerate(cases) if case.answer and (case.other or how != "compare")]
        without = JudgeVerdict(("1",) * len(self.options.criteria), ()) if how == "rubric" else NOTHING
        verdicts = [without] * len(cases)
        for row, verdict in zip(rows, ask([cases[row] for row in rows]), strict=True):
            verdicts[row] = verdict
        found = self.judge.cover(cases) if how == "claims" else [NOTHING] * len(cases)
        if mute := sum(not case.answer for case in cases):
            meaning = {"compare": "never win", "rubric": "have the lowest marks", "claims": "cover nothing"}[
                how
            ]
            self.job.remark(f"{mute} of {len(cases)} questions have no answer, and {meaning}")
        return verdicts, found

    def _collect(
        self, student: Given, others: Sequence[str], others_right: Sequence[bool | None],
        verdicts: Sequence[JudgeVerdict], found: Sequence[JudgeVerdict],
    ) -> Judged:  # fmt: skip
        return Judged(
            how=self.options.how, scale=self.options.scale if self.options.how == "rubric" else 0,
            ids=[item.id for item in self.items], groups=[item.group for item in self.items], answers=student.texts,
            others=others, verdicts=[one.verdicts for one in verdicts], claims=[one.claims for one in verdicts],
            found=[one.verdicts for one in found], right=student.right, others_right=others_right,
        )  # fmt: skip

    def _try_canaries(self, cases: Sequence[Case], verdicts: Sequence[JudgeVerdict]) -> dict[str, float]:
        """Return the canaries' numbers, of answers that the seed and their ids choose."""
        order = rank_for_draw([case.id for case in cases], self.job.cell.seed, "canaries")
        rows = [int(row) for row in order if cases[int(row)].answer][: self.options.canaries]
        if not rows:
            reason = (
                "none were asked for" if not self.options.canaries else "there is no answer to make one of"
            )
            self.job.remark(f"the judge was tried by no canaries: {reason}")
            return {}
        return try_canaries(self.judge, [cases[row] for row in rows], [verdicts[row] for row in rows])

    def _list_samples(
        self, student: Given, judged: Judged, verdicts: Sequence[JudgeVerdict], found: Sequence[JudgeVerdict]
    ) -> dict[str, Any]:
        groups = list(judged.groups)
        columns: dict[str, Any] = {"id": list(judged.ids)}
        if len(set(groups)) < len(groups):
            columns["cluster"] = groups
        columns |= {
            "question": [render_question(one.question) for one in self.asking.asked],
            "answer": list(judged.answers), "outcome": list(student.answered.outcomes),
            "other": list(judged.others), "reason": [answer.reason for answer in student.answers],
        }  # fmt: skip
        if judged.how == "compare":
            columns |= {
                "verdict": [judged.decide(row) for row in range(len(judged))],
                "shown_first": [v.verdicts[0] if v.verdicts else "" for v in verdicts],
                "shown_second": [v.verdicts[1] if v.verdicts else "" for v in verdicts],
                "judge_first": [v.said[0] if v.said else "" for v in verdicts],
                "judge_second": [v.said[1] if v.said else "" for v in verdicts],
            }
        else:
            columns["verdicts"] = ["; ".join(v.verdicts) for v in verdicts]
            columns["judge"] = ["\n\n".join(v.said) for v in verdicts]
        if judged.how == "claims":
            columns |= {
                "claims_checked": ["\n".join(v.claims) for v in verdicts],
                "reference_claims": ["\n".join(v.claims) for v in found],
                "reference_verdicts": ["; ".join(v.verdicts) for v in found],
                "judge_of_reference": ["\n\n".join(v.said) for v in found],
            }
        return columns | measure_samples(keep_readers(self.job, student.answered), student.answered)

    def _describe(self) -> dict[str, Any]:
        """Return what decided questions and verdicts, for the record."""
        example = self.judge.example
        return {
            "how": self.options.how, "criteria": self.options.criteria, "planted": self.options.planted,
            "example": render_question(self.asking.asked[0].question),
            "judge_example": None if example is None else render_question(example),
            "model_identity": getattr(self.job.model, "identity", None),
            "judge_identity": getattr(self.judge.job.model, "identity", None),
        }  # fmt: skip


def collect_answers(cell: AnsweringCell) -> Given:
    """Let a cell's model answer, and return its answers with what was read from them.

    A refused or failed answer, and one of blanks alone, has the text "". An answer is right if the right choice was
    read from it; without a right choice that is None.
    """
    answers, _ = cell.answer()
    extracted = [cell.extract(one, answer) for one, answer in zip(cell.asked, answers, strict=True)]
    answered = cell.collect(answers, extracted)
    right = [
        None if at is None else outcome == "ok" and read == choices[at]
        for at, outcome, read, choices in zip(
            answered.right, answered.outcomes, extracted, answered.choices, strict=True
        )
    ]
    return Given(answers, answered, [answer.text.strip() for answer in answers], right)


def list_shown_images(item: Item) -> tuple[ImagePart, ...]:
    """Return an item's images, those of its last turn if it is a conversation."""
    if item.turns is None:
        return item.images
    return tuple(part for part in item.turns[-1].parts if isinstance(part, ImagePart))
