"""Remedies against hubs: closed forms, the papers' formulas on whole matrices, large temperatures, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp, softmax

from harness import DataError, OptionError
from harness_retrieval.contracts import RetrievalMethod, RetrievalTask, Similarity
from harness_retrieval.hubness_methods import DualSoftmax, MeanCentring, QueryBank
from harness_retrieval.search import rank_positives, top_k

HUB = torch.tensor([[0.9, 0.1, 0.1], [0.8, 0.7, 0.1], [0.8, 0.1, 0.7]])


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(drawn, dim=-1)


def recall_at_1(similarity: Similarity) -> float:
    positives = [[n] for n in range(len(similarity.queries))]
    found = rank_positives(similarity.queries, similarity.gallery, positives, rescale=similarity.rescale)
    return float((found.before == 0).mean())


def order(similarity: Similarity, memory: int = 2**28) -> np.ndarray:
    """All candidates of each query in their order."""
    size = len(similarity.gallery)
    found = top_k(similarity.queries, similarity.gallery, size, rescale=similarity.rescale, memory=memory)
    return found[1].numpy()


def test_a_hub_loses_by_dual_softmax() -> None:
    """Check 26."""
    task = RetrievalTask(HUB, torch.eye(3))
    assert recall_at_1(Similarity(task.queries, task.gallery)) == pytest.approx(1 / 3)
    assert recall_at_1(DualSoftmax(beta=20).fit(task)) == 1


def test_a_hub_loses_by_a_bank_that_knows_it() -> None:
    task = RetrievalTask(HUB, torch.eye(3), bank=HUB)
    found = QueryBank().fit(task)
    assert recall_at_1(found) == 1
    assert found.remarks == ("3 of 3 queries were normalised by 3 training queries",)


@pytest.mark.parametrize("beta", [0.5, 20.0])
@pytest.mark.parametrize("memory", [1, 2**28])
def test_dual_softmax_ranks_as_its_formula(beta: float, memory: int) -> None:
    task = RetrievalTask(unit(40, 6, seed=1), unit(70, 6, seed=2), memory=memory)
    scores = (task.queries.double() @ task.gallery.double().T).numpy()
    weighed = scores * softmax(beta * scores, axis=0)
    np.testing.assert_array_equal(
        order(DualSoftmax(beta).fit(task)), np.argsort(-weighed, axis=1, kind="stable")
    )


@pytest.mark.parametrize("beta", [100.0, 5_000.0])
def test_dual_softmax_at_temperatures_that_overflow(beta: float) -> None:
    """Ranks as log(S) + log softmax(βS) for positive scores, which come first; float64 would hold none of them."""
    task = RetrievalTask(unit(30, 6, seed=1), unit(50, 6, seed=2))
    scores = (task.queries.double() @ task.gallery.double().T).numpy()
    logs = np.log(np.abs(scores)) + beta * scores - logsumexp(beta * scores, axis=0)
    expected = np.lexsort((-logs * np.sign(scores), -np.sign(scores)), axis=1)
    np.testing.assert_array_equal(order(DualSoftmax(beta).fit(task)), expected)


def test_duplicates_and_orthogonal_candidates_tie_under_dual_softmax() -> None:
    queries = torch.cat([torch.eye(4), unit(6, 4)])
    gallery = torch.cat([torch.eye(4), torch.eye(4)])
    found = DualSoftmax().fit(RetrievalTask(queries, gallery))
    positives = [[0, 4], [0, 4], *([[2]] * 8)]
    levels = rank_positives(found.queries, found.gallery, positives, rescale=found.rescale)
    assert levels.before[:2].tolist() == [0, 2]
    assert levels.level[:2].tolist() == [2, 6]  # the six that are orthogonal to the second query score 0
    assert (levels.level[2:] % 2 == 0).all()


def test_a_query_bank_ranks_as_its_formula() -> None:
    task = RetrievalTask(unit(60, 5, seed=1), unit(40, 5, seed=2), bank=unit(10, 5, seed=3))
    assert task.bank is not None
    scores = (task.queries.double() @ task.gallery.double().T).numpy()
    bank = (task.bank.double() @ task.gallery.double().T).numpy()
    active = np.isin(scores.argmax(1), bank.argmax(1))
    assert 0 < active.sum() < len(active)
    normalised = np.exp(20 * scores) / np.exp(20 * bank).sum(0)
    expected = np.argsort(-np.where(active[:, None], normalised, scores), axis=1)
    found = QueryBank().fit(task)
    np.testing.assert_array_equal(order(found), expected)
    assert found.remarks == (f"{active.sum()} of 60 queries were normalised by 10 training queries",)


def test_logits_that_overflow_do_not_in_a_query_bank() -> None:
    queries, gallery, bank = (100 * unit(n, 4, seed=n) for n in (7, 9, 11))
    found = QueryBank().fit(RetrievalTask(queries, gallery, bank))
    scores = (queries.double() @ gallery.double().T).numpy()
    lower = logsumexp(20 * (bank.double() @ gallery.double().T).numpy(), axis=0) / 20
    active = np.isin(scores.argmax(1), top_k(bank, gallery, 1)[1].numpy())
    assert np.isfinite(lower).all()
    np.testing.assert_array_equal(order(found), np.argsort(-(scores - active[:, None] * lower), axis=1))


def test_centring_removes_what_all_have_in_common() -> None:
    """A common direction of the queries makes the candidate along it a hub; without it the pairs are found."""
    own, common = torch.eye(6)[:5], torch.eye(6)[5]
    queries = torch.nn.functional.normalize(own + 2 * common, dim=1)
    gallery = torch.nn.functional.normalize(torch.cat([own, common[None]]) + 0.1 * common, dim=1)
    plain = Similarity(queries, gallery)
    assert recall_at_1(plain) == 0
    assert recall_at_1(MeanCentring("test").fit(RetrievalTask(queries, gallery))) == 1
    assert recall_at_1(MeanCentring().fit(RetrievalTask(queries, gallery, bank=queries))) == 1


def test_centred_embeddings_have_unit_length_or_are_nothing() -> None:
    task = RetrievalTask(unit(20, 4, seed=1), unit(30, 4, seed=2), bank=unit(5, 4, seed=3))
    found = MeanCentring().fit(task)
    assert task.bank is not None
    expected = torch.nn.functional.normalize(task.queries - task.bank.mean(0), dim=1)
    torch.testing.assert_close(found.queries, expected)
    torch.testing.assert_close(found.gallery.norm(dim=1), torch.ones(30))
    same = unit(1, 4).expand(8, -1)
    assert not MeanCentring("test").fit(RetrievalTask(task.queries, same)).gallery.any()


@pytest.mark.parametrize("method", [DualSoftmax(), QueryBank(), MeanCentring(), MeanCentring("test")])
def test_methods_read_no_more_than_they_say(method: RetrievalMethod) -> None:
    assert isinstance(method, RetrievalMethod)
    task = RetrievalTask(unit(9, 4, seed=1), unit(30, 4, seed=2), bank=unit(5, 4, seed=3))
    fewer = RetrievalTask(task.queries[:4], task.gallery, task.bank)
    if not method.needs_bank:
        fewer = RetrievalTask(fewer.queries, fewer.gallery)
    whole, part = (
        top_k(s.queries, s.gallery, 30, rescale=s.rescale) for s in (method.fit(task), method.fit(fewer))
    )
    transductive = any("transductive" in remark for remark in getattr(method, "remarks", ()))
    assert torch.equal(whole[0][:4], part[0]) != transductive


def test_refusals() -> None:
    task = RetrievalTask(unit(3, 4), unit(5, 4))
    with pytest.raises(DataError, match="query-bank needs a bank of training queries"):
        QueryBank().fit(task)
    with pytest.raises(DataError, match="mean-centring needs a bank"):
        MeanCentring().fit(task)
    with pytest.raises(OptionError, match="dual-softmax: beta must be positive, found 0"):
        DualSoftmax(0)
    with pytest.raises(OptionError, match="query-bank: beta must be positive, found -1"):
        QueryBank(-1)
    with pytest.raises(OptionError, match="queries must be bank or test, found 'all'"):
        MeanCentring("all")  # type: ignore[arg-type]
    broken = RetrievalTask(torch.full((2, 4), torch.nan), unit(5, 4))
    with pytest.raises(DataError, match="queries: the embedding in row 0 has NaN"):
        DualSoftmax().fit(broken)
