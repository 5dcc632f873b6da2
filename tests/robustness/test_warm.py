"""Idle workers compute ahead what cells of other workers will ask for: the same numbers, nothing computed twice."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.contract.cells import Cell
from harness.contract.data import Sample
from harness.discovery import registry
from harness.errors import DataError
from harness.inference import blocks
from harness.planning.expansion import Choice
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.running.worker import RunSettings, Worker
from harness.testing.warming import Requests

COUNT = 130
MODELS: Mapping[str, Any] = {
    "supervised": {"plugin": "tiny-vit", "trained_on": "digits", "width": 32, "steps": 0},
    "zero-shot": {"plugin": "tiny-clip", "tower": "vit", "steps": 0},
}


class Torn:
    """A data set of noise in which two images can't be read."""

    splits = ("test",)

    def load(self, split: str) -> Torn:
        self.class_names = [str(n) for n in range(10)]
        self.ids = [f"n{i}" for i in range(COUNT)]
        self.targets = np.arange(COUNT) % 10
        return self

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> Sample:
        if index in (3, 77):
            raise DataError(f"{self.ids[index]}: can't be read (truncated)")
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return Sample(self.ids[index], pixels, int(self.targets[index]))


@pytest.fixture(params=["digits", "kit-torn"])
def dataset(request: pytest.FixtureRequest) -> Any:
    with registry.register_temporarily("datasets", "kit-torn", Torn):
        yield request.param


def make_cell(model: str, dataset: Any) -> Cell:
    grid = {
        "models": [MODELS[model]],
        "datasets": [dataset],
        "metrics": ["top1"],
        "protocol": "classification",
    }
    suite = parse_suite({"name": "warm", **grid, "seeds": [0]}, "warm")
    (planned,) = make_plan(suite, Choice(limit=COUNT, skip_unreadable=True))
    return planned.cell


def make_worker(place: Path, cache: str = "cache", **more: Any) -> Worker:
    """A worker that runs one image at a time, so that a block is fifty of them."""
    return Worker(RunSettings(place / "store", device="cpu", batch_size=1, cache=place / cache), **more)


@pytest.mark.parametrize("model", MODELS)
def test_a_cell_finds_what_was_computed_ahead(tmp_path: Path, model: str, dataset: Any) -> None:
    cell = make_cell(model, dataset)
    alone = make_worker(tmp_path, "other").run(cell)
    assert alone.status == "ok", alone.reason
    told: list[str] = []
    ahead, later = Requests(), Requests()
    idle = make_worker(tmp_path, tell=lambda event, **facts: told.append(event))
    ahead.watch(idle)
    assert idle.warm(cell)
    assert not told
    worker = make_worker(tmp_path)
    later.watch(worker)
    record = worker.run(cell)
    assert record.status == "ok", record.reason
    assert record.metrics == alone.metrics
    assert ahead.computed
    assert not later.computed.keys() & ahead.asked.keys()
    assert record.count == COUNT - 2 * (dataset == "kit-torn")
    assert record.cost["samples_per_second"] > 0


def test_a_worker_that_becomes_wanted_keeps_what_it_has(tmp_path: Path) -> None:
    cell = make_cell("supervised", "digits")
    idle = make_worker(tmp_path)
    assert not idle.warm(cell, lambda: bool(list(tmp_path.rglob("*.blocks/*.npz"))))
    (kept,) = tmp_path.rglob("*.blocks/*.npz")
    made = kept.stat().st_mtime_ns
    assert not idle.warm(cell, lambda: True)
    assert kept.stat().st_mtime_ns == made
    record = make_worker(tmp_path).run(cell)
    assert record.status == "ok"
    assert record.metrics == make_worker(tmp_path, "other").run(cell).metrics


def test_a_worker_that_runs_a_cell_and_one_that_warms_it_share_its_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each waits in its first block until the other is at one."""
    cell = make_cell("supervised", "digits")
    begun: dict[int, list[int]] = {}
    both = threading.Event()
    forward_all = blocks.forward_all

    def noting(*given: Any, **options: Any) -> Any:
        begun.setdefault(threading.get_ident(), []).append(min(options["indices"]))
        if len(begun) == 2:
            both.set()
        assert both.wait(120)
        return forward_all(*given, **options)

    runner, idle = make_worker(tmp_path), make_worker(tmp_path)
    for worker in (
        runner,
        idle,
    ):  # one after the other, since their weights are drawn from the global generator
        worker._load_model(cell)
    monkeypatch.setattr(blocks, "forward_all", noting)
    helping = threading.Thread(target=idle.warm, args=[cell])
    helping.start()
    record = runner.run(cell)
    helping.join()
    assert record.status == "ok", record.reason
    firsts = sorted(first for firsts in begun.values() for first in firsts)
    assert len(begun) == 2
    assert firsts == [start for start, _ in blocks.cut_blocks(COUNT, 1)]


def test_what_can_not_be_computed_ahead_is_left_to_the_cell(tmp_path: Path) -> None:
    cell = make_cell("supervised", "digits")
    worker = make_worker(tmp_path)
    worker._make_model = None  # type: ignore[assignment,method-assign]
    assert not worker.warm(cell)

    def interrupted(job: Any) -> None:
        raise KeyboardInterrupt

    cell.protocol.object.warm = interrupted
    with pytest.raises(KeyboardInterrupt):
        make_worker(tmp_path).warm(cell)
    cell.protocol.object.warm = None
    assert not make_worker(tmp_path).warm(cell)
