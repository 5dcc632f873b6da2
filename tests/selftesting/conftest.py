"""Outcomes of cells, made up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.records.record import Record
from harness.selftesting.outcomes import Outcome, Side


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where what is trained once stays for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, shared_cache: Path) -> None:
    """Nothing is read from or left in the user's cache."""
    monkeypatch.setenv("HARNESS_CACHE", str(shared_cache))


@pytest.fixture
def side() -> Callable[..., Side]:
    """Makes the side of one cell: a frozen one with ten samples, unless told otherwise."""

    def make(
        metrics: dict[str, float] | None = None,
        *,
        count: int = 10,
        status: str = "ok",
        method: object = None,
        losses: dict[tuple[str, str], list[tuple[int, float]]] | None = None,
        **samples: list[Any],
    ) -> Side:
        metrics = {"top1": 0.5, "nll": 2.0} if metrics is None else metrics
        record = Record("0" * 20, status, "s", {}, {}, {}, metrics=metrics, count=count)
        record.units, record.binary = dict.fromkeys(metrics.keys() & {"top1", "ece"}, "fraction"), ["top1"]
        record.cost = {"peak_process_memory": 1e9, "peak_memory": 2e9}
        columns = {"id": [f"s{n}" for n in range(count)], "target": [0] * count}
        columns |= {"prediction": [0] * count, "confidence": [0.5] * count, **samples}
        cell: Any = SimpleNamespace(id=record.id, shown="cell", method=method)
        return Side({record.id: Outcome(cell, record, columns, losses or {})}, 1.0)

    return make
