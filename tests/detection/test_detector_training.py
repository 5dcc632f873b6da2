"""Training of detectors: bit for bit after a kill, once for clean and corrupted images, mirrored with its objects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness import Boxes, OptionError
from harness.learning.training_progress import TrainingProgress
from harness.records.store import Store
from harness_dense.mask_codes import encode_masks, write_codes
from harness_detection.mirroring import mirror_boxes
from harness_detection.training_method import DetectorTraining
from tests.detection.conftest import Rectangles, RectangleSet, Run

GRID = {"plugin": "grid-detector", "width": 8}
TRAINING = {
    "plugin": "detector-training", "steps": 8, "batch": 4, "optimizer": "adamw", "rate": 3e-3, "checkpoint_every": 2,
}  # fmt: skip
TIMES = ("seconds", "per_second", "latency", "memory")


def read_numbers(record: Any, store: Store) -> dict[str, float]:
    found = {**record.metrics, **record.cost}
    for row in store.curves(record.id).itertuples():
        found[f"{row.curve}/{row.column}/{row.position}"] = row.value
    return {name: value for name, value in found.items() if not any(mark in name for mark in TIMES)}


@pytest.mark.parametrize(
    "model",
    [GRID, {"plugin": "small-faster-rcnn", "width": 8, "masks": True, "proposals": 10}],
    ids=["grid", "faster"],
)
def test_a_killed_training_continues_to_the_same_record(
    run: Run, model: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[int] = []
    killed_at = -1
    real = TrainingProgress.add

    def counted(self: TrainingProgress, *given: Any) -> None:
        if updates.append(1) or len(updates) == killed_at:
            raise KeyboardInterrupt
        real(self, *given)

    monkeypatch.setattr(TrainingProgress, "add", counted)
    parts = {"models": [model], "methods": [TRAINING]}
    expected, undisturbed = run("undisturbed", "c1", **parts)
    assert expected.status == "ok", expected.reason
    assert len(updates) == 8
    updates.clear()
    killed_at = 6
    with pytest.raises(KeyboardInterrupt):
        run("killed", "c2", **parts)
    updates.clear()
    killed_at = -1
    found, store = run("killed", "c2", **parts)
    assert len(updates) < 6
    assert repr(read_numbers(found, store)) == repr(read_numbers(expected, undisturbed))
    assert store.samples(found.id).equals(undisturbed.samples(expected.id))


def test_a_short_training_finds_something(run: Run) -> None:
    longer = TRAINING | {"steps": 90, "batch": 16, "rate": 1e-2, "checkpoint_every": 200}
    record, store = run(models=[GRID | {"width": 16}], methods=[longer])
    assert record.metrics["coco-ap.AP50"] > 0.05
    assert record.notes["training_images"] == 48
    assert record.cost["steps"] == 90
    losses = store.curves(record.id).query("curve == 'training' and column == 'loss'")["value"].to_numpy()
    assert losses[-10:].mean() < 0.5 * losses[:10].mean()


def test_corrupted_images_are_found_by_what_clean_ones_taught(planted: None, tmp_path: Path) -> None:
    corrupted = {
        "plugin": "corrupted",
        "dataset": "rectangles",
        "severity": 5,
        "label": "noisy",
        "corruption": "gaussian_noise",
    }
    suite = {
        "name": "s",
        "protocol": {"plugin": "detection", "timed": 0, "pictures": 0},
        "models": [GRID],
        "datasets": ["rectangles", corrupted],
        "methods": [TRAINING],
        "metrics": ["coco-ap"],
    }
    done = harness.run(suite, store=tmp_path / "s", cache=tmp_path / "c")
    records = {record.coordinates["dataset"]: record for record in done.records}
    assert records["noisy"].status == "ok", records["noisy"].reason
    assert any("trained on 'rectangles'" in text for text in records["noisy"].remarks)
    store = Store(tmp_path / "s")
    curves = [store.curves(r.id).query("curve == 'training'")["value"].tolist() for r in records.values()]
    assert curves[0] == curves[1]
    assert records["noisy"].notes["objects_there"] == records["rectangles"].notes["objects_there"]


def test_mirrored_twice_is_the_same() -> None:
    mask = np.zeros((1, 6, 10), bool)
    mask[0, 1:3, 2:7] = True
    codes = write_codes(encode_masks(mask), (6, 10))
    truth = Boxes(np.array([[2.0, 1, 7, 3]]), np.array([1]), crowd=np.array([True]), masks=codes)
    once = mirror_boxes(truth, 10)
    assert once.boxes.tolist() == [[3, 1, 8, 3]]
    assert once.crowd is not None
    assert encode_masks(mask[:, :, ::-1])[0] == once.masks[0]["counts"]  # type: ignore[index]
    twice = mirror_boxes(once, 10)
    assert twice.boxes.tolist() == truth.boxes.tolist()
    assert twice.masks[0]["counts"] == codes[0]["counts"]  # type: ignore[index]


def test_the_recipe_is_that_of_torchvisions_reference() -> None:
    recipe = DetectorTraining(flip=0).build_recipe(1600, "float32")
    assert (recipe.steps, recipe.batch, recipe.rate, recipe.optimizer) == (2600, 16, 0.02, "sgd")
    assert recipe.schedule_options == {"decay_t": [1600, 2200], "decay_rate": 0.1}
    assert recipe.weight_decay == 1e-4
    with pytest.raises(OptionError, match="flip must be from 0 to 1"):
        DetectorTraining(flip=2)
    with pytest.raises(OptionError, match="rate must be above 0"):
        DetectorTraining(rate=0)
    for endless in ({"epochs": float("inf")}, {"rate": float("inf")}):
        with pytest.raises(OptionError, match="must be above 0 and finite"):
            DetectorTraining(**endless)
    with pytest.raises(OptionError, match="weight_decay must be at least 0"):
        DetectorTraining(weight_decay=-1)


class Folds(RectangleSet):
    """As PASCAL VOC: `trainval` holds the images of `train` and of `val`."""

    splits = ("train", "val", "trainval", "test")
    overlapping = (("train", "trainval"), ("val", "trainval"))

    def load(self, split: str) -> Rectangles:
        return Rectangles({"train": 8, "val": 5, "trainval": 13, "test": 9}[split])


def test_the_split_to_train_on_is_chosen(planted: None, tmp_path: Path) -> None:
    harness.register("datasets", "folds", Folds)
    corrupted = {"plugin": "corrupted", "dataset": "folds", "corruption": "fog"}
    suite = {
        "name": "s",
        "protocol": {"plugin": "detection", "timed": 0, "pictures": 0},
        "models": [GRID],
        "datasets": ["folds", corrupted],
        "methods": [TRAINING | {"steps": 1, "split": "trainval", "label": "all"}, TRAINING | {"steps": 1}],
        "metrics": [],
    }
    done = harness.run(suite, store=tmp_path / "s", cache=tmp_path / "c")
    assert sorted(record.notes["training_images"] for record in done.records) == [8, 8, 13, 13]
    reasons = [
        str(cell.reason)
        for split in ("val", "train", "trainval")
        for cell in harness.plan(suite | {"protocol": {"plugin": "detection", "split": split}})
    ]
    shares = ["shares images with 'trainval'", "None"] * 2
    shares += ["shares images with 'trainval'", "is what models train on"] * 2
    shares += ["is what models train on", "shares images with 'train'"] * 2
    assert [part in reason for part, reason in zip(shares, reasons, strict=True)] == [True] * 12, reasons
    (cell, *_) = harness.plan(suite | {"methods": [TRAINING | {"split": "trainvall"}]})
    assert "no split 'trainvall' to train on; did you mean 'trainval'" in str(cell.reason)


def test_the_voc_suite_trains_on_what_it_says() -> None:
    from tests.detection.test_suite_files import read

    (tuned,) = [e for e in read("detection-voc")["experiments"] if e["name"] == "fine-tuned"]
    assert [method["split"] for method in tuned["methods"]] == ["trainval"]
