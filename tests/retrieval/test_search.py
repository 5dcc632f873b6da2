"""Exact search against exact arithmetic, whatever the sizes of blocks; ties, duplicates, memory, faiss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from harness import DataError, OptionError, Unavailable
from harness_retrieval import block_scores, faiss_search
from harness_retrieval.block_scores import check_embeddings
from harness_retrieval.search import Levels, Ties, rank_positives, top_k

MEMORIES = (2_000, 10_000, 2**28)  # blocks of a few candidates, of dozens, of all


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


def by_query(levels: Levels) -> list[list[tuple[int, int, int]]]:
    """The levels (before, level, relevant) of each query."""
    rows = list(zip(*(column.tolist() for column in levels[1:])))
    return [rows[a:b] for a, b in zip(levels.offsets[:-1], levels.offsets[1:])]


def ranked(scores: np.ndarray) -> list[int]:
    """Candidates by decreasing score, then by number."""
    return np.lexsort((np.arange(len(scores)), -scores)).tolist()


def levels_of(scores: np.ndarray, positives: list[int], ties: str) -> list[tuple[int, int, int]]:
    """What `rank_positives` returns for one query, from all its scores."""
    if ties == "id":
        return [(place, 1, 1) for place in sorted(ranked(scores).index(p) for p in positives)]
    values = sorted({scores[p] for p in positives}, reverse=True)
    own = scores[positives]
    return [(int((scores > v).sum()), int((scores == v).sum()), int((own == v).sum())) for v in values]


@st.composite
def searches(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Small whole numbers, whose products are exact in every type, and so tie often; positives of each query."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    count, size, width = draw(st.integers(1, 12)), draw(st.integers(1, 150)), draw(st.integers(1, 4))
    reach = draw(st.sampled_from([0, 1, 3, 50]))
    queries, gallery = (rng.integers(-reach, reach + 1, (n, width)) for n in (count, size))
    gallery = gallery[rng.integers(0, draw(st.sampled_from([1, 3, size])), size) % size]
    most = min(size, draw(st.integers(1, 7)))
    positives = [rng.choice(size, rng.integers(1, most + 1), replace=False).tolist() for _ in range(count)]
    return queries, gallery, positives


@settings(max_examples=60)
@given(
    searches(),
    st.sampled_from(get_args(Ties)),
    st.sampled_from(MEMORIES),
    st.sampled_from([(2, 64), (256, 4096)]),
)
def test_ranks_and_first_candidates_are_those_of_whole_numbers_for_any_blocks(
    case: tuple[np.ndarray, np.ndarray, list[list[int]]], ties: Any, memory: int, block: tuple[int, int]
) -> None:
    queries, gallery, positives = case
    scores = queries @ gallery.T
    first, second = torch.from_numpy(queries).float(), torch.from_numpy(gallery).float()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(block_scores, "_ROWS", block[0])
        patch.setattr(block_scores, "_COLUMNS", block[1])
        levels = rank_positives(first, second, positives, ties=ties, memory=memory)
        values, ids = top_k(first, second, 5, memory=memory)
    assert by_query(levels) == [levels_of(s, p, ties) for s, p in zip(scores, positives)]
    expected = np.array([ranked(s)[:5] for s in scores])
    assert ids.tolist() == expected.tolist()
    assert values.tolist() == np.take_along_axis(scores, expected, 1).tolist()


@settings(max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from(MEMORIES), st.booleans())
def test_scores_that_float32_confuses_are_told_apart(seed: int, memory: int, distinct: bool) -> None:
    """Multiples of 2⁻¹⁴, so that scores are multiples of 2⁻²⁸: nearly equal ones, or duplicates."""
    rng = np.random.default_rng(seed)
    queries, base = rng.integers(-(2**15), 2**15, (3, 32)), rng.integers(-(2**15), 2**15, (2, 32))
    gallery = base[rng.integers(0, 2, 90)]
    if distinct:  # by less than float32 resolves at the scores' size
        queries[:, :4] = rng.integers(-3, 4, (3, 4))
        gallery[np.arange(90), rng.integers(0, 4, 90)] += rng.integers(1, 50, 90)
    scores = queries @ gallery.T
    positives = [rng.choice(90, 4, replace=False).tolist() for _ in queries]
    first, second = (torch.from_numpy(part).float() / 2**14 for part in (queries, gallery))
    for ties in get_args(Ties):
        levels = rank_positives(first, second, positives, ties=ties, memory=memory)
        assert by_query(levels) == [levels_of(s, p, ties) for s, p in zip(scores, positives)]
    assert top_k(first, second, 10, memory=memory)[1].tolist() == [ranked(s)[:10] for s in scores]


@pytest.mark.parametrize("columns", [64, 4096])
@pytest.mark.parametrize("size", [100, 400])  # few enough for single pairs, and not
def test_candidates_that_float32_puts_behind_are_found(
    size: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_scores, "_COLUMNS", columns)
    base = unit(1, 512, seed=1).expand(size, -1).clone()
    base[torch.arange(size), torch.arange(size)] *= 1 + 2e-7
    queries = unit(40, 512, seed=2)
    exact, rough = queries.double() @ base.double().T, queries @ base.T
    best = exact.argmax(dim=1, keepdim=True)
    assert (rough.gather(1, best) < rough.amax(dim=1, keepdim=True)).any()
    for k in (1, 10):
        ids = top_k(queries, base, k)[1]
        torch.testing.assert_close(exact.gather(1, ids), exact.topk(k).values, atol=2e-12, rtol=0)


@pytest.mark.parametrize("size", [100, 1000])
def test_a_constant_model_ties_everything(size: int) -> None:
    """Check 25: the one positive is in a block of all N, so that R@k is k/N in expectation."""
    same = unit(1, 16).expand(size, -1)
    queries, positives = same[:50], [[n] for n in range(50)]
    expected = rank_positives(queries, same, positives)
    assert by_query(expected) == [[(0, size, 1)]] * 50
    by_id = rank_positives(queries, same, positives, ties="id")
    assert by_query(by_id) == [[(n, 1, 1)] for n in range(50)]
    assert top_k(queries, same, 3)[1].tolist() == [[0, 1, 2]] * 50


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e25])
def test_lengths_of_embeddings_do_not_matter(scale: float) -> None:
    queries, gallery = unit(20, 8, seed=1), unit(300, 8, seed=2)
    gallery[150:] = gallery[:150]
    positives = [[n, n + 150, n + 7] for n in range(20)]
    plain = rank_positives(queries, gallery, positives)
    scaled = rank_positives(queries * scale, gallery * scale, positives)
    assert by_query(plain) == by_query(scaled)
    assert torch.equal(top_k(queries, gallery, 9)[1], top_k(queries * scale, gallery * scale, 9)[1])


def test_fewer_candidates_than_k() -> None:
    scores, ids = top_k(torch.eye(2), torch.eye(2), 10)
    assert ids.tolist() == [[0, 1], [1, 0]]
    assert scores.tolist() == [[1, 0], [1, 0]]


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that an operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else [made]:
            if isinstance(tensor, torch.Tensor) and tensor._base is None:  # no view
                self.bytes = max(self.bytes, tensor.numel() * tensor.element_size())
        return made


@pytest.mark.parametrize(
    "search",
    [
        lambda q, g: rank_positives(q, g, [[n, n + 1] for n in range(len(q))], memory=2**19),
        lambda q, g: rank_positives(q, g, [[n] for n in range(len(q))], ties="id", memory=2**19),
        lambda q, g: top_k(q, g, 10, memory=2**19),
        lambda q, g: top_k(q, g, 10, memory=2**19, rescale=lambda s, r, c: s * 2),
    ],
)
@pytest.mark.parametrize("distinct", [1, 6_000])  # all equal, and none
def test_no_matrix_of_all_scores_is_made(search: Callable[..., Any], distinct: int) -> None:
    queries, gallery = (
        unit(300, 8, seed=1),
        unit(distinct, 8, seed=2).expand(6_000 if distinct == 1 else -1, 8),
    )
    with LargestTensor() as largest:
        search(queries, gallery)
    assert largest.bytes <= 2**19 < 4 * 100 * 6_000


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_embeddings_that_nothing_ranks(value: float, dtype: torch.dtype) -> None:
    """Check 34."""
    good, bad = unit(5, 4).to(dtype), unit(6, 4).to(dtype)
    bad[3, 1] = value
    for queries, gallery, what in ((bad, good, "queries"), (good, bad, "gallery")):
        with pytest.raises(DataError, match=f"{what}: the embedding in row 3 has NaN or infinite values"):
            top_k(queries, gallery, 2)
        with pytest.raises(DataError, match=f"{what}: the embedding in row 3"):
            rank_positives(queries, gallery, [[0]] * len(queries))
    bad[4] = value
    with pytest.raises(DataError, match=r"images: the embedding of 'd' has NaN .*\(2 such rows\)"):
        check_embeddings(bad, "images", list("abcdef"))


@pytest.mark.parametrize(
    ("positives", "message"),
    [
        ([[0], [1]], "those of 3 queries, found 2"),
        ([[0], [], [1]], "query 1 has no right candidate"),
        ([[0], [1], [7]], "query 2: positive 7 is none of the 4 candidates"),
        ([[0], [1, -1], [2]], "query 1: positive -1"),
        ([[0], [1, 2, 1], [2]], "query 1: candidate 1 is listed twice"),
    ],
)
def test_wrong_positives(positives: list[list[int]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rank_positives(unit(3, 2), unit(4, 2), positives)


def test_wrong_shapes_and_options() -> None:
    with pytest.raises(DataError, match="queries have 3 dimensions, the gallery 2"):
        top_k(unit(2, 3), unit(2, 2), 1)
    with pytest.raises(DataError, match=r"gallery: embeddings must be floats N×D, found .* \(0, 3\)"):
        top_k(unit(2, 3), torch.empty(0, 3), 1)
    with pytest.raises(DataError, match="must be floats"):
        top_k(torch.ones(2, 3, dtype=torch.int64), unit(2, 3), 1)
    with pytest.raises(OptionError, match="k must be at least 1, found 0"):
        top_k(unit(2, 3), unit(2, 3), 0)
    with pytest.raises(OptionError, match="engine must be torch or faiss, found 'annoy'"):
        top_k(unit(2, 3), unit(2, 3), 1, engine="annoy")  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="ties must be expected or id, found 'best'"):
        rank_positives(unit(2, 3), unit(2, 3), [[0], [1]], ties="best")  # type: ignore[arg-type]


def test_faster_kinds_of_product_are_not_used() -> None:
    """The bounds hold for float32; a caller's autocast or TF32 changes nothing, and is left as it was."""
    queries, gallery = unit(10, 64, seed=1), unit(500, 64, seed=2)
    positives = [[n] for n in range(10)]
    seen = []

    def note(scores: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return scores

    plain = rank_positives(queries, gallery, positives), top_k(queries, gallery, 5)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            again = rank_positives(queries, gallery, positives), top_k(queries, gallery, 5)
            rank_positives(queries, gallery, positives, rescale=note)
            top_k(queries, gallery, 5, rescale=note)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert set(seen) == {"highest"}
    assert by_query(plain[0]) == by_query(again[0])
    assert torch.equal(plain[1][1], again[1][1])


@settings(max_examples=40)
@given(searches())
def test_faiss_finds_the_same(case: tuple[np.ndarray, np.ndarray, list[list[int]]]) -> None:
    pytest.importorskip("faiss")
    queries, gallery = (torch.from_numpy(part).float() for part in case[:2])
    values, ids = top_k(queries, gallery, 4)
    others, same = top_k(queries, gallery, 4, engine="faiss")
    assert same.tolist() == ids.tolist()
    assert others.tolist() == values.tolist()


def test_faiss_alone_is_inexact_and_is_corrected() -> None:
    faiss = pytest.importorskip("faiss")
    base = unit(1, 512, seed=1).expand(400, -1).clone()
    base[torch.arange(400), torch.arange(400)] *= 1 + 2e-7
    query = unit(2, 512, seed=2)
    exact = top_k(query, base, 10)[1]
    _, rough = faiss.knn(query.numpy(), base.numpy(), 10, metric=faiss.METRIC_INNER_PRODUCT)
    assert rough.tolist() != exact.tolist()
    assert top_k(query, base, 10, engine="faiss")[1].tolist() == exact.tolist()


def test_faiss_where_it_can_not_search(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="faiss compares inner products"):
        top_k(unit(2, 3), unit(2, 3), 1, engine="faiss", rescale=lambda s, r, c: s)
    monkeypatch.setattr(faiss_search, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"needs faiss: pip install \"vision-harness\[faiss\]\""):
        top_k(unit(2, 3), unit(2, 3), 1, engine="faiss")
