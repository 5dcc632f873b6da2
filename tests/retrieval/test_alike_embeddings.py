"""Embeddings that differ by rounding alone tie, whatever the batches that they were computed in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.inference.prompts import ALIKE
from harness_retrieval.alike_embeddings import find_alike
from tests.retrieval.conftest import Lookup


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 60), st.integers(1, 12), st.sampled_from([1, 1000]))
def test_it_finds_what_brute_force_finds(seed: int, count: int, size: int, length: int) -> None:
    rng = np.random.default_rng(seed)
    kinds = length * rng.normal(size=(max(1, count // 3), size))
    rows = kinds[rng.integers(len(kinds), size=count)]
    rows = (rows + 1e-2 * ALIKE * length * rng.normal(size=rows.shape)).astype(np.float32)
    scale = np.linalg.norm(rows.astype(float), axis=1).mean()
    apart = np.linalg.norm(rows[:, None].astype(float) - rows[None], axis=2) <= ALIKE * scale
    assert find_alike(rows).tolist() == apart.argmax(axis=1).tolist()


def test_equal_ones_are_found_in_a_crowd() -> None:
    """Neither a constant model nor many near projections cost a comparison of all with all."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30_000, 2)).astype(np.float32)
    rows[20_000:] = [3, 4]
    rows[20_000:, 0] += 1e-7 * rng.normal(size=10_000)
    found = find_alike(rows)
    assert (found[20_000:] == 20_000).all()
    assert (found[:100] == np.arange(100)).all()


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_what_has_no_length_is_left_as_it_is(value: float) -> None:
    assert find_alike(np.full((3, 2), value, np.float32)).tolist() == [0, 1, 2]


class Rounding(Lookup):
    """Rounds in another way for each size of a batch and each place in it, as networks do."""

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return _round(super().encode_image(images))

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return _round(super().encode_text(texts))


def _round(embeddings: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(len(embeddings)))
    return embeddings * (1 + 2e-7 * noise)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_an_image_that_is_listed_twice_ties_with_itself(search, tmp_path, batch_size) -> None:
    """Each of five images is there twice, with captions that the model can't tell apart: the right one is first or second."""
    harness.register("models", "rounding", Rounding)
    tables: Any = np.eye(5), {f"{word} {n}": np.eye(5)[n] for n in range(5) for word in ("one", "two")}
    data = [(n, [f"{word} {n}"]) for word in ("one", "two") for n in range(5)]
    found = search(
        *tables,
        data,
        suite={"models": ["rounding"]},
        run={"batch_size": batch_size, "cache": tmp_path / "cache"},
    )
    for record in found:
        assert record.metrics == {"recall-at-k": 0.5, "median-rank": 1.5}
        assert any("5 of 10 images are the same to the model as another" in text for text in record.remarks)
        assert any(
            "5 of 10 texts are the same to the model as one of other" in text for text in record.remarks
        )
