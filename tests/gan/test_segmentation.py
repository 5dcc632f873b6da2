"""The segmentation score: by hand, by torchmetrics, and through a translation with label maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harness
import harness.api
import harness_gan.segmentation
from harness.errors import DataError
from harness_data.domains import Domains
from harness_gan.segmentation import IGNORED, count_confusion, score_segmentation


def test_a_score_by_hand() -> None:
    """Of class 0 three of four pixels are right, of class 1 one of two; class 2 is found but never true."""
    truth = np.array([[[0, 0, 0, 0], [1, 1, IGNORED, IGNORED]]], np.uint8)
    found = np.array([[[0, 0, 0, 1], [1, 2, 0, 1]]], np.uint8)
    assert count_confusion(truth, found, 3).tolist() == [[3, 1, 0], [0, 1, 1], [0, 0, 0]]
    score = score_segmentation(truth, found, 3)
    assert score.per_pixel_accuracy == pytest.approx(4 / 6)
    assert score.per_class_accuracy == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert score.class_iou == pytest.approx((3 / 4 + 1 / 3 + 0) / 3)
    assert score_segmentation(truth, truth, 3) == (1, 1, 1)
    # class 3 appears nowhere and counts nowhere
    assert score_segmentation(truth, found, 4) == score


def test_the_score_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_jaccard_index

    rng = np.random.default_rng(0)
    truth, found = (rng.integers(0, 5, (6, 9, 9)).astype(np.uint8) for _ in range(2))
    found = np.where(rng.random(truth.shape) < 0.6, truth, found)
    truth[:, :2] = IGNORED
    t, f = torch.from_numpy(truth).long(), torch.from_numpy(found).long()
    score = score_segmentation(truth, found, 5)
    options: dict[str, Any] = {"num_classes": 5, "ignore_index": IGNORED}
    assert score.per_pixel_accuracy == pytest.approx(
        float(multiclass_accuracy(f, t, average="micro", **options))
    )
    assert score.per_class_accuracy == pytest.approx(
        float(multiclass_accuracy(f, t, average="macro", **options))
    )
    assert score.class_iou == pytest.approx(float(multiclass_jaccard_index(f, t, **options)))


COLOURS = np.array([[20, 20, 200], [220, 200, 30], [30, 160, 40]], np.uint8)


def two_domains(root: Path, size: int = 12) -> None:
    """A is drawn in colours, one per class; B is the same, darker; maps lie beside them."""
    rng = np.random.default_rng(0)
    for split, count in (("trainA", 12), ("trainB", 12), ("testA", 10), ("testB", 10)):
        (root / split).mkdir(parents=True)
        (root / "maps" / split).mkdir(parents=True)
        for n in range(count):
            blocks = rng.integers(0, 3, (size // 4, size // 4)).astype(np.uint8)
            labels = blocks.repeat(4, 0).repeat(4, 1)
            pixels = COLOURS[labels] // (2 if split.endswith("B") else 1)
            Image.fromarray(pixels.astype(np.uint8)).save(root / split / f"{n:02d}.png")
            Image.fromarray(labels).save(root / "maps" / split / f"{n:02d}.png")


def test_a_translation_is_scored_where_label_maps_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A segmenter of B reads B's own images well; the scores of A's images stand beside."""
    monkeypatch.setattr(harness_gan.segmentation, "STEPS", 150)
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    two_domains(tmp_path / "data")
    suite: dict[str, Any] = {
        "name": "maps",
        "protocol": {"plugin": "cyclegan", "steps": 2, "size": 12, "extractor": "corners-of-domains"},
        "models": [{"plugin": "cyclegan-resnet", "width": 4, "blocks": 1, "patch_layers": 1}],
        "datasets": [
            {
                "plugin": "domains",
                "path": str(tmp_path / "data"),
                "labels": str(tmp_path / "data" / "maps"),
            }
        ],
        "methods": ["untranslated", "cyclegan"],
        "metrics": ["frechet"],
    }
    harness.discovery.registry.register("models", "corners-of-domains", Means)
    outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
    for record in outcome.records:
        assert record.status == "ok", record.traceback or record.reason
    same, translated = (r.metrics for r in outcome.records)
    for name in ("per_pixel_accuracy", "per_class_accuracy", "class_iou"):
        assert same[f"true_{name}"] > 0.9
        assert same[name] == same[f"untranslated_{name}"] == translated[f"untranslated_{name}"]
        assert 0 <= translated[name] <= 1
        assert outcome.records[0].units[name] == "fraction"
    assert "healthy" not in same
    assert len(outcome.records[1].notes["segmenter"]) == 12


class Means:
    """An encoder of an image's mean colour."""

    def load(self, device: torch.device) -> None:
        pass

    def prepare(self, image: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3))


def test_label_maps_are_found_fitted_and_checked(tmp_path: Path) -> None:
    two_domains(tmp_path, 16)
    maps = tmp_path / "maps"
    data = Domains(tmp_path, labels=maps)
    assert data.unavailable() is None
    ids = data.load("testA").ids
    found = data.label_maps("testA", ids[:3], 8)
    assert found is not None
    # nearest neighbours: a quarter of the pixels, and no class that was not there
    whole = np.stack([np.asarray(Image.open(maps / "testA" / id)) for id in ids[:3]])
    assert np.array_equal(found, whole[:, 1::2, 1::2])
    before = data.fingerprint()
    (maps / "testB" / "03.png").unlink()
    assert data.label_maps("testB", data.load("testB").ids, 8) is None
    assert data.fingerprint() != before
    Image.new("RGB", (16, 16)).save(maps / "testA" / "02.png")
    with pytest.raises(DataError, match="found mode RGB"):
        data.label_maps("testA", ids, 8)
    (maps / "testA" / "02.png").unlink()
    assert "no label map for the image 02.png of testA" in (data.unavailable() or "")
    assert Domains(tmp_path).label_maps("testA", ids, 8) is None


def test_label_maps_of_two_plain_folders(tmp_path: Path) -> None:
    for part in ("a", "b", "maps/A", "maps/B"):
        (tmp_path / part / "deep").mkdir(parents=True)
        for n in range(10):
            Image.new("L", (4, 4), n).save(tmp_path / part / "deep" / f"{n}.png")
    data = Domains(a=tmp_path / "a", b=tmp_path / "b", labels=tmp_path / "maps", held_out=0.3)
    assert data.unavailable() is None
    assert data.load("testA").ids == ["deep/7.png", "deep/8.png", "deep/9.png"]
    found = data.label_maps("trainB", data.load("trainB").ids, 4)
    assert found is not None
    assert found[:, 0, 0].tolist() == list(range(7))
