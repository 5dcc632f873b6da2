"""The embedded suite from end to end, with few steps, and what the suite on VOC states."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import harness
import harness_segmentation

FOLDER = Path(harness_segmentation.__file__).parent


def read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def test_the_embedded_suite_runs(tmp_path: Path) -> None:
    suite = read("segmentation")
    suite["executor"] = "inline"
    suite["protocol"] |= {"timed": 1, "pictures": 1}
    for experiment in suite["experiments"]:
        experiment["datasets"] = [
            {"plugin": "drawn-regions", "label": "canvases", "train": 8, "test": 8, "side": 32}
        ]
        for method in experiment["methods"]:
            method |= {"steps": 2, "batch": 4}
    suite["defaults"]["models"]["small-segmenter"]["width"] = 4
    done = harness.run(suite, store=tmp_path / "s", cache=tmp_path / "c")
    assert {record.status for record in done.records} == {"ok"}, [r.reason for r in done.records]
    tables = {table.name: table for table in done.tables()}
    assert [len(tables[name].rows) for name in ("decoders", "cost")] == [4, 4]
    assert "Boundary IoU" in str(tables["decoders"])


def test_the_models_for_voc_know_its_classes() -> None:
    from torchvision.models.segmentation import FCN_ResNet50_Weights

    from harness_data.voc2007 import CLASSES
    from harness_dense.class_matching import match_classes_by_name
    from harness_segmenters.torchvision_segmenter import ARCHITECTURES

    models = [
        model for experiment in read("segmentation-voc")["experiments"] for model in experiment["models"]
    ]
    assert {model["name"] for model in models} == set(ARCHITECTURES)
    known = FCN_ResNet50_Weights.DEFAULT.meta["categories"]
    matched = match_classes_by_name(known, ["background", *CLASSES])
    assert matched.missing == []
    assert matched.remarks == []
