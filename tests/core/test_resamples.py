"""Metrics that are no means over samples: their resampled numbers are kept, and tables and comparisons rest on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import harness
from harness import Job, Predictions, Result
from harness.exchange.merging import merge
from harness.inference.evaluate import classification_result
from harness.records.store import Store

RUNS: list[str] = []


class SquaredAccuracy:
    """The square of the share of right samples."""

    higher_is_better = True
    bounds = (0.0, 1.0)

    def __call__(self, predictions: Predictions) -> float:
        return float((predictions.predicted == predictions.targets).mean() ** 2)

    def resampled(self, predictions: Predictions, weights: Any) -> Any:
        right = predictions.predicted == predictions.targets
        return (weights @ right / weights.sum(axis=1)) ** 2


class Knows:
    """Knows a share of the digits."""

    def __init__(self, share: float = 0.5) -> None:
        self.share = share

    def load(self, device: Any) -> None:
        """Load nothing."""


class Telling:
    """The model is right on the first samples."""

    provides = (Predictions,)
    axes = ()

    def run(self, job: Job) -> Result:
        split = job.splits("test")
        RUNS.append(job.cell.model.label)
        logits = np.zeros((len(split), 10), np.float32)
        known = np.arange(len(split)) < job.model.share * len(split)
        logits[np.arange(len(split)), np.where(known, split.targets, (split.targets + 1) % 10)] = 5
        return classification_result(job, Predictions(logits, split.targets, split.ids))


@pytest.fixture
def suite():
    harness.register("metrics", "squared", SquaredAccuracy)
    harness.register("models", "knows", Knows)
    harness.register("protocols", "telling", Telling)
    return {
        "name": "whole",
        "protocol": "telling",
        "models": [
            {"plugin": "knows", "label": "half"},
            {"plugin": "knows", "label": "more", "share": 0.9},
            {"plugin": "knows", "label": "same", "share": 0.9},
        ],
        "datasets": ["digits"],
        "metrics": ["squared"],
    }


def test_a_table_has_intervals_and_ties(suite, tmp_path):
    result = harness.run(suite, store=tmp_path / "s", limit=100)
    table = result.tables()[0]
    text = str(table)
    assert "basic bootstrap" in text
    store = Store(tmp_path / "s")
    by_label = {record.coordinates["model"]: record for record in store.records()}
    draws = store.resamples(by_label["more"].id)["squared"].to_numpy()
    right = by_label["more"].metrics["squared"]
    assert draws.shape == (1000,)
    assert draws.mean() == pytest.approx(right + 0.09 / 100, abs=0.005)  # E[p²] = p² + p(1 − p)/n
    rows = {row.header[0]: row.entries[0] for row in table.rows}
    assert rows["more"].low < right < rows["more"].high
    assert {name for name, entry in rows.items() if entry.best or entry.tied} == {"more", "same"}


def test_intervals_of_each_of_several_numbers_stay_within_the_bounds(suite, tmp_path):
    class ByName(SquaredAccuracy):
        """Its number under a key."""

        def __call__(self, predictions: Predictions) -> Any:
            return {"square": super().__call__(predictions)}

        def resampled(self, predictions: Predictions, weights: Any) -> Any:
            return {"square": super().resampled(predictions, weights)}

    harness.register("metrics", "by-name", ByName)
    models = [{"plugin": "knows", "label": "little", "share": 0.05}]
    result = harness.run({**suite, "models": models, "metrics": ["by-name"]}, store=tmp_path / "s", limit=40)
    entry = result.tables()[0].rows[0].entries[0]
    assert entry.low == 0 < entry.value < entry.high
    draws = Store(tmp_path / "s").resamples(result.records[0].id)["by-name.square"]
    assert 2 * entry.value - np.quantile(draws, 0.975) < 0  # where the bootstrap alone would put it


def test_two_stores_are_compared_on_the_same_resampled_sets(suite, tmp_path):
    for name, model in (("a", suite["models"][0]), ("b", suite["models"][1])):
        harness.run({**suite, "models": [{**model, "label": "m"}]}, store=tmp_path / name, limit=100)
    found = harness.compare(tmp_path / "a", tmp_path / "b").to_dict()["differences"][0]
    assert found["paired_by"] == "resamples"
    assert found["pairs"] == 100
    low, high = found["interval"]
    assert low < 0.81 - 0.25 < high
    assert found["p_value"] < 0.01


def test_they_come_with_metrics_that_are_added_later_and_with_merges(suite, tmp_path):
    RUNS.clear()
    harness.run({**suite, "metrics": ["top1"]}, store=tmp_path / "late", limit=100)
    ran = len(RUNS)
    harness.run(suite, store=tmp_path / "late", limit=100)
    assert len(RUNS) == ran  # measured from kept evidence
    harness.run(suite, store=tmp_path / "new", limit=100)
    late, new = (Store(tmp_path / name) for name in ("late", "new"))
    for record in new.records():
        assert new.resamples(record.id).equals(late.resamples(record.id))
    merge(Store(tmp_path / "into"), [new])
    for record in new.records():
        assert Store(tmp_path / "into").resamples(record.id).equals(new.resamples(record.id))


def test_one_that_returns_too_few_is_told(suite, tmp_path):
    class Short(SquaredAccuracy):
        """Returns one number too few."""

        def resampled(self, predictions: Predictions, weights: Any) -> Any:
            return super().resampled(predictions, weights)[1:]

    harness.register("metrics", "short", Short)
    harness.run({**suite, "metrics": ["short", "squared"]}, store=tmp_path / "s", limit=20)
    store = Store(tmp_path / "s")
    for record in store.records():
        assert "(999,) for 1000 resampled sets" in str(record.failures)
        assert list(store.resamples(record.id).columns) == ["squared"]
