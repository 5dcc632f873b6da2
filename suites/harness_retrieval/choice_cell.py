"""One cell of the protocol `caption-choice`: captions, their scores, and the result."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import Answers, DataError, Job, Result
from harness.inference.evaluate import measure_evidence, measure_samples
from harness.inference.splits import find_test_split
from harness_metrics.caption_choices import CaptionChoices
from harness_metrics.choice_metrics import number_groups
from harness_metrics.choice_scores import GROUP_CHANCE, GroupScores, StrictChoice
from harness_retrieval.choice_scoring import (
    embed_choices,
    find_way,
    list_texts,
    score_by_likelihood,
    score_by_plausibility,
    score_by_similarity,
)

if TYPE_CHECKING:
    from harness_retrieval.choice_options import ChoiceOptions

CATEGORY_MEAN = "category-mean"


class ChoiceCell:
    """The samples of one cell. Raises DataError, naming the sample, for one without several captions or a right one."""

    def __init__(self, protocol: ChoiceOptions, job: Job) -> None:
        self.protocol, self.job = protocol, job
        label = job.cell.dataset.label
        found = find_test_split(job.dataset.splits, protocol.split)
        if found.name is None:
            raise DataError(f"{label}: {found.refusal}")
        self.name, self.split = found.name, job.splits(found.name)
        if not len(self.split):
            raise DataError(f"{label}: the split has no samples")
        # a model that does not look needs no image files
        if find_way(job.model) == "images" and (images := len(self.split[0].images)) != 1:
            raise DataError(
                f"{label}: sample '{self.split.ids[0]}' has {images or 'no'} images, and captions are chosen for one: "
                "ask questions about several by the protocol 'answering'"
            )
        self.targets = [
            _check_target(f"{label}: sample '{id}'", target)
            for id, target in zip(self.split.ids, self.split.targets, strict=True)
        ]
        same = sum(
            any(text == t.choices[t.right or 0] for n, text in enumerate(t.choices) if n != t.right)
            for t in self.targets
        )
        if same:
            job.remark(
                f"{same} of {len(self.targets)} samples have a wrong caption that is equal to the right one, and count as wrong"
            )

    def warm(self) -> None:
        """Compute the embeddings that `result` asks of the cache."""
        if find_way(self.job.model) == "images":
            embed_choices(self.job, self.name, list_texts([target.choices for target in self.targets]))

    def result(self) -> Result:
        """Score all captions and measure them."""
        choices = self._score()
        if (count := len(set(choices.categories))) > 1 and not list_categories(choices, self.protocol.fewest):
            self.job.remark(
                f"no numbers by category: none of the {count} has {self.protocol.fewest} samples (the option `fewest`)"
            )
        evidence = {"": choices}
        metrics = measure_choices(self.job, evidence, self.protocol.fewest)
        if not metrics and self.job.failures:
            raise next(iter(self.job.failures.values()))
        return Result(
            metrics, count=len(choices), samples=self._list_samples(choices), cost=self._cost,
            notes=self._describe(choices), evidence=evidence,
        )  # fmt: skip

    def _score(self) -> CaptionChoices:
        job, texts = self.job, [target.choices for target in self.targets]
        way, self._cost = find_way(job.model), dict[str, float]()
        if way == "images":
            scores, rate = score_by_similarity(job, self.name, texts)
            self._cost = {"samples_per_second": rate} if rate else {}
        elif way == "plausibility":
            scores = score_by_plausibility(job, texts)
        else:
            scores = score_by_likelihood(job, texts, self.protocol.prompt, self.protocol.normalise)
        ids = list(map(str, self.split.ids))
        groups = getattr(self.split, "groups", None) or ids
        return CaptionChoices(
            ids, [str(group or id) for group, id in zip(groups, ids, strict=True)], texts, scores,
            [int(target.right or 0) for target in self.targets], self._list_categories(),
        )  # fmt: skip

    def _list_categories(self) -> list[str]:
        found = getattr(self.split, "categories", None) or getattr(self.split, "answer_types", None) or ()
        return [str(category) for category in found] if any(found) else []

    def _list_samples(self, choices: CaptionChoices) -> dict[str, Any]:
        rows = range(len(choices))
        columns: dict[str, Any] = {"id": list(choices.ids)}
        if len(set(choices.groups)) < len(choices):
            columns["cluster"] = list(choices.groups)
        if choices.categories:
            columns["category"] = list(choices.categories)
        best = [max(choices.scores[row]) for row in rows]
        given = [" = ".join(_list_best(choices, row, best[row])) for row in rows]
        right = [choices.scores[row][choices.right[row]] for row in rows]
        other = [
            max(score for n, score in enumerate(choices.scores[row]) if n != choices.right[row])
            for row in rows
        ]
        columns |= {
            "caption": [choices.choices[row][choices.right[row]] for row in rows], "best_caption": given,
            "score": right, "best_other_score": other,
        }  # fmt: skip
        columns |= measure_samples(self.job, choices)
        for label, metric in self.job.metrics.items():
            if isinstance(metric, GroupScores) and label in columns:
                columns |= {
                    f"{label}.{key}": values.astype(np.float32)
                    for key, values in metric.judge_samples(choices).items()
                }
        return columns

    def _describe(self, choices: CaptionChoices) -> dict[str, Any]:
        way = find_way(self.job.model)
        chance: dict[str, float] = {}
        for label, metric in self.job.metrics.items():
            if isinstance(metric, StrictChoice):
                chance[label] = float(np.mean([1 / len(own) for own in choices.choices]))
            elif isinstance(metric, GroupScores):
                chance |= {f"{label}.{key}": value for key, value in GROUP_CHANCE.items()}
        notes: dict[str, Any] = {
            "split": self.name, "scored_by": way, "ties": "wrong", "groups": len(set(choices.groups)), "chance": chance,
        }  # fmt: skip
        if way == "likelihood":
            notes |= {"prompt": self.protocol.prompt, "normalise": self.protocol.normalise}
        return notes


def measure_choices(job: Job, evidence: Mapping[str, Any], fewest: int) -> dict[str, float]:
    """Return each metric of all samples, of each category as `<metric>.<category>`, and the mean over categories.

    Categories of less than `fewest` samples get no numbers of their own and don't count in `<metric>.category-mean`.
    """
    choices: CaptionChoices = evidence[""]
    parts = {name: choices.select(rows) for name, rows in list_categories(choices, fewest).items()}
    whole = measure_evidence(job, {"": choices})
    found = measure_evidence(job, parts)
    means = {
        f"{metric}.{CATEGORY_MEAN}": float(np.mean([found[f"{metric}.{name}"] for name in parts]))
        for metric in whole
        if parts and all(f"{metric}.{name}" in found for name in parts)
    }
    return whole | found | means


def list_categories(choices: CaptionChoices, fewest: int) -> dict[str, list[int]]:
    """Return the rows of each category of at least `fewest` samples, by name; nothing if there is only one category."""
    unit, names = number_groups(choices.categories)
    if len(names) < 2:
        return {}
    rows: list[list[int]] = [[] for _ in names]
    for row, number in enumerate(unit.tolist()):
        rows[number].append(row)
    return {name: own for name, own in sorted(zip(names, rows, strict=True)) if len(own) >= fewest}


def _list_best(choices: CaptionChoices, row: int, best: float) -> list[str]:
    return [t for t, score in zip(choices.choices[row], choices.scores[row], strict=True) if score == best]


def _check_target(where: str, target: Any) -> Answers:
    if not isinstance(target, Answers) or len(target.choices) < 2:
        raise DataError(f"{where} has no captions to choose from")
    if target.right is None:
        raise DataError(f"{where} has no right caption among its {len(target.choices)}")
    return target
