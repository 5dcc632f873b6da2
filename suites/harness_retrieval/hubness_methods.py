"""Remedies against hubs, candidates that are near to everything: each changes the scores and nothing else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from harness import DataError, OptionError
from harness_retrieval.contracts import RetrievalTask, Similarity

if TYPE_CHECKING:
    import torch

_TRANSDUCTIVE = "transductive: scores of a query depend on all other test queries"


class DualSoftmax:
    """Weigh each score by the candidate's softmax over all queries: S·softmax_queries(βS) (Cheng et al. 2021).

    A candidate that is near to many queries loses weight for each. It reads all test queries at once. Scores are
    returned as sign(v)·log(1 + a·|v|) with a constant a, which rank as v = S·softmax(βS) and neither overflow nor
    vanish, whatever β.

    Args:
        beta: β, the inverse temperature on cosines; 20 as in the comparison of QB-Norm (Bogolin et al. 2022).
    """

    needs_bank = False
    remarks = (_TRANSDUCTIVE,)

    def __init__(self, beta: float = 20.0) -> None:
        self.beta = _check_beta("dual-softmax", beta)

    def fit(self, task: RetrievalTask) -> Similarity:
        """Sum over the queries for each candidate, in blocks."""
        import torch

        beta = self.beta
        totals = sum_over_queries(task.queries, task.gallery, beta, task.memory)
        reach = max(1.0, *(float(t.norm(dim=1).max()) for t in (task.queries, task.gallery))) ** 2
        raised = 2 * beta * reach + math.log(len(task.queries)) + 30.0  # above all logarithms of weights

        def rescale(scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
            logs = scores.abs().log() + beta * scores - _pick(totals, columns, scores) + raised
            return scores.sign() * torch.logaddexp(logs, torch.zeros_like(logs))

        return Similarity(task.queries, task.gallery, rescale)


class QueryBank:
    """Normalise by a bank of training queries: QB-Norm with its dynamic inverted softmax (Bogolin et al., CVPR 2022).

    A score becomes exp(βS) / Σ_bank exp(βS_bank) for its candidate, but only for queries whose first candidate is
    also the first of some query of the bank; others keep their order. Scores are returned as S − log(Σ)/β, which rank
    the same and are on one scale.

    Args:
        beta: β, the inverse temperature on cosines.
    """

    needs_bank = True

    def __init__(self, beta: float = 20.0) -> None:
        self.beta = _check_beta("query-bank", beta)

    def fit(self, task: RetrievalTask) -> Similarity:
        """Sum over the bank for each candidate; raises DataError without a bank."""
        import torch

        from harness_retrieval.search import top_k

        bank = _require_bank("query-bank", task)
        lower = sum_over_queries(bank, task.gallery, self.beta, task.memory) / self.beta
        hubs = top_k(bank, task.gallery, 1, memory=task.memory)[1][:, 0].unique()
        first = top_k(task.queries, task.gallery, 1, memory=task.memory)[1][:, 0]
        active = torch.isin(first, hubs).double()

        def rescale(scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
            return scores - _pick(active, rows, scores) * _pick(lower, columns, scores)

        count = int(active.sum())
        remark = f"{count} of {len(active)} queries were normalised by {len(bank)} training queries"
        return Similarity(task.queries, task.gallery, rescale, (remark,))


class MeanCentring:
    """Subtract the mean of the queries from queries and that of the candidates from candidates (Suzuki et al. 2013).

    What is left is scaled to unit length again, or 0 where an embedding is the mean. Candidates near the mean query,
    the hubs, lose what they have in common with all queries. It holds changed copies of all embeddings.

    Args:
        queries: whose mean counts for queries: "bank", training queries, or "test", all test queries.
    """

    def __init__(self, queries: Literal["bank", "test"] = "bank") -> None:
        if queries not in ("bank", "test"):
            raise OptionError(f"mean-centring: queries must be bank or test, found {queries!r}")
        self.queries = queries
        self.needs_bank = queries == "bank"
        self.remarks = () if self.needs_bank else (_TRANSDUCTIVE,)

    def fit(self, task: RetrievalTask) -> Similarity:
        """Centre both; raises DataError without the bank that it needs."""
        known = _require_bank("mean-centring", task) if self.needs_bank else task.queries
        return Similarity(_centre(task.queries, known), _centre(task.gallery, task.gallery))


def sum_over_queries(
    queries: torch.Tensor, gallery: torch.Tensor, beta: float, memory: int = 2**28
) -> torch.Tensor:
    """Return log Σ_queries exp(β·S) of each candidate, M float64, from blocks of float64 scores."""
    import torch

    from harness_retrieval.block_scores import BlockScores, full_precision

    scores = BlockScores(queries, gallery, lambda scores, rows, columns: beta * scores, memory)
    totals = torch.full((len(gallery),), -torch.inf, dtype=torch.float64, device=scores.device)
    with full_precision(scores.device):
        for block in scores.iterate():
            own = torch.logsumexp(block.scores, dim=0)
            totals[block.columns] = torch.logaddexp(totals[block.columns], own)
    return totals


def _check_beta(name: str, beta: float) -> float:
    if not 0 < beta < math.inf:
        raise OptionError(f"{name}: beta must be positive, found {beta}")
    return beta


def _require_bank(name: str, task: RetrievalTask) -> torch.Tensor:
    if task.bank is None or not len(task.bank):
        raise DataError(f"{name} needs a bank of training queries: the data set must have a training split")
    return task.bank


def _pick(values: torch.Tensor, at: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Return a vector's values at these numbers, as scores are: their device and type."""
    return values.to(scores.device)[at].to(scores.dtype)


def _centre(embeddings: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return embeddings N×D less the mean of the known ones, with unit length; 0 where nothing but rounding is left."""
    import torch

    mean = known.mean(dim=0, dtype=torch.float64)
    parts = []
    for part in embeddings.split(4096):
        left = part.double() - mean
        norms = left.norm(dim=1, keepdim=True)
        real = norms > 1e-6 * part.double().norm(dim=1, keepdim=True)
        parts.append(torch.where(real, left / norms, 0.0).to(embeddings.dtype))
    return torch.cat(parts)
