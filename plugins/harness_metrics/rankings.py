"""The evidence `Rankings`: where the positives of each query stand among all candidates, and which ones tie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError

ARRAYS = ("offsets", "before", "level", "relevant")


@dataclass(frozen=True, eq=False)
class Rankings:
    """N queries, each of which ranks the same G candidates by score; some of them are its positives.

    The positives of a query stand on levels: blocks of candidates (positives and others) with equal scores, of which
    only those with a positive are kept, by falling score. Candidates of one block may stand in any order, so a metric
    is the expectation over all of them. Where ties are broken by a rule instead, each block is one candidate.
    The levels of all queries, L in all, lie end to end; those of query n are from `offsets[n]` to `offsets[n + 1]`.

    Args:
        ids: N ids of the queries, all different.
        groups: N names of what each query belongs to (the image of a caption); queries of one group aren't independent.
        gallery: the number of candidates, G.
        offsets: N + 1 integers, where the levels of each query begin, and the end.
        before: L integers, the candidates with a larger score than the block.
        level: L integers, the size of the block.
        relevant: L integers, the positives in the block, at least one.
        occurrences: G integers, how many queries have each candidate among their first `depth`; None if not counted.
        depth: how many of the first candidates `occurrences` counts; 0 if not counted.

    Raises DataError, naming the query, for levels that contradict each other or the gallery, and for a query without
    positives; and for arrays of other lengths.
    """

    ids: Sequence[str]
    groups: Sequence[str]
    gallery: int
    offsets: NDArray[np.int64]
    before: NDArray[np.int64]
    level: NDArray[np.int64]
    relevant: NDArray[np.int64]
    occurrences: NDArray[np.int64] | None = None
    depth: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "groups", tuple(self.groups))
        names = ARRAYS if self.occurrences is None else (*ARRAYS, "occurrences")
        for name in names:
            own = np.array(getattr(self, name), np.int64)
            own.flags.writeable = False  # all metrics of a cell read the same arrays
            object.__setattr__(self, name, own)
        self._check_lengths()
        self._check_levels()
        self._check_occurrences()

    def _check_lengths(self) -> None:
        if len(self.groups) != len(self.ids):
            raise DataError(f"rankings: {len(self.groups)} groups for {len(self.ids)} ids")
        if len(set(self.ids)) < len(self.ids):
            twice = next(i for n, i in enumerate(self.ids) if i in self.ids[:n])
            raise DataError(f"rankings: two queries have the id '{twice}'")
        if self.offsets.shape != (len(self.ids) + 1,):
            raise DataError(f"rankings: offsets of shape {self.offsets.shape} for {len(self.ids)} queries")
        lengths = [getattr(self, name).shape for name in ARRAYS[1:]]
        if len(set(lengths)) > 1 or lengths[0] != (int(self.offsets[-1]),) or self.offsets[0] != 0:
            raise DataError(
                f"rankings: before, level and relevant have the shapes {', '.join(map(str, lengths))}, offsets go from "
                f"{int(self.offsets[0])} to {int(self.offsets[-1])}"
            )
        if (bare := np.flatnonzero(np.diff(self.offsets) < 1)).size:
            raise DataError(f"rankings: query '{self.ids[bare[0]]}' has no positive among the candidates")

    def _check_levels(self) -> None:
        ends = self.before + self.level
        wrong = (self.before < 0) | (self.relevant < 1) | (self.level < self.relevant) | (ends > self.gallery)
        if wrong.any():
            at = int(wrong.argmax())
            raise DataError(
                f"rankings: query '{self.ids[self.owners[at]]}' has {self.relevant[at]} positives in a block of "
                f"{self.level[at]} after {self.before[at]} candidates, of {self.gallery} in all"
            )
        overlap = (self.before[1:] < ends[:-1]) & (self.owners[1:] == self.owners[:-1])
        if overlap.any():
            at = int(overlap.argmax())
            raise DataError(
                f"rankings: query '{self.ids[self.owners[at]]}' has a block from rank {self.before[at + 1] + 1} after one "
                f"that ends at rank {ends[at]}: blocks come by falling score, and don't overlap"
            )

    def _check_occurrences(self) -> None:
        if self.occurrences is None:
            return
        counted = len(self) * min(self.depth, self.gallery)
        if (
            self.occurrences.shape != (self.gallery,)
            or self.depth < 1
            or self.occurrences.sum() != counted
            or (self.occurrences < 0).any()
            or (self.occurrences > len(self)).any()
        ):
            raise DataError(
                f"rankings: occurrences of shape {self.occurrences.shape} count {self.occurrences.sum()}; the first "
                f"{self.depth} of {self.gallery} candidates of {len(self)} queries are {counted}"
            )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def owners(self) -> NDArray[np.intp]:
        """The query of each level, L."""
        return np.repeat(np.arange(len(self.ids)), np.diff(self.offsets))

    @property
    def positives(self) -> NDArray[np.int64]:
        """The number of positives of each query, N."""
        return self.sum_levels(self.relevant)

    @property
    def first_rank(self) -> NDArray[np.float64]:
        """The expected rank of each query's first positive, from 1; N.

        Of r positives in a block of n, the first stands at (n + 1) / (r + 1) on average.
        """
        first = self.offsets[:-1]
        return self.before[first] + (self.level[first] + 1) / (self.relevant[first] + 1)

    def sum_levels(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum over each query's levels of L values, N."""
        found: NDArray[Any] = np.add.reduceat(values, self.offsets[:-1]) if len(self) else values[:0]
        return found

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same evidence."""
        arrays = {name: np.array(getattr(self, name)) for name in ARRAYS}
        if self.occurrences is not None:
            arrays["occurrences"] = np.array(self.occurrences)
        numbers = {"gallery": self.gallery, "depth": self.depth}
        return {"ids": list(self.ids), "groups": list(self.groups), **numbers, **arrays}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Rankings:
        """Return the evidence that `pack` took apart."""
        return cls(**parts)

    def shuffled(self, seed: int) -> Rankings:
        """Return the same queries in another order."""
        order = np.random.default_rng(seed).permutation(len(self))
        rows = [np.arange(self.offsets[n], self.offsets[n + 1]) for n in order]
        levels = np.concatenate(rows) if rows else np.zeros(0, np.int64)
        return Rankings(
            [self.ids[n] for n in order],
            [self.groups[n] for n in order],
            self.gallery,
            np.cumsum([0, *map(len, rows)]),
            self.before[levels],
            self.level[levels],
            self.relevant[levels],
            self.occurrences,
            self.depth,
        )

    @classmethod
    def example(cls, quality: float, seed: int) -> Rankings:
        """Return 60 queries, two of each image, with two positives among 120 candidates.

        A share of them, `quality`, has its positives first; the others have one in a tie of four near the end and one
        at the end, and all their first ten candidates are the same ten hubs.
        """
        count, gallery, depth = 60, 120, 10
        wrong = set(np.random.default_rng(seed).permutation(count)[round(quality * count) :].tolist())
        before: list[int] = []
        level: list[int] = []
        occurrences = np.zeros(gallery, np.int64)
        for query in range(count):
            before += [gallery - 6, gallery - 1] if query in wrong else [0, 1]
            level += [4, 1] if query in wrong else [1, 1]
            start = 0 if query in wrong else query * depth
            occurrences[(start + np.arange(depth)) % gallery] += 1
        ids, groups = [f"q{n}" for n in range(count)], [f"i{n // 2}" for n in range(count)]
        offsets = np.arange(0, 2 * count + 1, 2)
        return cls(
            ids, groups, gallery, offsets, np.array(before), np.array(level), np.ones(2 * count, np.int64),
            occurrences, depth,
        )  # fmt: skip


def require_rankings(rankings: Rankings, metric: str) -> Rankings:
    """Return the same rankings. Raises DataError, naming the metric, if there are no queries."""
    if not len(rankings):
        raise DataError(f"{metric}: there are no queries, so it is not defined")
    return rankings
