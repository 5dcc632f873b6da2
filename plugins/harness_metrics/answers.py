"""The evidence `Answered`: what a model answered to questions, what was read from it, and what is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from harness import DataError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Outcome = Literal["ok", "unparsed", "refused", "truncated", "failed"]

OUTCOMES: tuple[str, ...] = get_args(Outcome)
UNREAD = ("unparsed", "refused", "failed")
"""Outcomes from which no answer can be read."""

NESTED = ("references", "choices", "objects")


@dataclass(frozen=True, eq=False)
class Answered:
    """N answers of a model to questions about images.

    A row is one answer. A question may have several rows: one per prompt, and one per order of its choices; its
    `ids` entry is then the same, so (id, prompt, order) tells rows apart.

    Args:
        ids: the questions' ids.
        groups: the image (video, film) that each question is about; answers of one group are not independent.
        prompts: index of the prompt template of each row.
        texts: what the model said, empty if it said nothing.
        extracted: the answer that was read from the text, for questions with choices the text of one of them; None
            if there is none to be read.
        outcomes: "ok"; "unparsed" if no answer could be read; "refused", "truncated" (cut at the limit of tokens,
            never right) or "failed", as the model's answer says.
        references: accepted answers, or reference captions; may be empty for questions with choices.
        choices: the choices in the order in which they were shown, or none.
        right: index of the right choice, or None.
        orders: index of the order of the choices, 0 for the data's own; empty: 0 throughout.
        answer_types: type of each question, such as a subtask; empty if unknown.
        objects: what the image really shows, for `chair`; empty if unknown.

    Raises DataError, naming the question, for an unknown outcome, an outcome that contradicts what was extracted, a
    right choice that does not exist, or two rows of one id, prompt and order; and for columns of unequal length.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    prompts: Sequence[int]
    texts: Sequence[str]
    extracted: Sequence[str | None]
    outcomes: Sequence[str]
    references: Sequence[Sequence[str]]
    choices: Sequence[Sequence[str]]
    right: Sequence[int | None]
    orders: Sequence[int] = ()
    answer_types: Sequence[str] = ()
    objects: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "orders", self.orders or (0,) * len(self.ids))
        for field in fields(self):
            column: Any = getattr(self, field.name)
            frozen = (tuple(value) for value in column) if field.name in NESTED else column
            object.__setattr__(self, field.name, tuple(frozen))
            optional = field.name in ("answer_types", "objects") and not len(column)
            if len(column) != len(self.ids) and not optional:
                raise DataError(f"answers: {len(column)} {field.name} for {len(self.ids)} ids")
        seen: set[tuple[str, int, int]] = set()
        for row, key in enumerate(zip(self.ids, self.prompts, self.orders, strict=True)):
            if problem := self._explain_contradiction(row):
                raise DataError(f"answers: question '{self.ids[row]}': {problem}")
            if key in seen:
                raise DataError(
                    f"answers: question '{key[0]}' has two answers for prompt {key[1]} and order {key[2]} of choices"
                )
            seen.add(key)

    def _explain_contradiction(self, row: int) -> str | None:
        outcome, extracted, right = self.outcomes[row], self.extracted[row], self.right[row]
        if outcome not in OUTCOMES:
            return f"the outcome is '{outcome}'{did_you_mean(outcome, OUTCOMES)}"
        if outcome == "ok" and extracted is None:
            return "the outcome is 'ok' but no answer was extracted: it is 'unparsed'"
        if outcome in UNREAD and extracted is not None:
            return f"the outcome is '{outcome}', so nothing can have been extracted"
        choices = self.choices[row]
        if right is not None and not 0 <= right < len(choices):
            return f"choice {right} is right, and there are {len(choices)} choices"
        if choices and extracted is not None and extracted not in choices:
            return f"'{extracted}' was extracted, which is none of its choices"
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def list_accepted(self, row: int) -> tuple[str, ...]:
        """Return the accepted answers of a row: its references, else its right choice, else nothing."""
        right = self.right[row]
        references = tuple(self.references[row])
        return references or (() if right is None else (self.choices[row][right],))

    def pack(self) -> dict[str, Any]:
        """Return lists from which `unpack` makes the same evidence."""
        packed = {field.name: list(getattr(self, field.name)) for field in fields(self)}
        return packed | {name: [list(values) for values in packed[name]] for name in NESTED}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Answered:
        """Return the evidence that `pack` took apart."""
        return cls(**parts)

    def select(self, rows: Sequence[int] | NDArray[np.integer]) -> Answered:
        """Return some of the rows, in the order of `rows`."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return Answered(**{name: [c[int(i)] for i in rows] if c else () for name, c in columns.items()})

    def shuffled(self, seed: int) -> Answered:
        """Return the same rows in another order."""
        import numpy as np

        return self.select(np.random.default_rng(seed).permutation(len(self)))

    @classmethod
    def example(cls, quality: float, seed: int) -> Answered:
        """Return answers to the two yes/no questions of each of 40 images, each asked in both orders of choices.

        A share of the images, `quality`, has all four answers right. The others have no right one: three in five
        have the opposite answer, the rest is unparsed, refused, truncated or failed. The right word is also the
        only object in the image.
        """
        import numpy as np

        images = 40
        wrong = set(np.random.default_rng(seed).permutation(images)[round(quality * images) :].tolist())
        rows: dict[str, list[Any]] = {field.name: [] for field in fields(cls)}
        for image in range(images):
            for truth in ("yes", "no"):
                said, outcome = truth, "ok"
                if image in wrong:
                    said = "no" if truth == "yes" else "yes"
                    outcome = OUTCOMES[image // 5 % 4 + 1] if image % 5 > 2 else "ok"
                for order, choices in enumerate((["yes", "no"], ["no", "yes"])):
                    row = {"ids": f"{image}-{truth}", "groups": f"{image}", "prompts": 0, "orders": order}
                    row |= {
                        "texts": "" if outcome in ("refused", "failed") else f"{said}.",
                        "outcomes": outcome,
                    }
                    row |= {"extracted": None if outcome in UNREAD else said, "references": [truth] * 10}
                    row |= {"choices": choices, "right": choices.index(truth), "objects": [truth]}
                    for name, value in {**row, "answer_types": "existence"}.items():
                        rows[name].append(value)
        return cls(**rows)


def require_answers(answers: Answered, metric: str) -> Answered:
    """Return the same answers. Raises DataError, naming the metric, if there are none."""
    if not len(answers):
        raise DataError(f"{metric}: there are no answers, so it is not defined")
    return answers
