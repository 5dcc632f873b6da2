"""The suites of captions with hard negatives: the embedded one whole, the other on small copies of its files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import harness
from harness.planning import suite as suites
from harness.planning.plan import make_plan
from harness_data.sugarcrepe import CATEGORIES

IMAGES = 8


def test_without_data_every_cell_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(suites.load_suite_file("retrieval-compositional"))
    assert plan.counts() == {"skipped": len(plan)}
    assert all(any(w in str(p.reason) for w in ("get it", "get them", "get COCO")) for p in plan)


@pytest.mark.parametrize("name", ["retrieval-compositional", "retrieval-choices"])
def test_there_is_a_row_that_sees_nothing(name):
    cells = [p.cell for p in make_plan(suites.load_suite_file(name))]
    for data in {c.dataset.label for c in cells}:
        kinds = {(c.model.plugin, c.model.tags["kind"]) for c in cells if c.dataset.label == data}
        assert ("ngram-plausibility", "blind") in kinds
        assert {kind for _, kind in kinds} == {"sees", "blind"}


def draw(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def caption(n: int) -> list[str]:
    words = ["a", ("red", "blue")[n % 2], ("circle", "star", "heart", "ring")[n % 4], "on", "a", "wall"]
    return [" ".join(words[k:] + words[:k]) for k in range(5)]


def write_data(root: Path) -> None:
    """Images of noise, whose right captions are in order and whose wrong ones are turned."""
    for category in CATEGORIES:
        rows = {
            str(n): {"filename": f"{n}.jpg", "caption": caption(n)[0], "negative_caption": caption(n)[2]}
            for n in range(IMAGES)
        }
        write(root / "sugarcrepe" / f"{category.replace('-', '_')}.json", rows)
    for n in range(IMAGES):
        for folder in ("coco/val2017", "coco/val2014", "flickr30k/images", "aro/images"):
            draw(root / folder / f"{n}.jpg", n)
        for k in range(2):
            draw(root / "winoground" / "images" / f"ex_{n}_img_{k}.png", 10 * n + k)
    pairs = [
        {"id": n, "image_0": f"ex_{n}_img_0", "image_1": f"ex_{n}_img_1", "caption_0": caption(n)[0]}
        | {"caption_1": caption(n)[1], "collapsed_tag": ("Object", "Both")[n % 2]}
        for n in range(IMAGES)
    ]
    (root / "winoground" / "examples.jsonl").write_text("".join(json.dumps(one) + "\n" for one in pairs))
    box = {"bbox_x": 1, "bbox_y": 1, "bbox_w": 9, "bbox_h": 9}
    for part, many in (("relation", 1), ("attribution", 7)):
        rows = [
            box | {"image_path": f"{n}.jpg", "true_caption": caption(n)[0], "false_caption": caption(n)[3]}
            | {"relation_name": ("on", "near")[n % 2], "attributes": ["red", ("old", "new")[n % 2]]}
            for n in range(IMAGES) for _ in range(many)
        ]  # fmt: skip
        write(root / "aro" / f"visual_genome_{part}.json", rows)
    write_orders(root / "coco" / "coco_order.json", "val2014")
    write_orders(root / "flickr30k" / "flickr30k_order.json", "")
    for split in ("train", "val"):
        images = [{"id": n, "file_name": f"{n}.jpg"} for n in range(IMAGES)]
        said = [{"id": n, "image_id": n, "caption": caption(n)[0]} for n in range(IMAGES)]
        write(
            root / "coco" / "annotations" / f"captions_{split}2014.json",
            {"images": images, "annotations": said},
        )


def write_orders(path: Path, folder: str) -> None:
    rows = [{"image": f"{folder}/{n}.jpg".lstrip("/"), "caption_options": caption(n)} for n in range(IMAGES)]
    write(path, rows)


def run_suite(suite: Any, tmp_path: Path) -> tuple[dict[str, Any], list[Any]]:
    run = harness.run(suite, store=tmp_path / "store", device="cpu", executor="inline")
    assert not {(r.coordinates["dataset"], r.reason) for r in run.records if r.status != "ok"}
    tables = {table.name: table for table in run.tables()}
    for table in tables.values():
        assert table.rows, table.name
        missing = [n for n in table.footnotes if n.startswith(("not available", "no value"))]
        assert not missing, (table.name, missing)
    return tables, list(run.records)


def find(records: Sequence[Any], model: str, dataset: str) -> Any:
    (record,) = (
        r for r in records if r.coordinates["model"] == model and r.coordinates["dataset"] == dataset
    )
    return record


def test_all_tables_of_the_files_can_be_made(monkeypatch, tmp_path):
    write_data(tmp_path / "data")
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    planned = suites.load_suite_file("retrieval-compositional").model_dump()
    trigrams = next(m for m in planned["models"] if m["plugin"] == "ngram-plausibility")
    seeing = {
        "plugin": "tiny-clip",
        "tower": "resnet",
        "steps": 0,
        "label": "seeing",
        "tags": {"kind": "sees"},
    }
    planned["models"] = [seeing, trigrams]
    _, records = run_suite(planned, tmp_path)
    for record in records:  # whose wrong captions are no English
        if record.coordinates["model"] == "trigrams" and "group-scores.text" not in record.metrics:
            assert record.metrics["strict-choice"] == 1
    pairs = find(records, "trigrams", "Winoground").metrics
    assert {pairs[f"group-scores.{name}"] for name in ("text", "image", "group")} == {0}
    assert pairs["strict-choice"] == 1 / 2
    attributes = find(records, "trigrams", "VG-Attribution").metrics
    assert attributes["strict-choice.red_old"] == 1  # 28 samples
    assert len(records) == 24


def test_the_embedded_suite_tells_looking_from_reading(monkeypatch, tmp_path):
    """Trigrams are at chance wherever the wrong caption reads as well, and right where it doesn't; tiny CLIP looks."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    tables, records = run_suite("retrieval-choices", tmp_path)
    assert set(tables) == {"choices", "pairs"}
    for name in ("replace shape", "replace colour", "replace background", "swap"):
        assert 0.35 < find(records, "trigrams", name).metrics["strict-choice"] < 0.65
    assert find(records, "trigrams", "implausible").metrics["strict-choice"] == 1
    for model in ("tiny CLIP, ViT", "tiny CLIP, ResNet"):
        assert find(records, model, "replace shape").metrics["strict-choice"] > 0.65
        assert find(records, model, "pairs of scenes").metrics["group-scores.group"] > 1 / 6 + 0.02
    blind = find(records, "trigrams", "pairs of scenes").metrics
    assert {blind[f"group-scores.{key}"] for key in ("text", "image", "group")} == {0}
