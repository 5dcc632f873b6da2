"""The shipped suite files: they can be planned, and a small run of the embedded one fills its tables."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
import harness.api
import harness_gan
import harness_gan.judge_classifier
from harness.planning.suite import load_suite_file
from harness_gan.verdicts import VerdictThresholds

SUITES = ["gan", "gan-images", "gan-cyclegan"]


@pytest.mark.parametrize("name", SUITES)
def test_shipped_suites_can_be_planned(name: str) -> None:
    plan = harness.api.plan(name)
    assert not [p.reason for p in plan.cells if p.state == "broken"]
    assert len({p.cell.seed for p in plan.cells}) >= 5
    if name == "gan":
        assert {p.state for p in plan.cells} <= {"run", "done"}


@pytest.mark.parametrize("name", SUITES)
def test_thresholds_of_verdicts_are_written_in_the_file(name: str) -> None:
    for grid in load_suite_file(name).grids:
        protocol = grid.protocol
        assert isinstance(protocol, dict)
        assert {"rms", "modes", "gradient", "d_loss", "d_accuracy"} <= set(protocol["thresholds"])
        VerdictThresholds.from_options(protocol["thresholds"])


def test_a_small_run_fills_every_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of a few methods of every experiment: each column that a table names gets numbers."""
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 30)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    suite: dict[str, Any] = load_suite_file("gan").model_dump()
    suite["executor"] = "inline"
    suite["seeds"] = [0]
    suite["methods"] = [m for m in suite["methods"] if m["label"] == "WGAN-GP"]
    for experiment in suite["experiments"]:
        experiment["protocol"] = {**(experiment["protocol"] or suite["protocol"]), "steps": 1}
        if experiment["name"] in ("ring", "ring-perceptron", "grid"):
            experiment["protocol"]["samples"] = 100
        if experiment["name"] == "translation":
            experiment["datasets"][0]["train"] = 48
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
    for record in outcome.records:
        assert record.status == "ok", record.traceback or record.reason
    tables = {t.name: t for t in outcome.tables()}
    assert set(tables) == {t["name"] for t in suite["tables"]}
    for table in suite["tables"]:
        shown = tables[table["name"]]
        assert shown.rows
        text = json.dumps(shown.to_dict(), default=str)  # with the keys beside the titles
        for value in table["values"]:
            assert value in text, (table["name"], value)


def mnist(root: Path, per_split: int) -> None:
    """Random images in MNIST's own files."""
    rng = np.random.default_rng(0)
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = rng.integers(0, 256, (per_split, 28, 28), dtype=np.uint8)
        labels = (np.arange(per_split) % 10).astype(np.uint8)
        (raw / f"{split}-images-idx3-ubyte").write_bytes(
            struct.pack(">IIII", 0x803, per_split, 28, 28) + images.tobytes()
        )
        (raw / f"{split}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 0x801, per_split) + labels.tobytes()
        )


@pytest.mark.parametrize("stacked", [False, True])
def test_mnist_and_stacked_mnist(
    toy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stacked: bool
) -> None:
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 2)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    mnist(tmp_path / "data", 40)
    base = {"plugin": "torchvision", "name": "MNIST", "root": str(tmp_path / "data")}
    dataset = {"plugin": "stacked", "dataset": base, "count": 60} if stacked else base
    record = toy.run(
        tmp_path / "store",
        protocol={"plugin": "gan", "steps": 1, "batch_size": 4, "size": 32, "grey": True, "samples": 20},
        models=[{"plugin": "gan-dcgan", "width": 2, "latent": 4}],
        datasets=[{**dataset, "label": "mnist"}],
        methods=toy.suite["methods"][:1],
        metrics=["modes", "frechet"],
        seeds=[0],
    ).records[0]
    assert record.notes["signs"]["modes"] == (1000 if stacked else 10)
    assert any(
        name.startswith(f"frechet.classifier d={96 if stacked else 32} n=20/") for name in record.metrics
    )
