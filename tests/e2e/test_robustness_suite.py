"""The embedded robustness suite through the Python API, on a few quickly trained models and data sets."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import harness
from harness.planning.suite import Suite, load_suite_file
from harness.records.paths import cache_dir

STEPS = 3
MODELS = ("ResNet", "CLIP zero-shot", "ViT")
DATASETS = ("scenes", "scenes-V2", "scenes-Sketch")


def shortened() -> Suite:
    """The shipped suite with few steps, few samples, one corruption, and only some of its cells."""
    suite = load_suite_file("robustness")
    data = suite.model_dump(mode="json", exclude_defaults=True)
    shifts, digits, corruptions = data["experiments"]
    for experiment in data["experiments"]:
        experiment["models"] = [
            {**m, "steps": STEPS + (m["label"] == "ResNet")}
            for m in experiment["models"]
            if m["label"] in MODELS
        ]
    shifts["datasets"] = [d for d in shifts["datasets"] if d["label"] in DATASETS]
    digits["datasets"] = digits["datasets"][:1]
    for dataset in corruptions["datasets"]:
        if "grid" in dataset:
            dataset["grid"] = {"corruption": ["contrast", "brightness"], "severity": [1, 2, 3, 4, 5]}
    data["limit"] = 60
    return Suite.model_validate(data)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Any:
    # drawn data comes from the shared cache, where it is there: drawing it takes most of the time
    return harness.run(shortened(), store=tmp_path_factory.mktemp("robustness") / "store", device="cpu")


def test_every_cell_has_all_metrics(outcome: Any) -> None:
    assert [r.reason for r in outcome.failed] == []
    assert len(outcome.records) == len(MODELS) * (3 + 1 + 1 + 10)
    for record in outcome.records:
        assert record.status == "ok"
        assert record.count == 60
        wanted = (
            {"top1", "ece"} if record.coordinates["experiment"] == "corruptions" else {"top1", "top5", "nll"}
        )
        assert wanted <= set(record.metrics)
        assert all(math.isfinite(v) for v in record.metrics.values())
        assert 0 <= record.metrics["top1"] <= record.metrics.get("top5", 1.0) <= 1
        assert record.cost["parameters"] > 1000
    classifiers = {r.coordinates["model"]: r.notes["classifier"] for r in outcome.records}
    assert classifiers["CLIP zero-shot"] == "zero-shot"
    assert classifiers["ResNet"] == "supervised"


def test_metrics_follow_from_the_kept_samples(outcome: Any) -> None:
    for record in outcome.records:
        samples = outcome.store.samples(record.id)
        right = samples["prediction"] == samples["target"]
        assert right.mean() == pytest.approx(record.metrics["top1"], abs=1e-6)
        assert samples["id"].is_unique


def test_frame_and_tables(outcome: Any) -> None:
    frame = harness.load("robustness", store=outcome.store.path)
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == len(outcome.records)
    by_name = {t.name: t for t in outcome.tables()}
    assert set(by_name) == {t.name for t in outcome.plan.suite.tables}
    clip = by_name["clip"]
    assert [r.header for r in clip.rows] == [(d,) for d in DATASETS]
    assert [c.header[0] for c in clip.columns if c.kind == "value"] == list(MODELS)
    assert any(c.kind == "delta" for c in clip.columns)
    means = frame[frame["experiment"] == "shifts"].groupby(["dataset", "model"])["top1"].mean()
    for row in clip.rows:
        for column, entry in zip(clip.columns, row.entries, strict=True):
            if column.kind == "value":
                assert entry.value == pytest.approx(means[row.header[0], column.header[0]])
                assert entry.low <= entry.value <= entry.high


def test_gap_is_the_difference_of_the_two_accuracies(outcome: Any) -> None:
    gap = next(t for t in outcome.tables() if t.name == "gap")
    frame = harness.load("robustness", store=outcome.store.path)
    top1 = frame[frame["experiment"] == "shifts"].set_index(["model", "dataset"])["top1"]
    column = [c.header for c in gap.columns].index(("scenes-V2",))
    for row in gap.rows:
        value = row.entries[column].value
        scale = 100 if max(abs(e.value or 0) for r in gap.rows for e in r.entries) > 1 else 1
        expected = (top1[row.header[0], "scenes"] - top1[row.header[0], "scenes-V2"]) * scale
        assert value == pytest.approx(expected, abs=1e-6 * scale)


def test_second_run_has_nothing_to_do(outcome: Any) -> None:
    again = harness.run(outcome.plan.suite, store=outcome.store.path, device="cpu")
    assert again.records == []
    assert again.plan.counts() == {"done": len(outcome.records)}
    assert [t.to_dict() for t in again.tables()] == [t.to_dict() for t in outcome.tables()]


def test_same_numbers_from_nothing(outcome: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trained again in a cache without weights and outputs, with another batch size: the same answers."""
    drawn = tmp_path / "cache" / "embedded"
    drawn.mkdir(parents=True)
    for file in (cache_dir() / "embedded").glob("*.npz"):
        (drawn / file.name).symlink_to(file)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    again = harness.run(
        outcome.plan.suite, store=tmp_path / "store", device="cpu", batch_size=23,
        models=["ResNet"], datasets=["scenes-V2"],
    )  # fmt: skip
    (record,) = again.records
    assert record.id in outcome.store.listing()
    old, new = outcome.store.samples(record.id), again.store.samples(record.id)
    assert old["prediction"].tolist() == new["prediction"].tolist()
    assert record.metrics["nll"] == pytest.approx(outcome.store.read(record.id).metrics["nll"], rel=1e-4)
