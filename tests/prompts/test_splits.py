"""Few-shot on people's own folders: splits under any of their names, classes that agree, similarities."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import harness
from harness_prompts.methods.zero_shot import ZeroShotEnsemble, ZeroShotTemplate, combine_templates
from harness_prompts.protocol import FewShot

CLIP = {"plugin": "tiny-clip", "tower": "vit", "steps": 0}


@pytest.fixture
def folder(tmp_path):
    def make(**splits: int) -> dict:
        for split, count in splits.items():
            for value, name in enumerate(("dark", "bright")):
                (tmp_path / "d" / split / name).mkdir(parents=True)
                for i in range(count):
                    pixels = np.full((16, 16, 3), 60 + 120 * value + i, np.uint8)
                    Image.fromarray(pixels).save(tmp_path / "d" / split / name / f"{i}.png")
        return {"plugin": "imagefolder", "path": str(tmp_path / "d"), "label": "d"}

    return make


def run(tmp_path: Path, dataset: dict, method: str = "tip-adapter"):
    suite = {
        "name": "few", "protocol": "few-shot", "models": [CLIP], "methods": [method], "datasets": [dataset],
        "metrics": ["top1"], "axes": {"shots": [2]},
    }  # fmt: skip
    (record,) = harness.run(suite, store=tmp_path / "store", device="cpu").records
    return record


def test_splits_are_found_under_their_other_names(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    record = run(tmp_path, folder(Training=4, valid=3, testing=5))
    assert (record.status, record.count, record.remarks) == ("ok", 10, [])
    assert (record.notes["training_samples"], record.notes["validation_samples"]) == (4, 4)


def test_what_is_tested_on_does_not_validate(tmp_path, folder, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    record = run(tmp_path, folder(train=2, dev=3))
    assert (record.status, record.count) == ("ok", 6)
    assert record.notes["validation_samples"] == 0
    assert record.remarks == [
        "tested on 'dev', a split for validation: the data set 'd' has none for testing"
    ]


def test_only_a_training_split_is_refused(tmp_path, folder):
    record = run(tmp_path, folder(train=2))
    assert record.status == "skipped"
    assert "neither a split for testing nor one for validation, only 'train'" in record.reason


def test_splits_that_disagree_on_their_classes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").mkdir()
    images, labels = np.zeros((8, 8, 8, 3), np.uint8), np.arange(8) % 2
    for split, names in (("train", ["dark", "bright"]), ("test", ["bright", "dark"])):
        np.savez(tmp_path / "a" / f"{split}.npz", images=images, labels=labels, class_names=np.array(names))
    record = run(tmp_path, {"plugin": "arrays", "path": str(tmp_path / "a")})
    assert record.status == "skipped"
    assert "differ: a label must mean" in record.reason


def model(**says):
    class Both:
        logit_scale = 1.0

        def prepare(self, image): ...
        def encode_image(self, images): ...
        def encode_text(self, texts): ...

    for name, value in says.items():
        setattr(Both, name, value)
    return Both()


def test_methods_that_need_cosine_say_so():
    data = SimpleNamespace(splits=("train", "test"))
    learned = SimpleNamespace(fit=None, needs_tower=False, needs_shots=True, transfers=True)
    dot, own = model(similarity="dot"), model(score=lambda self, images, texts: None)
    assert "by dot product, as the model does" in FewShot().cannot(dot, data, learned, {"shots": 1})
    assert (
        FewShot().cannot(dot, data, ZeroShotTemplate(), {})
        is FewShot().cannot(dot, data, ZeroShotEnsemble(), {})
        is None
    )
    assert "use the protocol classification" in FewShot().cannot(own, data, ZeroShotTemplate(), {})
    assert FewShot().cannot(model(), data, learned, {"shots": 1}) is None


@pytest.mark.parametrize("how", ["embeddings", "logits", "raw-embeddings"])
def test_dot_products_normalise_nothing(how):
    generator = torch.Generator().manual_seed(0)
    images, grid = torch.randn(4, 6, generator=generator), torch.randn(3, 2, 6, generator=generator)
    found = combine_templates(images, grid, 2.0, how, similarity="dot")
    torch.testing.assert_close(found, 2 * images @ grid.mean(dim=1).T)
