"""The first candidates of each query so far, exactly: those of a block are added, and what falls behind is dropped."""

from __future__ import annotations

import torch

from harness_retrieval.block_scores import BlockScores, ScoreBlock, find_at_least, round_outwards


def find_first(scores: BlockScores, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the first `k` ≤ M candidates of each query: scores N×k float64 and numbers N×k, on the scores' device."""
    first = FirstCandidates(scores, k)
    for block in scores.iterate():
        first.add(block)
    return first.scores, first.ids


class FirstCandidates:
    """The first `k` candidates of N queries: `scores` N×k float64 and `ids` N×k; −∞ and −1 before there are k.

    Order: by score, then by number. Blocks must come by increasing numbers of candidates.
    """

    def __init__(self, scores: BlockScores, k: int) -> None:
        self.source, self.k = scores, k
        count, self.size = scores.shape
        self.scores = torch.full((count, k), -torch.inf, dtype=torch.float64, device=scores.device)
        self.ids = torch.full((count, k), -1, device=scores.device)

    def add(self, block: ScoreBlock) -> None:
        """Add the candidates of a block that are among the first k so far."""
        tolerance = self.source.tolerance[block.rows]
        # what is below the last of the first k by more than both errors can't be among them
        least = self.scores[block.rows, -1] - tolerance - block.error
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
        if len(rows):
            self._merge(block, rows, columns, self.source.score_pairs(block, rows, columns))

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
        self._merge(block, rows[at], columns, exact[at, columns])

    def _merge(
        self, block: ScoreBlock, rows: torch.Tensor, columns: torch.Tensor, exact: torch.Tensor
    ) -> None:
        """Merge scored pairs of a block, by increasing rows, into the first k of their queries."""
        rows, columns = rows + block.rows.start, columns + block.columns.start
        busy, at, counts = torch.unique_consecutive(rows, return_inverse=True, return_counts=True)
        place = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[at]
        width = self.k + int(counts.max())
        scores = self.scores.new_full((len(busy), width), -torch.inf)
        ids = self.ids.new_full((len(busy), width), -1)
        scores[:, : self.k], ids[:, : self.k] = self.scores[busy], self.ids[busy]
        scores[at, self.k + place], ids[at, self.k + place] = exact, columns
        scores, ids = order_by_score(scores, ids, self.source.tolerance[busy])
        self.scores[busy], self.ids[busy] = scores[:, : self.k], ids[:, : self.k]


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
