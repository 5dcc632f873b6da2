"""One cell of the protocol `answering`: questions, answers, what is read from them, and the result."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job, Predictions, Result
from harness.inference.evaluate import measure_samples
from harness.inference.splits import find_test_split
from harness_language.answer_extraction import LETTERS, extract_choice, extract_short_answer, tell_outcome
from harness_language.conversations import ModelAnswer, Question, count_images, render_question
from harness_metrics.answers import Answered
from harness_mllm.evidence_kinds import keep_readers, measure_kinds
from harness_mllm.likelihood import pick_likeliest, score_choices
from harness_mllm.probe_names import PERMUTED
from harness_mllm.probes import apply_probe
from harness_mllm.questions import (
    Item,
    build_question,
    list_letters,
    order_choices,
    permute_choices,
    read_item,
)
from harness_mllm.shots import Shots

if TYPE_CHECKING:
    from harness_mllm.answering_options import AnsweringOptions


@dataclass(frozen=True)
class Asked:
    """One question to the model: the item with its choices in the order shown, by which prompt, and in which order."""

    item: Item
    prompt: int
    order: int
    question: Question


class AnsweringCell:
    """The questions of one cell. Raises DataError for samples that can't be asked about."""

    def __init__(self, options: AnsweringOptions, job: Job) -> None:
        self.options, self.job = options, job
        label = job.cell.dataset.label
        found = find_test_split(job.dataset.splits, options.split)
        if found.name is None:
            raise DataError(f"{label}: {found.refusal}")
        split = job.splits(found.name)
        if not len(split):
            raise DataError(f"{label}: the split has no samples")
        self.items = [read_item(options, split, row) for row in range(len(split.ids))]
        if self._probe_name == PERMUTED:
            self.items = [permute_choices(item, job.cell.seed) for item in self.items]
        same = sum(len(set(item.target.choices)) < len(item.target.choices) for item in self.items)
        if same:
            job.remark(
                f"{same} of {len(self.items)} questions have choices of equal texts, which count as one"
            )
        self._check_conversations()
        shots = self._draw_shots(found.name)
        asked: list[Asked] = []
        for item, own in zip(self.items, shots, strict=True):
            orders = len(item.target.choices) if options.circular else 1
            for prompt in range(len(options.prompts)):
                for order in range(max(1, orders)):
                    turned = order_choices(item, order)
                    asked.append(
                        Asked(turned, prompt, order, build_question(options, turned, prompt, order, own))
                    )
        self.asked = self._probe(asked)

    def result(self) -> Result:
        """Ask, read the answers, and measure them."""
        began = time.perf_counter()
        answers, scores = self.answer()
        seconds = time.perf_counter() - began
        if failed := [answer.reason for answer in answers if answer.status == "failed"]:
            self.job.remark(
                f"{len(failed)} of {len(answers)} answers failed, and count as wrong; --fresh asks again (one: {failed[0]})"
            )
        extracted = self._read(answers, scores)
        answered = self.collect(answers, extracted)
        evidence: dict[str, Any] = {"": answered}
        if (predictions := self._predict(scores)) is not None:
            evidence["ranking"] = predictions
        metrics = measure_kinds(self.job, evidence)
        if not metrics and self.job.failures:
            raise next(iter(self.job.failures.values()))
        return Result(
            metrics, count=len({item.id for item in self.items}), samples=self._list_samples(answers, answered),
            cost=self._measure(answers, seconds), notes=self._describe(), evidence=evidence,
        )  # fmt: skip

    def _check_conversations(self) -> None:
        """Refuse to word conversations of the data's own in several ways, which would ask the same several times."""
        options, label = self.options, self.job.cell.dataset.label
        if not any(item.turns is not None for item in self.items):
            return
        if options.circular or len(options.prompts) > 1 or self._probe_name == PERMUTED:
            raise DataError(
                f"{label}: its samples are whole conversations, whose words stay as they are: ask them by one prompt, "
                f"neither circular nor with the probe '{PERMUTED}'"
            )
        if options.prompts != ["{question}"]:
            self.job.remark(f"{label}: the prompt is not used: its samples are whole conversations")

    def _draw_shots(self, tested: str) -> list[Sequence[Item]]:
        count = int(self.job.cell.axes.get("shots", 0))
        if not count:
            return [()] * len(self.items)
        if any(item.turns is not None for item in self.items):
            raise DataError(
                f"{self.job.cell.dataset.label}: its samples are whole conversations, which hold their own shots"
            )
        shots = Shots(self.options, self.job, count, tested)
        return list(shots.of(self.items, range(len(self.items))))

    @property
    def _probe_name(self) -> str:
        return str(self.job.cell.axes.get("probe", "none"))

    def _probe(self, asked: list[Asked]) -> list[Asked]:
        probe = "none" if self._probe_name == PERMUTED else self._probe_name  # which the prompts have in them
        groups = [one.item.group for one in asked]
        changed = apply_probe(probe, [one.question for one in asked], groups, self.job.cell.seed)
        kept = sum(one.question == new for one, new in zip(asked, changed, strict=True))
        if kept and probe != "none":
            self.job.remark(f"the probe '{probe}' leaves {kept} of {len(asked)} questions as they were")
        return [
            Asked(one.item, one.prompt, one.order, question)
            for one, question in zip(asked, changed, strict=True)
        ]

    def answer(self) -> tuple[list[ModelAnswer], list[Any]]:
        """Return the model's answers and, by likelihood, the scores of the choices."""
        options, model, total = self.options, self.job.model, len(self.asked)
        answers: list[ModelAnswer] = []
        scores: list[Any] = []
        for at in range(0, total, options.at_once):
            part = self.asked[at : at + options.at_once]
            questions = [one.question for one in part]
            if options.how == "generate":
                given = model.generate(questions)
                if len(given) != len(questions):
                    raise DataError(f"the model gave {len(given)} answers to {len(questions)} questions")
                answers += given
            else:
                texts = [self._continuations(one.item) for one in part]
                own = score_choices(model, questions, texts, options.normalise)
                scores += own
                answers += [self._say(*one) for one in zip(part, texts, own, strict=True)]
            self.job.advance(min(at + len(part), total), total)
        return answers, scores

    def _continuations(self, item: Item) -> list[str]:
        choices = item.target.choices
        if not choices:
            raise DataError(
                f"question '{item.id}' has no choices to compare by likelihood: set how = 'generate'"
            )
        said = list_letters(item) if self.options.show == "letters" else choices
        return [f" {text}" for text in said]

    def _say(self, one: Asked, texts: Sequence[str], scores: Any) -> ModelAnswer:
        picked = pick_likeliest(scores, one.item.target.choices)
        if picked is None:
            return ModelAnswer("", reason="several choices are equally likely")
        return ModelAnswer(texts[picked].strip())

    def _read(self, answers: Sequence[ModelAnswer], scores: Sequence[Any]) -> list[str | None]:
        """Return what is read from each answer; by likelihood, the choice itself, which needs no reading."""
        if not scores:
            return [self.extract(one, answer) for one, answer in zip(self.asked, answers, strict=True)]
        picked = [
            pick_likeliest(s, one.item.target.choices) for one, s in zip(self.asked, scores, strict=True)
        ]
        return [
            None if n is None else one.item.target.choices[n]
            for one, n in zip(self.asked, picked, strict=True)
        ]

    def extract(self, one: Asked, answer: ModelAnswer) -> str | None:
        if answer.status not in ("ok", "truncated"):
            return None
        choices = one.item.target.choices
        if not choices:
            return extract_short_answer(answer.text)
        labels = LETTERS if self.options.show == "letters" else ()
        found = extract_choice(answer.text, choices, labels)
        return None if found is None else choices[found]

    def collect(self, answers: Sequence[ModelAnswer], extracted: Sequence[str | None]) -> Answered:
        items = [one.item for one in self.asked]
        types, objects = [item.answer_type for item in items], [item.objects for item in items]
        return Answered(
            ids=[item.id for item in items], groups=[item.group for item in items],
            prompts=[one.prompt for one in self.asked], texts=[answer.text for answer in answers],
            extracted=extracted,
            outcomes=[tell_outcome(a, e) for a, e in zip(answers, extracted, strict=True)],
            references=[item.target.references for item in items], choices=[item.target.choices for item in items],
            right=[item.target.right for item in items], orders=[one.order for one in self.asked],
            answer_types=types if any(types) else (), objects=objects if any(objects) else (),
        )  # fmt: skip

    def _predict(self, scores: Sequence[Any]) -> Predictions | None:
        """Return the scores as predictions if every question has the same different choices, asked once."""
        once = len(self.options.prompts) == 1 and not self.options.circular
        if not scores or not once or len({tuple(item.target.choices) for item in self.items}) > 1:
            return None
        if any(item.target.right is None for item in self.items):
            return None
        right = np.array([item.target.right for item in self.items], np.int64)
        names = list(self.items[0].target.choices)
        if len(set(names)) < len(names):  # which of two equal choices is higher says nothing
            return None
        return Predictions(np.stack(scores), right, [item.id for item in self.items], names)

    def _list_samples(self, answers: Sequence[ModelAnswer], answered: Answered) -> dict[str, Any]:
        """Return a row per answer; the rows of one question share their id, and those of one image their cluster."""
        groups = list(answered.groups)
        columns: dict[str, Any] = {"id": list(answered.ids)}
        if len(set(groups)) < len(groups):
            columns["cluster"] = groups
        columns |= {
            "prompt": [self.options.prompts[n] for n in answered.prompts], "order": list(answered.orders),
            "question": [render_question(one.question) for one in self.asked], "answer": list(answered.texts),
            "extracted": [e or "" for e in answered.extracted], "outcome": list(answered.outcomes),
            "accepted": ["; ".join(answered.list_accepted(row)) for row in range(len(answered))],
            "reason": [answer.reason for answer in answers],
        }  # fmt: skip
        return columns | measure_samples(keep_readers(self.job, answered), answered)

    def _measure(self, answers: Sequence[ModelAnswer], seconds: float) -> dict[str, float]:
        count = len(answers)
        return {
            "questions": count, "questions_per_second": count / max(seconds, 1e-9),
            "tokens_in": sum(a.tokens_in for a in answers), "tokens_out": sum(a.tokens_out for a in answers),
            "images_shown": sum(count_images(one.question) for one in self.asked),
        }  # fmt: skip

    def _describe(self) -> dict[str, Any]:
        """Return what decided the questions, for the record."""
        return {
            "prompts": self.options.prompts, "how": self.options.how, "normalise": self.options.normalise,
            "example": render_question(self.asked[0].question), "groups": len({item.group for item in self.items}),
            "model_identity": getattr(self.job.model, "identity", None),
        }  # fmt: skip
