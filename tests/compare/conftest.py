"""Stores made by hand: records with chosen predictions, without anything having been run."""

import hashlib

import numpy as np
import pytest

from harness.records.record import Record
from harness.records.store import Store

NASTY = (
    "<script>alert(1)</script>",
    "a|b",
    "$x_1$",
    "../../x",
    "=HYPERLINK(1)",
    "n" * 300,
    "emoji 🐈‍⬛ 模型",
    "line\nbreak \x1b[31mred",
)


class Maker:
    """Writes records whose id depends on their coordinates and `version`, then the plan."""

    def __init__(self, path, suite="demo"):
        self.store, self.suite, self.cells = Store(path), suite, []

    def record(self, model, dataset, right=None, seed=0, status="ok", version="1", values=None, **more):
        """A record from per-sample hits `right` (0/1), or of given metric `values` without samples."""
        at = {"experiment": "e", "protocol": "zero", "model": model, "dataset": dataset, "method": ""}
        at |= {**more.get("axes", {}), "seed": seed}
        key = (self.suite, sorted(at.items()), version)
        id = hashlib.sha256(repr(key).encode()).hexdigest()[:20]
        self.cells.append({"id": id, "at": at, "tags": more.get("tags", {})})

        def part(kind, label):
            fingerprint = f"{kind}-{more.get('fingerprint', 'f')}"
            facts = {"plugin": label, "version": version, "options": {}, "fingerprint": fingerprint}
            return {"label": label, "identity": facts}

        cell = {
            "model": part("model", model),
            "dataset": part("dataset", dataset),
            "metrics": [],
            "seed": seed,
        }
        cell |= {"precision": more.get("precision", "float32"), "images": more.get("images_mode", "exact")}
        record = Record(id, status, self.suite, at, more.get("tags", {}), cell, reason=more.get("reason"))
        record.provenance = {
            "started": "2026-01-02T03:04:05.000+00:00",
            "libraries": {"torch": more.get("torch", "2.4.0")},
            "device": {"type": "cuda", "name": more.get("device", "H200")},
            "batch_size": more.get("batch_size", 64),
        }
        record.cost = {"seconds": 1.5}
        record.remark(more.get("remarks", ()))
        samples = None
        if right is not None:
            right = np.asarray(right, dtype=np.float64)
            samples = {
                "id": more.get("ids", [f"{dataset[:20]}/{i:05d}" for i in range(len(right))]),
                "target": np.zeros(len(right), dtype=np.int64),
                "prediction": np.where(right > 0.5, 0, 1),
                "top1": right,
            }
            if "clusters" in more:
                samples["cluster"] = [str(cluster) for cluster in more["clusters"]]
            record.metrics = {"top1": float(right.mean()), **(values or {})}
            record.count, record.binary = len(right), ["top1"]
        elif values:
            record.metrics = dict(values)
        record.units = {"top1": "fraction"} if "top1" in record.metrics else {}
        record.directions = {m: m != "ece" for m in record.metrics}
        self.store.write(
            record, samples if more.get("files", True) else None, more.get("curves"), more.get("images")
        )
        return id

    def done(self, **content):
        """Write the plan, after which the store looks as a run leaves it."""
        self.store.write_manifest({"name": self.suite, **content}, self.cells)
        return self.store


@pytest.fixture
def maker(tmp_path):
    """Make stores in this test's folder, by name."""
    return lambda name, suite="demo": Maker(tmp_path / name, suite)


@pytest.fixture
def nasty():
    """Names that break a format that does not escape them."""
    return NASTY


@pytest.fixture
def hits():
    """N zeros and ones with about a rate of ones, drawn from a seed."""
    return lambda rate, n, seed: (np.random.default_rng(seed).random(n) < rate).astype(float)
