"""The first candidates of each query so far, exactly: those of a block are added, and what falls behind is dropped."""

from __future__ import annotations

import torch

from harness_retrieval.block_scores import BlockScores, ScoreBlock, find_at_least, round_outwards


def find_first(scores: BlockScores, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first `k` ≤ M candidates of each query: scores N×k float64 and numbers N×k, on the scores' device."""
    first = FirstCandidates(scores, k)
    for block in scores.iterate():
        first.add(block)
    return first.finish()


class FirstCandidates:
    """The first `k` candidates of N queries, by score, then by number.

    Blocks come by increasing numbers of candidates. Those that may be among the first are noted, and scored in float64
    when many are noted or all have come: by then most have fallen behind.
    """

    def __init__(self, scores: BlockScores, k: int) -> None:
        self.source, self.k = scores, k
        count, _ = scores.shape
        self._scores = torch.full((count, k), -torch.inf, dtype=torch.float64, device=scores.device)
        self._ids = torch.full((count, k), -1, device=scores.device)
        self._floors = self._scores.clone()
        """What the first k of a query score at least, in any order."""
        self._noted: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, block: ScoreBlock) -> None:
        """Add the candidates of a block that are among the first k so far."""
        tolerance = self.source.tolerance[block.rows]
        # a candidate is behind if it is below the last of the first k by more than its error
        least = self._floors[block.rows, -1] - tolerance - block.error
        if torch.isinf(least).any() and block.scores.shape[1] >= self.k:
            kth = block.scores.topk(self.k, dim=1).values[:, -1].double()
            least = torch.maximum(least, kth - tolerance - 2 * block.error)
        limit, _ = round_outwards(least, least, block.scores.dtype)
        rows, columns = find_at_least(block.scores, limit)
        counts = torch.bincount(rows, minlength=len(least))
        crowded = counts > 4 * self.k + 64
        if (
            crowded.any()
        ):  # as many are equal or nearly so: whole rows are cheaper, and only the first k are kept
            self._add_rows(block, crowded.nonzero()[:, 0], tolerance)
            kept = ~crowded[rows]
            rows, columns = rows[kept], columns[kept]
        values = block.scores[rows, columns].double()
        self._raise_floors(rows + block.rows.start, values - block.error[rows])
        self._noted.append((rows + block.rows.start, columns + block.columns.start, values))
        if sum(len(noted) for noted, _, _ in self._noted) * 64 > self.source.memory:
            self._score_noted()

    def finish(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores N×k float64 and the numbers N×k of the first k."""
        self._score_noted()
        return self._scores, self._ids

    def _score_noted(self) -> None:
        """Score what is noted, unless it has fallen behind, and merge it."""
        rows, columns, values = (torch.cat(parts) for parts in zip(*self._noted))
        self._noted = [(rows[:0], columns[:0], values[:0])]
        count = slice(0, len(self._floors))
        least = self._floors[:, -1] - self.source.tolerance - self.source.bound_error(count)
        kept = (values >= least[rows]).nonzero()[:, 0]
        kept = kept[rows[kept].argsort(stable=True)]
        rows, columns = rows[kept], columns[kept]
        if len(rows):
            exact = values[kept] if self.source.exact else self.source.multiply_pairs(rows, columns)
            self._merge(rows, columns, exact)

    def _add_rows(self, block: ScoreBlock, rows: torch.Tensor, tolerance: torch.Tensor) -> None:
        """Add a block's candidates for some of its queries, n."""
        exact = self.source.score_rows(block, rows)
        kept = min(self.k, exact.shape[1])
        last = exact.topk(kept, dim=1).values[:, -1]
        above = exact > (last + tolerance[rows])[:, None]
        equal = (exact >= (last - tolerance[rows])[:, None]) & ~above
        # of those that share the last place, the lowest numbers
        equal &= equal.cumsum(1) <= (kept - above.sum(1))[:, None]
        at, columns = (above | equal).nonzero(as_tuple=True)
        exact_values = exact[at, columns]
        rows, columns = rows[at] + block.rows.start, columns + block.columns.start
        self._raise_floors(rows, exact_values)
        self._merge(rows, columns, exact_values)

    def _raise_floors(self, rows: torch.Tensor, values: torch.Tensor) -> None:
        """Raise the floors by new candidates, by increasing rows, that score at least these values."""
        if len(rows):
            busy, at, place, width = _place_by_row(rows)
            floors = self._floors.new_full((len(busy), self.k + width), -torch.inf)
            floors[:, : self.k] = self._floors[busy]
            floors[at, self.k + place] = values
            self._floors[busy] = floors.topk(self.k, dim=1).values

    def _merge(self, rows: torch.Tensor, columns: torch.Tensor, exact: torch.Tensor) -> None:
        """Merge scored pairs, by increasing rows, into the first k of their queries."""
        busy, at, place, width = _place_by_row(rows)
        scores = self._scores.new_full((len(busy), self.k + width), -torch.inf)
        ids = self._ids.new_full(scores.shape, -1)
        scores[:, : self.k], ids[:, : self.k] = self._scores[busy], self._ids[busy]
        scores[at, self.k + place], ids[at, self.k + place] = exact, columns
        scores, ids = order_by_score(scores, ids, self.source.tolerance[busy])
        self._scores[busy], self._ids[busy] = scores[:, : self.k], ids[:, : self.k]


def _place_by_row(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, int]:
    """Return the distinct rows, each entry's place among them and within its row, and the most of one row."""
    busy, at, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
    place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[at]
    return busy, at, place, int(counts.max())


def order_by_score(
    scores: torch.Tensor, ids: torch.Tensor, tolerance: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows n×w by decreasing score; scores that differ by at most `tolerance` (n) by increasing number."""
    scores, order = scores.sort(dim=1, descending=True)
    ids = ids.gather(1, order)
    steps = scores[:, :-1] - scores[:, 1:] > tolerance[:, None]  # false between two −∞
    level = torch.nn.functional.pad(steps.cumsum(1), (1, 0))
    order = ids.sort(dim=1, stable=True).indices
    order = order.gather(1, level.gather(1, order).sort(dim=1, stable=True).indices)
    return scores.gather(1, order), ids.gather(1, order)
