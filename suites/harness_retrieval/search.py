"""Exact search: ranks of positives and the first candidates, in blocks, without the matrix of all scores.

Float32 products sort out what is clearly above or below; what lies within their error of a deciding score is scored
again in float64, so that results do not depend on the sizes of blocks. Scores that differ by less than 1e-12 of the
product of the norms are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch

from harness import DataError, OptionError
from harness_retrieval.block_scores import (
    MEMORY,
    TOLERANCE,
    BlockScores,
    ScoreBlock,
    find_at_least,
    full_precision,
    round_outwards,
)
from harness_retrieval.faiss_search import find_first_by_faiss
from harness_retrieval.first_candidates import find_first

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_retrieval.contracts import Rescale

CROWDED = 64
"""One candidate in so many near a level's score makes a query's block worth a product in float64."""
FIRST_QUERIES = 1024
"""Queries of a block when first candidates are searched: so many that products take all the time."""
Ties = Literal["expected", "id"]
Engine = Literal["torch", "faiss"]


class Levels(NamedTuple):
    """Where positives are in the rankings of N queries, as levels of equal score, by decreasing score.

    `offsets`: N+1, a query's levels are those from its offset to the next; `before`: candidates of all kinds with a
    larger score; `level`: candidates with this score; `relevant`: positives among them. All int64.
    """

    offsets: NDArray[np.int64]
    before: NDArray[np.int64]
    level: NDArray[np.int64]
    relevant: NDArray[np.int64]


def rank_positives(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    positives: Sequence[Sequence[int]],
    *,
    rescale: Rescale | None = None,
    ties: Ties = "expected",
    memory: int = MEMORY,
    device: torch.device | str | None = None,
) -> Levels:
    """Return where the positives of each query are among all candidates, exactly.

    `queries` N×D and `gallery` M×D are compared by inner products, `rescale`d if given; `positives` holds the numbers
    of each query's right candidates, one or more. With `ties` "expected" equal scores are one level; with "id" the
    candidate with the lower number is first, so that each positive has a level of its own. Needs `memory` bytes
    beyond the vectors.
    Raises DataError for NaN or infinite values, shapes that do not fit, and positives that are no candidates,
    OptionError for other `ties`.
    """
    if ties not in ("expected", "id"):
        raise OptionError(f"rank_positives: ties must be expected or id, found {ties!r}")
    scores = BlockScores(queries, gallery, rescale, memory, device)
    rows, columns = _flatten_positives(positives, *scores.shape)
    with full_precision(scores.device):
        found = _PositiveLevels(scores, rows, columns)
        for block in scores.iterate():
            found.count(block)
    return found.expand_by_id() if ties == "id" else found.summarise()


def _flatten_positives(
    positives: Sequence[Sequence[int]], count: int, size: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the query and the candidate of each positive; both P. Raises DataError for wrong ones."""
    if len(positives) != count:
        raise DataError(f"positives must be those of {count} queries, found {len(positives)}")
    lengths = np.array([len(own) for own in positives], dtype=np.int64)
    if not lengths.all():
        raise DataError(f"query {int(lengths.argmin())} has no right candidate: it can't be ranked")
    rows = np.repeat(np.arange(count), lengths)
    columns = np.concatenate([np.asarray(own, dtype=np.int64) for own in positives])
    if len(wrong := np.flatnonzero((columns < 0) | (columns >= size))):
        first = int(wrong[0])
        raise DataError(
            f"query {int(rows[first])}: positive {int(columns[first])} is none of the {size} candidates"
        )
    pairs, counts = np.unique(rows * size + columns, return_counts=True)
    if counts.max() > 1:
        row, column = divmod(int(pairs[counts.argmax()]), size)
        raise DataError(f"query {row}: candidate {column} is listed twice among its positives")
    return rows, columns


