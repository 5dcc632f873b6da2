"""Judges of images: a classifier of the data set, and any model that encodes images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import harness.api
import harness_gan.judge_classifier
from harness.discovery import registry


@pytest.fixture(autouse=True)
def quick_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier of few steps, which stays with the test."""
    monkeypatch.setattr(harness_gan.judge_classifier, "STEPS", 60)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))


def test_digits_are_judged_by_a_classifier_of_their_own(toy: Any, tmp_path: Path) -> None:
    """Real digits stacked as colours: 1,000 modes; a short training covers few, and the floor is named."""
    record = toy.run(
        tmp_path / "store",
        protocol={"plugin": "gan", "steps": 2, "batch_size": 8, "size": 8, "samples": 100, "confidence": 0.0},
        models=[{"plugin": "gan-dcgan", "width": 4, "latent": 8}],
        datasets=[{"plugin": "stacked", "dataset": "digits", "count": 300, "label": "stacked"}],
        methods=toy.suite["methods"][:1],
        seeds=[0],
    ).records[0]
    assert record.notes["signs"]["modes"] == 1000
    assert record.notes["verdict"] == "collapsed"
    assert record.metrics["frechet.classifier d=96 n=100/100"] > record.metrics["frechet.floor"]
    assert len(record.notes["classifier"]) == 12


class Corners:
    """An encoder of four numbers: the mean of each quarter of an image."""

    def load(self, device: torch.device) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.mean(1), 2).flatten(1)


def test_any_model_that_encodes_images_may_judge(toy: Any, tmp_path: Path) -> None:
    """A column says which one it was, and the distance is never called FID."""
    registry.register("models", "corners", Corners)
    record = toy.run(
        tmp_path / "store",
        protocol={
            "plugin": "gan",
            "steps": 2,
            "batch_size": 8,
            "size": 8,
            "samples": 40,
            "extractor": "corners",
        },
        models=[{"plugin": "gan-dcgan", "width": 4, "latent": 8}],
        datasets=["digits"],
        methods=toy.suite["methods"][:1],
        metrics=["frechet"],
        seeds=[0],
    ).records[0]
    named = [name for name in record.metrics if name.startswith("frechet.corners d=4 n=40/")]
    assert named
    assert not any("fid" in name.lower() for name in record.metrics)


def test_an_extractor_that_is_missing_skips_its_cells(toy: Any, tmp_path: Path) -> None:
    for protocol in ("gan", "cyclegan"):
        extractor = {"plugin": "fid-inception", "checkpoint": str(tmp_path / "none.pth")}
        planned = harness.api.plan({**toy.suite, "protocol": {"plugin": protocol, "extractor": extractor}})
        assert {p.state for p in planned.cells} == {"skipped"}
        assert "none.pth is not a file" in (planned.cells[0].reason or "")


def test_what_an_extractor_remarks_stands_in_the_record(toy: Any, tmp_path: Path) -> None:
    class Told(Corners):
        remarks = ("the weights under 'model' were taken",)

        def load(self, device: Any) -> None:
            super().load(device)
            self.remarks = (*Told.remarks, "its head was left out")

    harness.register("models", "corners-told", Told)
    records = toy.run(
        tmp_path,
        protocol={
            "plugin": "gan", "steps": 2, "batch_size": 8, "size": 8, "samples": 40, "extractor": "corners-told",
        },
        models=[{"plugin": "gan-dcgan", "width": 4, "latent": 8}],
        datasets=["digits"],
        methods=toy.suite["methods"][:1],
        metrics=["frechet"],
        seeds=[0, 1],
    ).records  # fmt: skip
    for record in records:  # the second finds the extractor loaded
        assert record.remarks == [
            "gan: corners-told: the weights under 'model' were taken",
            "corners-told: its head was left out",
        ]
