"""Exact search against the plain way to search: products in chunks, and torch's topk of each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from harness_retrieval.search import rank_positives, top_k

K, CHUNK = 10, 25_000


def unit(count: int, width: int, seed: int) -> torch.Tensor:
    drawn = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=1)


def search_plainly(queries: torch.Tensor, gallery: torch.Tensor) -> torch.Tensor:
    """The first K candidates by float32 products, N×K."""
    scores, ids = torch.empty(len(queries), 0), torch.empty(len(queries), 0, dtype=torch.int64)
    for start in range(0, len(gallery), CHUNK):
        own, found = (queries @ gallery[start : start + CHUNK].T).topk(K, dim=1)
        scores, ids = torch.cat([scores, own], dim=1), torch.cat([ids, found + start], dim=1)
        scores, kept = scores.topk(K, dim=1)
        ids = ids.gather(1, kept)
    return ids


def test_exact_search(benchmark: Any, measuring: bool, ratio: Callable[..., float], one_thread: None) -> None:
    count, size = (1_000, 50_000) if measuring else (20, 2_000)
    queries, gallery = unit(count, 512, 1), unit(size, 512, 2)
    positives = [[int(n)] for n in torch.arange(count) * 7]
    first = top_k(queries, gallery, K)[1]
    assert first.tolist() == search_plainly(queries, gallery).tolist()
    assert rank_positives(queries, gallery, [[int(n)] for n in first[:, 3]]).before.tolist() == [3] * count

    rounds = 7 if measuring else 1
    searching = ratio(lambda: top_k(queries, gallery, K), lambda: search_plainly(queries, gallery), rounds)
    ranking = ratio(
        lambda: rank_positives(queries, gallery, positives), lambda: search_plainly(queries, gallery), rounds
    )
    benchmark.pedantic(lambda: top_k(queries, gallery, K), rounds=rounds)
    benchmark.extra_info |= {
        "top_k over plain search": searching,
        "rank_positives over plain search": ranking,
    }
    if measuring:
        assert searching < 1.05
        assert ranking < 1.25
