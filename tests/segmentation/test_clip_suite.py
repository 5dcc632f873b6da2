"""The zero-shot segmenter in the protocol, and the suite `segmentation-zero-shot` on small files in the real layouts."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness_dense.pixel_counts import PixelCounts
from harness_dense.region_metrics import MeanIoU
from harness_embedded.drawn_objects import DrawnRegions
from harness_embedded.tiny_models import TinyCLIP
from harness_segmenters.clip_segmenter import ClipSegmenter

TINY = {"plugin": "tiny-clip", "tower": "vit", "steps": 50}
DATA = {"plugin": "drawn-regions", "train": 1, "test": 6, "side": 48}
OPTIONS = {"threshold": 0.2, "scale": 40.0}
SUITE = Path(harness.__file__).parents[1] / "suites" / "harness_segmentation" / "segmentation-zero-shot.toml"


def run(folder, **protocol):
    suite = {
        "name": "zero",
        "protocol": {"plugin": "segmentation", "timed": 1, "pictures": 1, **protocol},
        "models": [{"plugin": "clip-segmenter", "model": TINY, **OPTIONS}],
        "datasets": [DATA],
        "metrics": ["miou"],
    }
    (record,) = harness.run(suite, store=folder / "store", cache=folder / "cache", device="cpu").records
    assert record.status == "ok", record.notes
    return record


def test_the_protocol_tells_it_the_data_sets_classes(tmp_path):
    record = run(tmp_path)
    segmenter = ClipSegmenter(TinyCLIP(tower="vit", steps=50), **OPTIONS)
    segmenter.load(torch.device("cpu"))
    split = DrawnRegions(train=1, test=6, side=48).load("test")
    segmenter.name_classes(split.class_names, ["a photo of a {}."])
    counts = PixelCounts(split.class_names)
    for sample in map(split.__getitem__, range(6)):
        logits = segmenter.segment([torch.from_numpy(sample.image.copy()).permute(2, 0, 1) / 255])[0]
        predicted = logits.argmax(dim=0).numpy()
        counts.add(sample.id, sample.target.semantic, predicted, np.full(predicted.shape, 0.5))
    assert record.metrics["miou"] == pytest.approx(MeanIoU()(counts.collect()), abs=1e-9)
    assert record.notes["classes_not_known"] == []


def test_a_background_left_out_is_not_told(tmp_path):
    record = run(tmp_path, background="left out", aliases=["circle=disc"])
    assert record.notes["classes"] == len(DrawnRegions().shapes)
    assert any("no class 'background': the threshold has no effect" in text for text in record.remarks)


@pytest.fixture
def files(tmp_path, monkeypatch):
    """VOC, Context and ADE20K with one image each, in which every class has its pixels."""
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    labels = (np.arange(2000) % 256).astype(np.uint8).reshape(40, 50)

    def save(image, *parts):
        path = tmp_path.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path) if isinstance(image, Image.Image) else path.write_text(image)

    voc = ("voc", "VOCdevkit", "VOC2012")
    save("a\n", *voc, "ImageSets", "Segmentation", "val.txt")
    save(pixels, *voc, "JPEGImages", "a.jpg")
    palette = Image.fromarray(labels % 21, "P")
    palette.putpalette([value // 3 for value in range(768)])
    save(palette, *voc, "SegmentationClass", "a.png")
    save("\n".join(f"thing {n}" for n in range(59)), "pascal-context", "classes.txt")
    save(pixels, "pascal-context", "images", "val", "a.jpg")
    save(Image.fromarray(labels % 60), "pascal-context", "masks", "val", "a.png")
    ade = "ADEChallengeData2016"
    save("Idx\tName\n" + "\n".join(f"{n}\tthing {n}" for n in range(1, 151)), ade, "objectInfo150.txt")
    save(pixels, ade, "images", "validation", "a.jpg")
    save(Image.fromarray(labels % 151), ade, "annotations", "validation", "a.png")
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    return tmp_path


def test_all_cells_of_the_suite_are_possible(files):
    plan = harness.plan("segmentation-zero-shot", store=files / "store")
    assert [cell.reason for cell in plan if cell.reason] == []
    assert len(list(plan)) == 27


def test_the_suites_tables_are_full_and_the_published_numbers_beside_them(files):
    suite = tomllib.loads(SUITE.read_text(encoding="utf-8"))
    suite["protocol"] = {"plugin": "segmentation", "timed": 1}
    suite["defaults"]["models"]["clip-segmenter"] |= {"model": TINY, "templates": ["a {}"]}
    for experiment in suite["experiments"]:
        experiment["models"] = [m for m in experiment["models"] if "model" not in m]
    out = harness.run(suite, store=files / "store", cache=files / "cache", device="cpu")
    assert {record.status for record in out.records} == {"ok"}
    tables = {table.name: table for table in out.tables()}
    assert set(tables) == {table["name"] for table in suite["tables"]}
    for name in ("words", "background", "pretraining", "speed"):
        assert all(entry.value is not None for row in tables[name].rows for entry in row.entries), name
    (published,) = [row for row in tables["beside-published"].rows if row.published]
    assert [round(entry.value, 4) for entry in published.entries] == [0.8154, 0.3446, 0.1645]
