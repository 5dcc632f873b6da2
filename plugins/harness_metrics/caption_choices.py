"""The evidence `CaptionChoices`: how well each of several captions fits an image, and which one is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class CaptionChoices:
    """Scores of the captions among which N images each have a right one.

    Args:
        ids: the samples' ids, all different.
        groups: what makes samples depend on each other: their image, or the pair of images and captions they are of.
        choices: the captions of each sample, at least two.
        scores: a score for each caption of each sample, higher for the better fit; −inf for what can't be. Equal ones
            are ties.
        right: index of each sample's right caption.
        categories: what is wrong about the other captions (a replaced object, swapped words), or none at all.

    Raises DataError, naming the sample, for a score that is missing or no number, a right caption that does not exist,
    a single choice and an id that is there twice; and for columns of unequal length.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    choices: Sequence[Sequence[str]]
    scores: Sequence[Sequence[float]]
    right: Sequence[int]
    categories: Sequence[str] = ()

    def __post_init__(self) -> None:
        for field in fields(self):
            column: Any = getattr(self, field.name)
            if field.name == "categories" and not len(column):
                continue
            if len(column) != len(self.ids):
                raise DataError(f"caption choices: {len(column)} {field.name} for {len(self.ids)} ids")
        for name, kind in (("choices", str), ("scores", float)):
            rows = getattr(self, name)
            object.__setattr__(self, name, tuple(tuple(kind(value) for value in row) for row in rows))
        for name in ("ids", "groups", "categories", "right"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        seen: set[str] = set()
        for row, id in enumerate(self.ids):
            problem = "is there twice" if id in seen else self._explain_fault(row)
            if problem is not None:
                raise DataError(f"caption choices: sample '{id}' {problem}")
            seen.add(id)

    def _explain_fault(self, row: int) -> str | None:
        choices, scores, right = self.choices[row], self.scores[row], self.right[row]
        if len(choices) < 2:
            return f"has {len(choices)} captions to choose from, expected at least two"
        if len(scores) != len(choices):
            return f"has {len(scores)} scores for {len(choices)} captions"
        if not 0 <= right < len(choices):
            return f"has caption {right} as the right one of {len(choices)}"
        for caption, score in zip(choices, scores, strict=True):
            if score != score or score == np.inf:
                return f"has the score {score} for '{caption}', which is no number"
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> CaptionChoices:
        """Return some of the samples, in the order of `rows`."""
        columns = {field.name: getattr(self, field.name) for field in fields(self)}
        return CaptionChoices(**{name: [c[int(i)] for i in rows] if c else () for name, c in columns.items()})

    def shuffled(self, seed: int) -> CaptionChoices:
        """Return the same samples in another order."""
        return self.select(np.random.default_rng(seed).permutation(len(self)))

    def pack(self) -> dict[str, Any]:
        """Return lists and the scores of all captions as one array, from which `unpack` makes the same evidence."""
        packed = {name: list(getattr(self, name)) for name in ("ids", "groups", "right", "categories")}
        flat = [score for row in self.scores for score in row]
        return packed | {"choices": [list(row) for row in self.choices], "scores": np.array(flat, np.float64)}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> CaptionChoices:
        """Return the evidence that `pack` took apart."""
        ends = np.cumsum([len(row) for row in parts["choices"]])
        scores = (
            [own.tolist() for own in np.split(np.asarray(parts["scores"]), ends[:-1])] if len(ends) else []
        )
        return cls(**{**parts, "scores": scores})

    @classmethod
    def example(cls, quality: float, seed: int) -> CaptionChoices:
        """Return 40 pairs of images that share their two captions, as in Winoground.

        A share of the pairs, `quality`, has both captions matched to both images; of the others one in three has them
        the wrong way round, one has equal scores for each image, and one equal scores throughout.
        """
        pairs = 40
        wrong = set(np.random.default_rng(seed).permutation(pairs)[round(quality * pairs) :].tolist())
        rows: dict[str, list[Any]] = {field.name: [] for field in fields(cls)}
        for pair in range(pairs):
            for image in range(2):
                fit = [0.2, 0.2]
                fit[image] = 0.3
                if pair in wrong:
                    fit = [fit[::-1], [0.3 + image, 0.3 + image], [0.2, 0.2]][pair % 3]
                row = {"ids": f"{pair}-{image}", "groups": f"{pair}", "scores": fit, "right": image}
                row |= {
                    "choices": [f"{pair} before", f"before {pair}"],
                    "categories": ("swap", "move")[pair % 2],
                }
                for name, value in row.items():
                    rows[name].append(value)
        return cls(**rows)


def require_choices(choices: CaptionChoices, metric: str) -> CaptionChoices:
    """Return the same evidence. Raises DataError, naming the metric, if there are no samples."""
    if not len(choices):
        raise DataError(f"{metric}: there are no samples, so it is not defined")
    return choices
