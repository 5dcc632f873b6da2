"""Examples in context: which solved samples stand before a question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Job
from harness.inference.evaluate import outputs
from harness.inference.splits import find_named_split, training_split
from harness.learning.draws import rank_for_draw
from harness_mllm.questions import Item, read_item

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_mllm.answering_options import AnsweringOptions

POOL = 2048
"""Most samples that shots are drawn from, as in OpenFlamingo."""


class Shots:
    """The shots of a cell, from another split than the tested one.

    "random" draws one set for all questions, so that servers and models can read it once; the draw depends on the
    seed and the samples' ids, and fewer shots are some of more. "similar" takes for each question the samples whose
    first images are most similar, the most similar last (RICES, Yang et al., AAAI 2022), without those that share its
    group. Raises DataError if there is no split to draw from, or too few samples in it.
    """

    def __init__(self, options: AnsweringOptions, job: Job, count: int, tested: str) -> None:
        self.options, self.job, self.count, self.tested = options, job, count, tested
        names, label = job.dataset.splits, job.cell.dataset.label
        asked = options.shots_from
        found = training_split(names) if asked is None else find_named_split(names, asked)
        if found is None or found == tested:
            raise DataError(
                f"{label}: there is no split to draw shots from besides '{tested}': name one as shots_from"
            )
        self.name, self.split = found, job.splits(found)
        order = rank_for_draw([str(i) for i in self.split.ids], job.cell.seed, "shots in context", found)[
            :POOL
        ]
        if len(order) < count:
            raise DataError(f"{label}: split '{found}' has {len(order)} samples, fewer than {count} shots")
        self.pool: NDArray[np.int64] = order
        self._fixed = [self._read(int(row)) for row in order[:count]] if options.selection == "random" else []

    def of(self, items: Sequence[Item], rows: Sequence[int]) -> list[list[Item]]:
        """Return the shots of each item, which are samples `rows` of the tested split."""
        if self.options.selection == "random":
            return [self._fixed] * len(items)
        pool, queries = (
            self._embed(self.name, self.pool),
            self._embed(self.tested, np.asarray(rows, np.int64)),
        )
        likeness = queries @ pool.T
        found = []
        for item, own in zip(items, likeness, strict=True):
            nearest: list[Item] = []
            for place in np.argsort(-own, kind="stable"):
                shot = self._read(int(self.pool[place]))
                if shot.group != item.group and shot.id != item.id:
                    nearest.append(shot)
                if len(nearest) == self.count:
                    break
            if len(nearest) < self.count:
                raise DataError(
                    f"question '{item.id}': split '{self.name}' has {len(nearest)} samples that are not about its "
                    f"image, fewer than {self.count} shots"
                )
            found.append(nearest[::-1])
        return found

    def _read(self, row: int) -> Item:
        return read_item(self.options, self.split, row)

    def _embed(self, name: str, rows: NDArray[np.int64]) -> NDArray[Any]:
        there = self.job.at(self.options.embedder)
        beside = Job(**{**vars(self.job), "model": there.model, "cell": there.cell})
        vectors, _ = outputs(beside, "image embeddings", name, rows)
        unit: NDArray[Any] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit
