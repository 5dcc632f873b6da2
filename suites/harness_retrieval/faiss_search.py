"""The first candidates by faiss: its float32 list is scored again in float64, so that the result is the exact one."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from harness import Unavailable
from harness_retrieval.first_candidates import find_first, order_by_score

if TYPE_CHECKING:
    import torch

    from harness_retrieval.block_scores import BlockScores


def explain_missing_faiss() -> str | None:
    """Return that faiss is missing and how to get it, or None."""
    if find_spec("faiss") is None:
        return "the engine 'faiss' needs faiss: pip install \"vision-harness[faiss]\""
    return None


def find_first_by_faiss(scores: BlockScores, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `find_first` does, for inner products: scores N×k float64 and numbers N×k.

    A query is searched again without faiss if the margin of its list does not show that nothing is missing, as where
    many candidates are equal. Raises Unavailable without the package.
    """
    if missing := explain_missing_faiss():
        raise Unavailable(missing)
    import faiss
    import torch

    count, size = scores.shape
    if scores.exact:  # float32 can't hold these scores
        return find_first(scores, k)
    wide = min(size, k + k // 2 + 16)
    rough, found = _search(faiss, scores, wide)
    rows = torch.arange(count).repeat_interleave(wide)
    exact = scores.multiply_pairs(rows, found.flatten()).view(count, wide)
    exact, ids = order_by_score(exact, found, scores.tolerance)
    exact, ids = exact[:, :k].contiguous(), ids[:, :k].contiguous()
    if wide < size:
        limit = exact[:, -1] - scores.tolerance - scores.bound_error(slice(0, count))
        short = (rough[:, -1].double() >= limit).nonzero()[:, 0]
        if len(short):
            exact[short], ids[short] = find_first(scores.take(short), k)
    return exact, ids


def _search(faiss: Any, scores: BlockScores, wide: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return faiss's first `wide` candidates of each query: inner products float32, and numbers."""
    import torch

    queries, gallery = (
        t.detach().cpu().float().contiguous().numpy() for t in (scores.queries, scores.gallery)
    )
    rough, found = faiss.knn(queries, gallery, wide, metric=faiss.METRIC_INNER_PRODUCT)
    return torch.from_numpy(rough), torch.from_numpy(found)
