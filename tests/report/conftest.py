"""Stores made by hand: records of a run without anything having been run."""

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
    "long " + "n" * 300,
    "emoji 🐈‍⬛ 模型",
    "_hidden & \"quoted\" 'name'",
    "</script><!-- <b>",
)


class Maker:
    """Writes records of made-up accuracies, in the order of the calls."""

    def __init__(self, path, suite="demo", **content):
        self.store, self.suite, self.cells = Store(path), suite, []
        self.content = {"name": suite, "protocol": "zero", **content}
        self.files = {}

    def record(self, model, dataset, accuracy=0.8, seed=0, status="ok", n=200, files=True, **more):
        """One record, with per-sample predictions of about that accuracy over five classes."""
        at = {"experiment": self.suite, "protocol": "zero", "model": model, "dataset": dataset, "method": ""}
        at |= {**more.get("axes", {}), "seed": seed}
        tags = more.get("tags", {})
        id = hashlib.sha256(repr((self.suite, sorted(at.items()))).encode()).hexdigest()[:20]
        self.cells.append({"id": id, "at": at, "tags": tags})
        part = {"plugin": "p", "distribution": "d", "version": "1", "tags": {}, "options": {}, "identity": {}}
        cell = {
            "model": {**part, "label": model},
            "dataset": {**part, "label": dataset, **_dataset(*more.pop("dataset_part", ("p", {})))},
            "seed": seed,
        }
        texts = {k: v for k, v in more.items() if k in ("reason", "traceback", "notes")}
        record = Record(id, status, self.suite, at, tags, cell, **texts)
        record.provenance = {
            "started": f"2026-01-02T03:04:{seed % 60:02d}.000+00:00",
            "libraries": {"torch": "2.4.0"},
            "device": {"type": "cpu"},
            "environment": "abc123",
        }
        samples = None
        if more.get("fake"):
            record.metrics, record.units, record.count = {"top1": accuracy}, {"top1": "fraction"}, n
        elif status == "ok":
            rng = np.random.default_rng([seed, n])
            target = np.arange(n) % 5
            right = np.arange(n) < round(accuracy * n)
            rng.shuffle(right)
            samples = {
                "id": [f"{dataset[:20]}/{i:05d}" for i in range(n)],
                "target": target,
                "prediction": np.where(right, target, (target + 1 + np.arange(n) // 5 % 3) % 5),
                "confidence": rng.uniform(0.3, 1.0, n).astype(np.float32),
                "top1": right.astype(np.float32),
            }
            record.metrics = {"top1": float(right.mean()), "ece": 0.05}
            record.directions = {"top1": True, "ece": False}
            record.units, record.binary, record.count = {"top1": "fraction"}, ["top1"], n
            record.cost = {"parameters": float(more.get("parameters", 1e6)), "seconds": 1.5}
        beside = (samples, more.get("curves"), more.get("images")) if files else ()
        self.store.write(record, *beside)
        return id

    def done(self):
        """Write the plan, after which the store looks as a run leaves it."""
        self.store.write_manifest(self.content, self.cells)
        return self.store


def _dataset(plugin, options):
    return {"plugin": plugin, "options": options, "distribution": "(this process)"}


@pytest.fixture(scope="session")
def large(tmp_path_factory):
    """The report on 10,000 records, one table row each."""
    from harness.reporting import write_report

    folder = tmp_path_factory.mktemp("large")
    made = Maker(
        folder / "store", suite="large", tables=[{"name": "all", "values": ["top1"], "intervals": "none"}]
    )
    for n in range(10_000):
        made.record(
            f"model-{n % 5000:04d}", f"data-{n // 5000}", (n * 7919 % 10_000) / 10_000, n=10_000, fake=True
        )
    return write_report(made.done(), None, folder / "report.html")


@pytest.fixture
def maker(tmp_path):
    """Make a store in a new folder."""
    return lambda **content: Maker(tmp_path / "store", **content)


@pytest.fixture(scope="session")
def nasty():
    """Names that break what does not escape them."""
    return NASTY


@pytest.fixture(scope="module")
def module_maker(tmp_path_factory):
    """Make a store that all tests of a module share."""
    return lambda **content: Maker(tmp_path_factory.mktemp("shared") / "store", **content)
