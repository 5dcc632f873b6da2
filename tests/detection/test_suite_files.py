"""The embedded suite from end to end, with few steps, and what the suites on real data state."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import harness
import harness_detection

FOLDER = Path(harness_detection.__file__).parent


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def test_the_embedded_suite_runs(tmp_path: Path) -> None:
    suite = read("detection")
    suite["executor"] = "inline"
    suite["protocol"] |= {"timed": 1, "pictures": 1}
    canvases = {"plugin": "drawn-objects", "train": 12, "test": 12}
    for experiment in suite["experiments"]:
        for data in experiment["datasets"]:
            data |= {"dataset": canvases} if "dataset" in data else canvases
        for method in experiment["methods"]:
            method |= {"steps": 2, "batch": 4}
        for model in experiment["models"]:
            model |= {"width": 8}
    done = harness.run(suite, store=tmp_path / "s", cache=tmp_path / "c")
    assert {record.status for record in done.records} == {"ok"}, [r.reason for r in done.records]
    assert len(done.records) == 7
    tables = {table.name: table for table in done.tables()}
    assert set(tables) == {"detectors", "regions", "corrupted"}
    assert {row.header[0] for row in tables["regions"].rows} == {
        "Faster R-CNN, RoIAlign",
        "Faster R-CNN, RoIPool",
    }
    assert len(tables["detectors"].rows) == 3
    assert "over 4 of 15 corruptions" in str(tables["corrupted"])


@pytest.mark.parametrize("name", ["detection-coco", "detection-voc"])
def test_models_are_known(name: str) -> None:
    from harness_detectors.torchvision_detector import ARCHITECTURES

    models = [model for experiment in read(name)["experiments"] for model in experiment["models"]]
    named = [model["name"] for model in models if model["plugin"] == "torchvision-detector"]
    assert set(named) <= set(ARCHITECTURES)
    assert {model["plugin"] for model in models} == {"torchvision-detector", "hf-detector"}


def test_the_whole_benchmark_of_corruptions_is_there() -> None:
    from harness_data.corruptions.constants import CORRUPTIONS

    (corrupted,) = [e for e in read("detection-coco")["experiments"] if e["name"] == "corrupted"]
    grid = corrupted["datasets"][1]["grid"]
    assert set(grid["corruption"]) == set(CORRUPTIONS)
    assert grid["severity"] == [1, 2, 3, 4, 5]


def test_names_of_voc_lead_to_those_of_coco() -> None:
    from torchvision.models.detection import SSD300_VGG16_Weights

    from harness_data.voc2007 import CLASSES
    from harness_dense.class_matching import match_classes_by_name

    coco = [
        name
        for name in SSD300_VGG16_Weights.COCO_V1.meta["categories"]
        if name not in ("__background__", "N/A")
    ]
    matched = match_classes_by_name(coco, list(CLASSES), read("detection-voc")["protocol"]["aliases"])
    assert matched.missing == []
    assert (matched.places >= 0).sum() == 20
