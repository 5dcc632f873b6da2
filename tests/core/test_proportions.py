"""A number that is a proportion of counted samples has Wilson's interval, whether or not these are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.contract.evidence import Predictions
from harness.contract.running import Result
from harness.discovery import registry
from harness.leaderboard.build import build_table
from harness.planning.suite import TableSpec
from harness.running.record_building import _is_proportion
from harness.statistics import wilson_interval


class Right:
    """A share of the samples that tells nothing of each."""

    higher_is_better, unit, proportion = True, "fraction", True

    def __call__(self, predictions: Predictions) -> float:
        return float((predictions.predicted == predictions.targets).mean())


class Undeclared(Right):
    """The same without the word."""

    proportion: Any = False


class Parts:
    """Several numbers, of which one is a share."""

    higher_is_better, unit = True, "fraction"
    proportion: ClassVar = ["right"]

    def __call__(self, predictions: Predictions) -> Mapping[str, float]:
        right = float((predictions.predicted == predictions.targets).mean())
        return {"right": right, "balanced": right}


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    for name, metric in (("right", Right), ("undeclared", Undeclared), ("parts", Parts)):
        registry.register("metrics", name, metric)


def test_declared_proportions_have_an_interval(metrics: None, tmp_path: Any) -> None:
    suite = {
        "name": "s",
        "protocol": "classification",
        "models": [{"plugin": "tiny-vit", "trained_on": "digits", "steps": 0}],
        "datasets": ["digits"],
        "metrics": ["right", "undeclared", "parts", "top1", "mean_per_class"],
        "tables": [
            {
                "name": "t",
                "columns": [],
                "values": ["right", "undeclared", "parts.right", "parts.balanced", "top1"],
            }
        ],
    }
    run = harness.run(suite, store=tmp_path, limit=40)
    (record,) = run.records
    assert set(record.binary) == {"right", "parts.right", "top1"}
    (table,) = run.tables()
    entries = {c.metric: e for c, e in zip(table.columns, table.rows[0].entries, strict=True)}
    expected = wilson_interval(round(record.metrics["right"] * 40), 40)
    for name in ("right", "parts.right", "top1"):
        assert (entries[name].low, entries[name].high) == (expected.low, expected.high), name
    for name in ("undeclared", "parts.balanced"):
        assert entries[name].low is None, name


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 100_000), st.data())
def test_a_proportion_with_a_count_and_no_samples(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    row = {"id": "a", "status": "ok", "at.model": "m", "at.dataset": "d", "at.seed": 0, "count": float(n)}
    frame = pd.DataFrame([{**row, "metric.right": hits / n, "unit.right": "fraction", "binary.right": 1.0}])
    entry = build_table(TableSpec(name="t", values=["right"]), frame).rows[0].entries[0]
    expected = wilson_interval(hits, n)
    assert (entry.low, entry.high) == (expected.low, expected.high)
    right = Right()
    assert _is_proportion("right", right, {"right": right}, Result({"right": hits / n}, count=n))
    elsewhere = Result({"right.of x": hits / n}, count=n)
    assert not _is_proportion("right.of x", right, {"right": right}, elsewhere)
    # a number that no whole count of so many samples gives is a proportion of something else
    if n > 2:
        other = Result({"right": (hits * 0.9 + 0.37) / n}, count=n)
        whole = abs(other.metrics["right"] * n - round(other.metrics["right"] * n)) <= 1e-3 + 1e-6 * n
        assert _is_proportion("right", right, {"right": right}, other) == whole


def test_equal_numbers_over_seeds_have_no_interval() -> None:
    row = {"status": "ok", "at.model": "m", "at.dataset": "d"}
    rows = [
        {**row, "id": str(s), "at.seed": s, "metric.right": v, "unit.right": "fraction"}
        for s, v in enumerate([0.1 + 0.2, 0.3, 0.3])
    ]
    table = build_table(TableSpec(name="t", values=["right"]), pd.DataFrame(rows))
    assert table.rows[0].entries[0].low is None
    assert "±" not in table.render()
    assert table.caption == "Numbers: right (%) ↑. No intervals: what they rest on is all equal."
