"""The evidence `Judged`: what a judge said about a model's answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from harness import DataError, did_you_mean
from harness_mllm.judge_prompts import CHECKED, STATED

UNREADABLE = "unreadable"
COMPARED = ("win", "loss", "tie")
NESTED_COLUMNS = ("verdicts", "claims", "found")
WAYS = ("compare", "rubric", "claims")


@dataclass(frozen=True, eq=False)
class Judged:
    """Verdicts on N answers, in one of three ways; a verdict that could not be read is "unreadable".

    Args:
        how: "compare", "rubric" or "claims".
        scale: the best mark; 0 but for rubrics.
        ids: the questions' ids.
        groups: the image that each question is about.
        answers: the student's answers, empty where there is none (refused, failed).
        others: what each is compared with, or its reference; empty where there is none.
        verdicts: "compare": what the judge says of the student ("win", "loss", "tie") with its answer first, then
            second; none if either side has no answer. "rubric": a mark for each criterion, as text. "claims": for
            each claim "supported", "contradicted" or "not visible", or a single "unreadable" for an answer that
            could not be split.
        claims: the claims that the verdicts are about, or none.
        found: for each claim of the reference whether the answer states it: "stated" or "not stated".
        right: whether the student's answer is right by the data's labels, or None.
        others_right: the same of what it is compared with.

    Raises DataError, naming the question, for columns of unequal length and for verdicts of another way.
    """

    how: str
    scale: int
    ids: Sequence[str]
    groups: Sequence[str]
    answers: Sequence[str]
    others: Sequence[str]
    verdicts: Sequence[Sequence[str]]
    claims: Sequence[Sequence[str]]
    found: Sequence[Sequence[str]]
    right: Sequence[bool | None]
    others_right: Sequence[bool | None]

    def __post_init__(self) -> None:
        if self.how not in WAYS:
            raise DataError(f"verdicts: the way is '{self.how}'{did_you_mean(self.how, WAYS)}")
        for name in self._list_columns():
            column = getattr(self, name)
            if len(column) != len(self.ids):
                raise DataError(f"verdicts: {len(column)} {name} for {len(self.ids)} ids")
            frozen = (tuple(values) for values in column) if name in NESTED_COLUMNS else column
            object.__setattr__(self, name, tuple(frozen))
        marks = tuple(str(n) for n in range(1, self.scale + 1))
        known = {"compare": COMPARED, "rubric": marks, "claims": CHECKED}[self.how]
        for row, id in enumerate(self.ids):
            if unknown := [v for v in self.verdicts[row] if v not in (*known, UNREADABLE)]:
                raise DataError(f"verdicts: question '{id}' has the verdict '{unknown[0]}'")
            if unknown := [v for v in self.found[row] if v not in (*STATED, UNREADABLE)]:
                raise DataError(f"verdicts: question '{id}' has '{unknown[0]}' of a reference's claim")
            both = 2 if self.answers[row] and self.others[row] else 0
            if self.how == "compare" and len(self.verdicts[row]) != both:
                raise DataError(f"verdicts: question '{id}' has {len(self.verdicts[row])}, expected {both}")

    def _list_columns(self) -> list[str]:
        return [field.name for field in fields(self) if field.name not in ("how", "scale")]

    def __len__(self) -> int:
        return len(self.ids)

    def decide(self, row: int) -> str:
        """Return "win", "loss", "tie" or "unreadable" of a comparison.

        A win or a loss needs both orders to agree. A side without an answer loses; two such sides tie.
        """
        if not self.verdicts[row]:
            here, there = bool(self.answers[row]), bool(self.others[row])
            return "tie" if here == there else "win" if here else "loss"
        first, second = self.verdicts[row]
        if UNREADABLE in (first, second):
            return UNREADABLE
        return first if first == second else "tie"

    def pack(self) -> dict[str, Any]:
        """Return lists from which `unpack` makes the same evidence."""
        packed: dict[str, Any] = {name: list(getattr(self, name)) for name in self._list_columns()}
        packed |= {name: [list(values) for values in packed[name]] for name in NESTED_COLUMNS}
        return {"how": [self.how], "scale": [self.scale], **packed}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Judged:
        """Return the evidence that `pack` took apart."""
        return cls(**{**parts, "how": parts["how"][0], "scale": parts["scale"][0]})

    def shuffled(self, seed: int) -> Judged:
        """Return the same rows in another order."""
        import numpy as np

        order = np.random.default_rng(seed).permutation(len(self)).tolist()
        columns = {name: [getattr(self, name)[row] for row in order] for name in self._list_columns()}
        return Judged(self.how, self.scale, **columns)

    @classmethod
    def example(cls, quality: float, seed: int) -> Judged:
        """Return comparisons of 40 answers, two per image, of which a share `quality` wins; of the others half lose."""
        import numpy as np

        order = np.random.default_rng(seed).permutation(40).tolist()
        rows = range(40)
        won = [order[row] < round(quality * 40) for row in rows]
        verdicts = [("win", "win") if won[row] else ("loss", "loss" if row % 2 else "win") for row in rows]
        return cls(
            "compare", 0, [f"{row}" for row in rows], [f"{row // 2}" for row in rows], ["red"] * 40, ["blue"] * 40,
            verdicts, [()] * 40, [()] * 40, won, [not w for w in won],
        )  # fmt: skip
