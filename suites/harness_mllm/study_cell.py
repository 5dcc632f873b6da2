"""One cell of the protocol `text-study`: an arm on a data set, from texts and neighbours to measured answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Predictions, Result
from harness.inference.evaluate import measure_samples
from harness.inference.splits import find_test_split, training_split
from harness.learning.draws import rank_for_draw
from harness_language.answer_extraction import tell_outcome
from harness_language.conversations import ModelAnswer, Question, render_question
from harness_metrics.answers import Answered
from harness_metrics.label_set_f1 import THRESHOLD
from harness_metrics.label_sets import LabelSets
from harness_mllm.evidence_kinds import keep_readers, measure_kinds
from harness_mllm.study_arms import Supervised, parse_arm
from harness_mllm.study_baselines import predict_supervised, to_logits, vote_of_neighbours
from harness_mllm.study_items import (
    StudyItems,
    describe_frames,
    exchange_items,
    read_study_items,
    write_items,
)
from harness_mllm.study_prompts import StudyPrompts
from harness_mllm.study_vectors import embed_frames, embed_texts, find_nearest_items

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_mllm.study_options import StudyOptions


class StudyCell:
    """An arm's items, prompts and answers. Raises DataError for data without what the arm shows or learns from."""

    def __init__(self, options: StudyOptions, job: Job) -> None:
        self.options, self.job = options, job
        self.arm = parse_arm(job.cell.axes.get("arm", "title+frames"))
        self.probe = str(job.cell.axes.get("probe", "none"))
        found = find_test_split(job.dataset.splits, options.split)
        if found.name is None:
            raise DataError(f"{job.cell.dataset.label}: {found.refusal}")
        self.test = read_study_items(job, found.name, None, self.arm.title)
        self.several = self.test.targets.ndim == 2
        self.ordered = bool(getattr(job.splits(found.name), "ordered", False))
        self.prompts = StudyPrompts(options, self.test.class_names, self.several)
        self.swap = exchange_items(self.test.groups, job.cell.seed) if self.probe == "another image" else None
        self.train = self._read_training(found.name) if self.arm.learns else None
        self.texts = self._write(self.test, probed=True)
        self.train_texts = self._write(self.train, probed=False) if self.train is not None else []
        self.neighbours: list[NDArray[np.int64]] = []
        self.scores: NDArray[np.float64] | None = None
        if self.train is not None and self.arm.embeds:
            self._learn(self.train)

    def _read_training(self, tested: str) -> StudyItems:
        job, label = self.job, self.job.cell.dataset.label
        name = training_split(job.dataset.splits)
        if name is None or name == tested:
            raise DataError(f"{label}: there is no training split besides '{tested}' to learn from")
        split = job.splits(name)
        rows = np.sort(
            rank_for_draw([str(i) for i in split.ids], job.cell.seed, "study pool", name)[: self.options.pool]
        )
        if len(rows) < len(split):
            job.remark(
                f"{len(rows)} random ones of {len(split)} items of '{name}' are learned from (option pool)"
            )
        found = read_study_items(job, name, rows.astype(np.int64), self.arm.title)
        if found.class_names != self.test.class_names:
            raise DataError(f"{label}: splits '{name}' and '{tested}' have different classes")
        crossing = sorted({*found.groups} & {*self.test.groups})
        if crossing:
            job.remark(
                f"{len(crossing)} groups are in '{name}' and '{tested}' (such as '{crossing[0]}'): the supervised "
                "models learn from them, neighbours are of other groups"
            )
        return found

    def _write(self, items: StudyItems, probed: bool) -> list[str]:
        described = None
        if self.arm.frames and not (probed and self.probe == "no image"):
            described = describe_frames(self.options, self.job, items)
            if probed and self.swap is not None:
                described = [described[int(n)] for n in self.swap]
        return write_items(self.arm, items, described)

    def _learn(self, train: StudyItems) -> None:
        """Embed the items, find neighbours, and fit what predicts."""
        options, job = self.options, self.job
        if options.embed == "frames":
            own, tested = (embed_frames(options.embedder, job, items) for items in (train, self.test))
            tested = tested[self.swap] if self.swap is not None else tested
        else:
            own, tested = embed_texts(options.embedder, job, self.train_texts, self.texts)
        self.neighbours = find_nearest_items(own, tested, self.test.groups, train.groups, options.neighbours)
        if min(map(len, self.neighbours)) < options.neighbours:
            job.remark(
                f"there are fewer than {options.neighbours} training items of other groups: all are neighbours"
            )
        how: Supervised | None = self.arm.baseline or (options.supervised if self.arm.prediction else None)
        count = len(self.test.class_names)
        if how == "knn":
            self.scores = vote_of_neighbours(self.neighbours, train.targets, count)
        elif how is not None:
            self.scores, remarks = predict_supervised(
                how, own, train.targets, tested, count, options.inverse_penalty, job.cell.seed
            )
            for text in remarks:
                job.remark(text)

    def result(self) -> Result:
        """Ask (or let the baseline predict), read, and measure."""
        began = time.perf_counter()
        hypotheses = ""
        questions: list[Question] = []
        if self.arm.baseline is not None:
            answers = self._answer_by_baseline()
        else:
            hypotheses = self._state_hypotheses() if self.arm.hypotheses else ""
            questions = [self._ask(n, hypotheses) for n in range(len(self.test))]
            answers = self._answer(questions)
        read = [self._read(row, answer) for row, answer in enumerate(answers)]
        outcomes = [tell_outcome(answer, found) for answer, found in zip(answers, read, strict=True)]
        evidence = self._collect(answers, read, outcomes)
        metrics = measure_kinds(self.job, evidence)
        if not metrics and self.job.failures:
            raise next(iter(self.job.failures.values()))
        metrics["unreadable"] = sum(outcome != "ok" for outcome in outcomes) / len(outcomes)
        seconds = time.perf_counter() - began
        cost = {
            "questions": len(questions), "questions_per_second": len(questions) / max(seconds, 1e-9),
            "tokens_in": sum(a.tokens_in for a in answers), "tokens_out": sum(a.tokens_out for a in answers),
        }  # fmt: skip
        example = render_question(questions[0]) if questions else self.texts[0]
        notes = {
            "class_names": self.test.class_names, "ordered": self.ordered, "hypotheses": hypotheses, "example": example,
            "groups": len(set(self.test.groups)), "learned_from": 0 if self.train is None else len(self.train),
            "model_identity": getattr(self.job.model, "identity", None),
        }  # fmt: skip
        samples = self._list_samples(questions, answers, read, outcomes, evidence[""])
        return Result(metrics, len(self.test), samples, cost=cost, notes=notes, evidence=evidence)

    def _state_hypotheses(self) -> str:
        """Return the hypotheses that the model states once, from examples drawn by the seed."""
        train = self.train
        assert train is not None
        order = rank_for_draw(train.ids, self.job.cell.seed, "examples of hypotheses", train.split)
        question = self.prompts.ask_hypotheses([self._show(int(n)) for n in order[: self.options.examples]])
        (answer,) = self.job.model.generate([question])
        if not answer.text.strip():
            raise DataError(
                f"the model stated no hypotheses ({answer.status}{': ' * bool(answer.reason)}{answer.reason})"
            )
        if answer.status == "truncated":
            self.job.remark("the hypotheses were cut at hypothesis_tokens")
        return str(answer.text).strip()

    def _show(self, row: int) -> tuple[str, str]:
        assert self.train is not None
        return self.train_texts[row], self.prompts.say_target(self.train.targets[row])

    def _ask(self, row: int, hypotheses: str) -> Question:
        shown = [self._show(int(n)) for n in self.neighbours[row][::-1]] if self.arm.neighbours else []
        told = self.arm.prediction and self.scores is not None
        prediction = self.prompts.say_prediction(self.scores[row]) if told and self.scores is not None else ""
        return self.prompts.ask_label(self.test.ids[row], self.texts[row], shown, hypotheses, prediction)

    def _answer(self, questions: Sequence[Question]) -> list[ModelAnswer]:
        answers: list[ModelAnswer] = []
        for at in range(0, len(questions), self.options.at_once):
            answers += self.job.model.generate(questions[at : at + self.options.at_once])
            self.job.advance(len(answers), len(questions))
        return answers

    def _answer_by_baseline(self) -> list[ModelAnswer]:
        names = self.test.class_names
        decided = [self._decide(row) for row in range(len(self.test))]
        return [ModelAnswer("; ".join(names[n] for n in found) or "none") for found in decided]

    def _decide(self, row: int) -> list[int]:
        """Return the classes that the baseline gives an item."""
        assert self.scores is not None
        scores = self.scores[row]
        return (
            [int(n) for n in np.flatnonzero(scores >= THRESHOLD)] if self.several else [int(scores.argmax())]
        )

    def _read(self, row: int, answer: ModelAnswer) -> list[int] | None:
        """Return the classes that an answer gives; None if it can't be read, or was refused, cut or failed."""
        if self.arm.baseline is not None:
            return self._decide(row)
        if answer.status in ("refused", "failed") or (self.several and answer.status == "truncated"):
            return None
        if self.several:
            return self.prompts.read_label_set(answer.text)
        found = self.prompts.read_label(answer.text)
        return None if found is None else [found]

    def _collect(
        self, answers: Sequence[ModelAnswer], read: Sequence[list[int] | None], outcomes: Sequence[str]
    ) -> dict[str, Any]:
        test, names = self.test, self.test.class_names
        by_baseline = self.arm.baseline is not None
        if self.several:
            scores = np.zeros(test.targets.shape)
            for row, found in enumerate(read):
                scores[row, found or []] = 1
            chosen = self.scores if by_baseline and self.scores is not None else scores
            return {"": LabelSets(chosen, test.targets, test.ids, names)}
        answered = Answered(
            ids=test.ids, groups=test.groups, prompts=[0] * len(test), texts=[answer.text for answer in answers],
            extracted=[None if found is None else names[found[0]] for found in read], outcomes=outcomes,
            references=[(names[int(t)],) for t in test.targets], choices=[tuple(names)] * len(test),
            right=[int(t) for t in test.targets],
        )  # fmt: skip
        evidence: dict[str, Any] = {"": answered}
        if by_baseline and self.scores is not None:
            evidence["supervised"] = Predictions(to_logits(self.scores), test.targets, test.ids, names)
        return evidence

    def _list_samples(
        self, questions: Sequence[Question], answers: Sequence[ModelAnswer], read: Sequence[list[int] | None],
        outcomes: Sequence[str], evidence: Any,
    ) -> dict[str, Any]:  # fmt: skip
        """Return a row per item; those of one film or channel share their cluster."""
        test, names = self.test, self.test.class_names
        columns: dict[str, Any] = {"id": list(test.ids)}
        if len(set(test.groups)) < len(test.groups):
            columns["cluster"] = list(test.groups)
        columns |= {
            "question": [render_question(q) for q in questions] or list(self.texts),
            "answer": [answer.text for answer in answers], "outcome": list(outcomes),
            "extracted": ["; ".join(names[n] for n in found or ()) for found in read],
            "accepted": [
                "; ".join(names[n] for n in (np.flatnonzero(t == 1) if self.several else [int(t)])) for t in test.targets
            ],
            "reason": [answer.reason for answer in answers],
        }  # fmt: skip
        if self.neighbours and self.train is not None:
            columns["neighbours"] = [
                "; ".join(self.train.ids[int(n)] for n in near) for near in self.neighbours
            ]
        return columns | measure_samples(keep_readers(self.job, evidence), evidence)
