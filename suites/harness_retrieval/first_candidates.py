"""The first candidates of each query so far, exactly: those of a block are added, and what falls behind is dropped."""

from __future__ import annotations

import torch

from harness_retrieval.block_scores import BlockScores, ScoreBlock


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
        least = self.scores[block.rows, -1] - self.source.tolerance[block.rows] - block.error
        if torch.isinf(least).any():  # there are fewer than k yet: begin with the first k of this block
            own = block.scores.topk(min(self.k, block.scores.shape[1]), dim=1).values[:, -1].double()
            ample = block.scores.shape[1] >= self.k
            least = own - 2 * block.error - self.source.tolerance[block.rows] if ample else least
        near = block.scores >= least.to(block.scores.dtype)[:, None]
        counts = near.sum(1)
        many = counts > 4 * self.k + 64
        if many.any():
            rows = many.nonzero()[:, 0]
            near[rows] = False
            self._add_whole(block, rows)
        at, column = near.nonzero(as_tuple=True)
        if len(at):
            self._add_pairs(at + block.rows.start, column + block.columns.start)

    def _add_whole(self, block: ScoreBlock, rows: torch.Tensor) -> None:
        """Add a block's candidates for some of its rows (n), in which too many are close to each other."""
        if self.source.exact:
            exact = block.scores[rows]
        else:
            exact = self.source.score_rows(rows + block.rows.start, block.columns)
        tolerance = self.source.tolerance[rows + block.rows.start]
        kept = min(self.k, exact.shape[1])
        last = exact.topk(kept, dim=1).values[:, -1]
        above = exact > (last + tolerance)[:, None]
        equal = (exact >= (last - tolerance)[:, None]) & ~above
        # of those at the last place the lowest numbers suffice
        kept_equal = equal & (equal.cumsum(1) <= (kept - above.sum(1))[:, None])
        at, column = (above | kept_equal).nonzero(as_tuple=True)
        self._merge(rows[at] + block.rows.start, column + block.columns.start, exact[at, column])

    def _add_pairs(self, rows: torch.Tensor, columns: torch.Tensor) -> None:
        self._merge(rows, columns, self.source.score_pairs(rows, columns))

    def _merge(self, rows: torch.Tensor, columns: torch.Tensor, exact: torch.Tensor) -> None:
        """Merge scored pairs, by increasing rows, into the first k of their queries."""
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
