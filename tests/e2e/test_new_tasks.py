"""Detection and captioning by a distribution from outside: the core knows neither, and they run to a table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def scenes(built: dict[str, Path]) -> list[Path]:
    return [built["scenes"]]


def test_from_their_suite_to_a_table(cli: Any, scenes: list[Path]) -> None:
    done = cli("run", "acme-scenes", "--store", "store", "--json", folders=scenes)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)[0]
    assert answer["ran"] == {"ok": 4}
    rows = {r["header"][0]: [e["value"] for e in r["entries"]] for r in answer["tables"][0]["rows"]}
    assert list(rows) == ["low", "high"]
    assert rows["low"] == [1.0, 1.0]
    assert all(0 < value < 1 for value in rows["high"])
    again = cli("run", "acme-scenes", "--store", "store", "--fresh", "--json", folders=scenes)
    assert json.loads(again.stdout)[0]["tables"] == answer["tables"]  # boxes from the cache


def test_a_part_of_the_data(cli: Any, scenes: list[Path], tmp_path: Path) -> None:
    done = cli("run", "acme-scenes", "--limit", "5", "--store", "store", "--json", folders=scenes)
    assert done.returncode == 0, done.stderr
    records = [json.loads(p.read_text()) for p in (tmp_path / "store" / "records").rglob("*.json")]
    assert [record["count"] for record in records] == [5] * 4


MISFITS = """
name = "misfits"
models = ["acme-threshold", "tiny-clip"]

[[experiments]]
name = "other targets"
protocol = "acme-detection"
datasets = ["acme-captions", "digits"]
metrics = ["acme-recall"]

[[experiments]]
name = "boxes to classify"
protocol = "classification"
datasets = ["acme-boxes"]
metrics = ["top1"]

[[experiments]]
name = "other models"
protocol = "acme-captioning"
datasets = ["acme-captions"]
metrics = ["acme-exact"]
"""


def test_what_does_not_fit_is_skipped_with_the_reason(cli: Any, scenes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(MISFITS)
    done = cli("plan", "suite.toml", "--store", "store", "--json", folders=scenes)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)[0]
    said = {(c["experiment"], c["model"], c["dataset"]): c["reason"] for c in plan["cells"]}
    lacks = (
        "the model 'tiny-clip' does not detect objects, which the protocol 'acme-detection' needs: choose one "
        "that does, such as acme-threshold"
    )
    takes = "; protocol 'acme-detection' takes boxes"
    assert said["other targets", "tiny-clip", "digits"] == lacks
    assert (
        said["other targets", "acme-threshold", "digits"]
        == f"the data set 'digits' has one label per sample{takes}"
    )
    assert (
        said["other targets", "acme-threshold", "acme-captions"]
        == f"the data set 'acme-captions' has captions{takes}"
    )
    boxes = "the data set 'acme-boxes' has boxes; protocol 'classification' takes one label per sample"
    assert said["boxes to classify", "tiny-clip", "acme-boxes"] == boxes
    describes = "the model 'tiny-clip' does not describe images, which the protocol 'acme-captioning' needs"
    assert said["other models", "tiny-clip", "acme-captions"] == describes
    assert said["other models", "acme-threshold", "acme-captions"] is None


def test_other_evidence_is_refused(cli: Any, scenes: list[Path], tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(MISFITS.replace('metrics = ["acme-exact"]', 'metrics = ["top1"]'))
    done = cli("plan", "suite.toml", "--store", "store", folders=scenes)
    assert done.returncode == 2
    assert "metric 'top1' reads Predictions, protocol 'acme-captioning' provides Descriptions" in done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "acme-threshold", "acme-boxes", "acme-captions", "acme-recall", "acme-exact", "acme-detection",
        "acme-captioning", "acme-scenes",
    ],
)  # fmt: skip
def test_all_of_it_conforms(cli: Any, scenes: list[Path], name: str) -> None:
    done = cli("check", name, "--json", folders=scenes)
    (verdict,) = json.loads(done.stdout)
    assert verdict["verdict"] == "holds", [c for c in verdict["checks"] if c["status"] == "fails"]
    assert done.returncode == 0, done.stderr


def test_info_says_what_it_is(cli: Any, scenes: list[Path]) -> None:
    (facts,) = json.loads(cli("info", "acme-boxes", "--json", folders=scenes).stdout)
    assert "targets: boxes" in facts["capabilities"]
    (facts,) = json.loads(cli("info", "acme-detection", "--json", folders=scenes).stdout)
    assert "needs a model that detects objects" in facts["capabilities"]
    assert "provides Detections" in facts["capabilities"]
    (facts,) = json.loads(cli("info", "acme-exact", "--json", folders=scenes).stdout)
    assert "reads Descriptions" in facts["capabilities"]