class _PositiveLevels:
    """Levels of equal positives, whose candidates above, and at the same score, are counted block by block."""

    def __init__(self, scores: BlockScores, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        self.scores, device = scores, scores.device
        count, self.size = scores.shape
        pair_rows, pair_columns = torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)
        products = scores.multiply_pairs(pair_rows, pair_columns)
        values, low, high = _rescale_with_limits(scores, products, pair_rows, pair_columns)
        order = torch.argsort(values, descending=True, stable=True)
        order = order[torch.argsort(pair_rows[order], stable=True)]
        pair_rows, values, low, high = (t[order] for t in (pair_rows, values, low, high))
        starts = torch.ones(len(order), dtype=torch.bool, device=device)
        starts[1:] = (pair_rows[1:] != pair_rows[:-1]) | (values[:-1] > high[1:])
        level = starts.cumsum(0) - 1  # of each positive
        first = starts.nonzero()[:, 0]
        last = torch.cat([first[1:], first.new_tensor([len(order)])]) - 1
        self.rows = pair_rows[first]
        self.high, self.low = high[first], low[last]
        self.offsets = torch.searchsorted(self.rows, torch.arange(count + 1, device=device))
        self.relevant = last - first + 1
        self.above, self.equal = torch.zeros_like(first), torch.zeros_like(first)
        # keys of the positives, sorted: by level, then by number
        self.keys = (level * self.size + pair_columns[order]).sort().values
        self.key_levels = self.keys // self.size
        self.earlier = torch.zeros(len(order) + 1, dtype=torch.int64, device=device)

    def count(self, block: ScoreBlock) -> None:
        """Count a block's candidates."""
        rows = slice(int(self.offsets[block.rows.start]), int(self.offsets[block.rows.stop]))
        place = torch.arange(rows.start, rows.stop, device=self.rows.device) - self.offsets[self.rows[rows]]
        for n in range(int(place.max()) + 1):
            self._count_level(block, rows.start + (place == n).nonzero()[:, 0])

    def _count_level(self, block: ScoreBlock, levels: torch.Tensor) -> None:
        """Count a block's candidates for one level of each query at most."""
        own = self.rows[levels] - block.rows.start
        scores = block.scores if len(own) == len(block.scores) else block.scores[own]
        low, high = self.low[levels], self.high[levels]
        least, most = round_outwards(low - block.error[own], high + block.error[own], scores.dtype)
        # comparisons into numbers of the same type are several times as fast as into bools
        above = torch.gt(scores, most[:, None], out=torch.empty_like(scores))
        self.above[levels] += above.sum(1).long()
        near = torch.ge(scores, least[:, None], out=torch.empty_like(scores)).sub_(above)
        crowded = near.sum(1) * CROWDED > near.shape[1]
        if crowded.any():  # a product of blocks is cheaper than as many of single pairs
            at = crowded.nonzero()[:, 0]
            exact = self.scores.score_rows(block, own[at])
            over = (exact > high[at, None]) & (near[at] > 0)
            self.above[levels[at]] += over.sum(1)
            inside, columns = ((exact >= low[at, None]) & (near[at] > 0) & ~over).nonzero(as_tuple=True)
            self._add_members(levels[at[inside]], columns + block.columns.start)
            near[at] = 0
        at, columns = find_at_least(near, near.new_ones(len(near)))
        exact = self.scores.score_pairs(block, own[at], columns)
        self.above += torch.bincount(levels[at[exact > high[at]]], minlength=len(self.above))
        inside = (exact >= low[at]) & (exact <= high[at])
        self._add_members(levels[at[inside]], columns[inside] + block.columns.start)

    def _add_members(self, level: torch.Tensor, column: torch.Tensor) -> None:
        """Add candidates that have a level's score; a member is earlier than the positives behind it in its level."""
        self.equal += torch.bincount(level, minlength=len(self.equal))
        place = torch.searchsorted(self.keys, level * self.size + column, right=True)
        self.earlier += torch.bincount(place, minlength=len(self.earlier))

    def summarise(self) -> Levels:
        """Return the levels, equal scores together."""
        return Levels(*(t.cpu().numpy() for t in (self.offsets, self.above, self.equal, self.relevant)))

    def expand_by_id(self) -> Levels:
        """Return a level for each positive, equal scores by number."""
        ends = self.relevant.cumsum(0)
        starts = ends - self.relevant
        seen = self.earlier.cumsum(0)
        # members of former levels may have their place at this level's first positive: they are those levels' own
        former = torch.cat([self.equal.new_zeros(1), self.equal.cumsum(0)])[:-1]
        before = self.above[self.key_levels] + seen[:-1] - former[self.key_levels]
        ones = torch.ones_like(before)
        offsets = torch.cat([starts, ends[-1:]])[self.offsets]
        return Levels(*(t.cpu().numpy() for t in (offsets, before, ones, ones)))


def _rescale_with_limits(
    scores: BlockScores, products: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the scores of pairs from their inner products, and the least and the largest score that equal each."""
    tolerance = scores.tolerance[rows]
    if scores.rescale is None:
        return products, products - tolerance, products + tolerance
    values, one, other = (
        scores.rescale(products + d, rows, columns) for d in (0 * tolerance, tolerance, -tolerance)
    )
    return (
        values,
        torch.minimum(values - TOLERANCE, torch.minimum(one, other)),
        torch.maximum(values + TOLERANCE, torch.maximum(one, other)),
    )


def top_k(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    k: int,
    *,
    rescale: Rescale | None = None,
    memory: int = MEMORY,
    engine: Engine = "torch",
    device: torch.device | str | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first `k` candidates of each query (all, if there are fewer): scores N×k float64 and numbers N×k.

    Exact, as `rank_positives`: by decreasing score, equal scores by number. The engine "faiss" finds the candidates by
    faiss on the CPU, and gives the same; it takes no `rescale`. Both results are on the CPU.
    Raises DataError as `rank_positives` does, OptionError for a k below 1 or an engine that can't do it, and
    Unavailable without faiss.
    """
    if k < 1:
        raise OptionError(f"top_k: k must be at least 1, found {k}")
    if engine not in ("torch", "faiss"):
        raise OptionError(f"top_k: engine must be torch or faiss, found {engine!r}")
    if engine == "faiss" and rescale is not None:
        raise OptionError("top_k: faiss compares inner products; for rescaled scores take the engine 'torch'")
    where = "cpu" if engine == "faiss" else device
    scores = BlockScores(queries, gallery, rescale, memory, where, height=FIRST_QUERIES)
    find = find_first_by_faiss if engine == "faiss" else find_first
    with full_precision(scores.device):
        found, ids = find(scores, min(k, len(gallery)))
    return found.cpu(), ids.cpu()
