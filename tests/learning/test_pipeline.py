"""The pipeline: the same whatever the workers, no more than its depth in memory, errors that name the sample."""

from __future__ import annotations

import gc
import threading
import weakref
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from harness.contract.data import Sample
from harness.errors import DataError
from harness.learning.draws import plan_rows
from harness.learning.loop import train
from harness.learning.pipeline import Batch, HeldSamples, Pipeline
from harness.learning.recipe import Recipe

CPU = torch.device("cpu")


class Pictures:
    """Samples of random images of different sizes; counts who is read and what is alive."""

    def __init__(self, count: int) -> None:
        self.ids = [f"n{i}" for i in range(count)]
        self.targets = np.arange(count) % 3
        self.reads, self.most = list[int](), 0
        self._alive: weakref.WeakSet[Any] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        if index >= len(self):
            raise DataError("the file is gone")
        rng = np.random.default_rng(index)
        return Sample(self.ids[index], rng.integers(0, 256, (*rng.integers(20, 40, 2), 3), np.uint8))

    def prepare(self, image: Any) -> torch.Tensor:
        """The mean colours, with a draw from torch, as an object that is counted while it lives."""
        found = torch.from_numpy(np.asarray(image).mean((0, 1)).astype(np.float32)) + torch.rand(1)
        with self._lock:
            self._alive.add(found)
            self.most = max(self.most, len(self._alive))
        return found

    def many(self, images: list[Any]) -> list[torch.Tensor]:
        """Several at once."""
        return [self.prepare(image) for image in images]


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("waits", [False, True])
def test_workers_change_nothing(workers: int, waits: bool) -> None:
    recipe = Recipe(9, 4, last="keep")

    def run(workers: int, depth: int | None = None) -> list[Batch]:
        split = Pictures(14)
        source = Pipeline(
            split, split.prepare, device=CPU, workers=workers, depth=depth, seed=3,
            targets=torch.from_numpy(split.targets[2:]), indices=range(2, 14),
        )  # fmt: skip
        found = []
        for batch in source.batches(plan_rows(len(source), recipe, 0)):
            found.append(batch)
            if waits:
                threading.Event().wait(0.01)
        return found

    serial, found = run(0), run(workers, 3)
    assert [b.step for b in found] == list(range(9))
    for a, b in zip(serial, found, strict=True):
        assert torch.equal(a.data, b.data)
        assert a.targets is not None
        assert a.targets.tolist() == b.targets.tolist() == [(row + 2) % 3 for row in b.rows]  # type: ignore[union-attr]
    assert len({row.tobytes() for b in found for row in b.data.numpy()}) == 36  # an epoch's draws are its own


@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("depth", [1, 2])
def test_no_more_than_its_depth_is_held(workers: int, depth: int) -> None:
    """A training over a split that would not fit into memory."""
    split, network = Pictures(64), nn.Linear(3, 3)
    source = Pipeline(
        split, split.prepare, device=CPU, workers=workers, depth=depth, seed=0, collate=list,
        targets=torch.from_numpy(split.targets),
    )  # fmt: skip

    def objective(batch: Batch, step: int) -> torch.Tensor:
        threading.Event().wait(0.005)
        return nn.functional.cross_entropy(network(torch.stack(batch.data)), batch.targets)  # type: ignore[arg-type]

    gc.collect()
    train(network, source, objective, Recipe(16, 4), 0)
    assert split.most <= 4 * (depth + 1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed", [None, 1])
def test_errors_come_with_the_sample_and_at_its_batch(workers: int, seed: int | None) -> None:
    split = Pictures(20)

    def prepare(image: Any) -> torch.Tensor:
        if image.shape == split[17].image.shape:  # type: ignore[union-attr]
            raise OSError("truncated")
        return torch.zeros(1)

    source = Pipeline(split, prepare, device=CPU, workers=workers, seed=seed)
    plan = [(n, 0, np.arange(n * 5, n * 5 + 5)) for n in range(4)]
    with closing(source.batches(plan)) as batches:
        assert [next(batches).step for _ in range(3)] == [0, 1, 2]
        with pytest.raises(DataError, match="sample 'n17': truncated"):
            next(batches)


@pytest.mark.parametrize("workers", [0, 2])
def test_threads_end_with_the_training(workers: int) -> None:
    split = Pictures(1000)
    before = threading.active_count()
    source = Pipeline(split, split.prepare, device=CPU, workers=workers, seed=0)
    with closing(source.batches((n, 0, np.array([n])) for n in range(1000))) as batches:
        for _ in range(3):
            next(batches)
            threading.Event().wait(0.01)
    assert threading.active_count() == before


def test_texts_and_trees() -> None:
    """What is prepared of a sample, and how a batch is put together, is the caller's."""
    split = Pictures(5)
    source = Pipeline(
        split, lambda sample: sample.id, device=CPU, take=lambda sample: sample,
        collate=lambda ids: {"lengths": torch.tensor([len(i) for i in ids]), "pair": (torch.zeros(2), torch.ones(2))},
    )  # fmt: skip
    (batch,) = source.batches([(0, 0, np.array([4, 0]))])
    assert batch.data["lengths"].tolist() == [2, 2]
    assert isinstance(batch.data["pair"], tuple)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("seed", [None, 0])
def test_a_batch_comes_from_the_split_of_its_own_epoch(workers: int, seed: int | None) -> None:
    """Also while batches of several epochs are prepared ahead."""
    splits = [Pictures(5), Pictures(5), Pictures(5)]
    for epoch, split in enumerate(splits):
        split.ids = [f"epoch {epoch}, sample {row}" for row in range(5)]
    source = Pipeline(
        splits.__getitem__, lambda sample: sample.id, device=CPU, workers=workers, seed=seed,
        indices=[4, 2], take=lambda sample: sample, collate=list,
    )  # fmt: skip
    plan = [(step, step // 2, np.array([step % 2])) for step in range(6)]
    with closing(source.batches(plan)) as batches:
        found = [batch.data for batch in batches]
    assert found == [[f"epoch {step // 2}, sample {[4, 2][step % 2]}"] for step in range(6)]
    assert len(source) == 2
    with pytest.raises(ValueError, match="needs indices"):
        Pipeline(splits.__getitem__, lambda image: image, device=CPU)


def test_held_trees() -> None:
    held = HeldSamples({"a": torch.arange(5), "b": [torch.arange(5) * 2]}, torch.arange(5) * 3)
    (batch,) = held.batches([(7, 1, np.array([3, 0]))])
    assert (batch.step, batch.epoch, batch.rows.tolist()) == (7, 1, [3, 0])
    assert batch.data["a"].tolist() == [3, 0]
    assert batch.data["b"][0].tolist() == [6, 0]
    assert batch.targets is not None
    assert batch.targets.tolist() == [9, 0]
    assert len(held) == 5
