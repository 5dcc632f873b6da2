"""The shipped suites of retrieval: all tables of the embedded one, on a part of its data, and of the other on small files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness.discovery import registry
from harness.planning.plan import make_plan
from harness.planning.suite import load_suite_file
from harness.published.finding import read_published_set


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval")
    records = harness.run(
        "retrieval", store=folder / "store", cache=folder / "cache", device="cpu", limit=60
    ).records
    assert {r.status for r in records} == {"ok"}
    return harness.Store(folder / "store")


def test_every_table_is_full(store):
    tables = {t.name: t for t in harness.table("retrieval", store=store.path)}
    assert set(tables) == {t.name for t in load_suite_file("retrieval").tables}
    for name, table in tables.items():
        empty = [e for row in table.rows for e in row.entries if e.value is None]
        assert not empty, name
    assert len(tables["hubs"].rows) == 2 * 4
    assert len(tables["films"].rows) == 2 * 3


def test_training_and_remedies_show(store):
    frame = harness.load("retrieval", store=store.path)
    scenes = frame[(frame["dataset"] == "scenes") & (frame["direction"] == "image to text")]
    plain = scenes[scenes["method"] == ""].set_index("model")
    assert plain.loc["CLIP", "R@5"] > 2 * plain.loc["untrained", "R@5"]
    assert (plain["R@1"] <= plain["R@5"]).all()
    assert (plain["recall@10"] < plain["R@10"]).all()  # of five captions one is enough for the latter
    by_method = scenes[scenes["model"] == "CLIP"].set_index("method")["hubness-skew"]
    assert by_method["dual softmax"] < by_method[""]
    assert by_method["query bank"] < by_method[""]


# ------------------------------------------------------------------------------ on real data


def write_karpathy(root: Path) -> None:
    """Twelve images of Karpathy's files, four of a split, each of one colour that its captions number."""
    for dataset, folder, coco in (("coco", "coco", True), ("flickr30k", "flickr30k", False)):
        images = []
        for n, split in enumerate(["train", "val", "test"] * 4):
            name = f"COCO_val2014_{n:012}.jpg" if coco else f"{n}.jpg"
            place = root / folder / ("val2014" if coco else "images") / name
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (20 * n, 0, 0)).save(place, quality=95)
            sentences = [
                {"raw": f"{n} {i}", "tokens": ["x"], "imgid": n, "sentid": 5 * n + i} for i in range(5)
            ]
            record = {"filename": name, "imgid": n, "split": split, "sentences": sentences}
            record["sentids"] = [s["sentid"] for s in sentences]
            images.append(record | ({"filepath": "val2014", "cocoid": n} if coco else {}))
        path = root / folder / f"dataset_{dataset}.json"
        path.write_text(json.dumps({"images": images, "dataset": dataset}))


class Reader:
    """Encodes what is drawn and written: the number of the image, on a circle."""

    logit_scale = 1.0

    def load(self, device: Any) -> None:
        """Load nothing."""

    def prepare(self, image: Image.Image) -> torch.Tensor:
        return torch.tensor([np.asarray(image)[..., 0].mean() / 20])

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        angle = images[:, 0] / 4
        return torch.stack([angle.cos(), angle.sin()], 1)

    def encode_text(self, texts: Sequence[str]) -> torch.Tensor:
        return self.encode_image(torch.tensor([[float(text.split()[0])] for text in texts]))


def test_karpathys_files_and_published_numbers_come_together(tmp_path, monkeypatch):
    write_karpathy(tmp_path / "data")
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path / "data"))
    suite = load_suite_file("retrieval-coco").model_dump(exclude_unset=True)
    with registry.register_temporarily("models", "reader", Reader):
        suite["models"] = [{"plugin": "reader", "label": "reader OpenAI"}]
        for experiment in suite["experiments"]:
            experiment.pop("models", None)
        records = harness.run(suite, store=tmp_path / "store", device="cpu").records
    assert {r.status for r in records} == {"ok"}
    by_direction = {r.coordinates["direction"]: r for r in records if not r.coordinates["method"]}
    assert {d: r.count for d, r in by_direction.items()} == {"image to text": 4, "text to image": 20}
    assert all(r.metrics["R@1"] == 1 for r in by_direction.values())  # of 4 images on a circle, any caption
    tables = {t.name: t for t in harness.table("retrieval-coco", store=tmp_path / "store")}
    shown = str(tables["images-by-text"])
    assert "ViT-B-32-quickgelu/openai" in shown
    for number in ("30.4", "55.9", "66.9"):  # R@1, R@5 and R@10 of B/32 on COCO
        assert number in shown
    assert "50.1" in str(tables["texts-by-image"])
    assert tables["hubs"].rows


def test_without_data_every_cell_says_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    plan = make_plan(load_suite_file("retrieval-coco"))
    assert plan.counts() == {"skipped": len(plan)}
    assert all("get dataset_coco.json" in str(p.reason) for p in plan)


def test_every_model_has_published_numbers():
    plan = make_plan(load_suite_file("retrieval-coco"))
    written = {
        w
        for name in ("clip_image_retrieval", "clip_text_retrieval")
        for w in read_published_set(name).written
    }
    assert {p.cell.model.written[0] for p in plan} <= written
    tagged = {p.cell.dataset.tags.get("published") for p in plan}
    assert tagged == {"coco-karpathy", "flickr30k-karpathy"}
