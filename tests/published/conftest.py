"""A store with records of made-up accuracies, a set of published results beside it, and the suite's tables."""

import hashlib

import numpy as np
import pytest

from harness.records.record import Record
from harness.records.store import Store

REFERENCES = {
    "ImageNet": "imagenet",
    "V2": "imagenetv2",
    "R": "imagenet-r",
    "ImageNet [R]": "imagenet?classes=imagenet-r",
    "fog 1": "imagenet-c?corruption=fog&severity=1",
    "fog 2": "imagenet-c?severity=2&corruption=fog",
}
SHIFTS = {"V2": "ImageNet", "R": "ImageNet [R]"}


class Made:
    """A store in which records are written as a run leaves them."""

    def __init__(self, folder, suite="mine", **content):
        self.store, self.suite, self.cells, self.folder = Store(folder / "store"), suite, [], folder
        self.content = {"name": suite, "protocol": "p", **content}
        self.models = {}

    def record(self, model, dataset, accuracy, n=200, seed=0, written=None, metric="top1", **more):
        at = {"experiment": self.suite, "protocol": "p", "model": model, "dataset": dataset, "method": ""}
        at["seed"] = seed
        tags = {"dataset.reference": SHIFTS[dataset]} if dataset in SHIFTS else {}
        tags |= more.pop("tags", {})
        if written:
            self.models[model] = [written]
        id = hashlib.sha256(repr((self.suite, sorted(at.items()))).encode()).hexdigest()[:20]
        self.cells.append({"id": id, "at": at, "tags": tags})
        cell = {"model": {"label": model}, "dataset": {"label": dataset}, "seed": seed} | more.pop("cell", {})
        record = Record(id, "ok", self.suite, at, tags, cell, **more)
        right = (np.arange(n) < round(accuracy * n)).astype(np.float32)
        record.metrics, record.units = {metric: float(right.mean())}, {metric: "fraction"}
        record.directions, record.binary, record.count = {metric: True}, [metric], n
        target = np.zeros(n, dtype=np.int64)
        samples = {"id": [f"{i:05d}" for i in range(n)], "target": target, metric: right}
        self.store.write(record, samples)
        return id

    def done(self, references=REFERENCES):
        datasets = {label: [references[label]] for label in references}
        names = {"references": {"dataset": datasets, "model": self.models}}
        self.store.write_manifest(self.content, self.cells, names)
        return self.store


HEAD = "# source: a paper (https://example.org)\n# commit: abc\n# metric: top1\n# unit: percent\n"


@pytest.fixture
def make(tmp_path):
    """Make a store; `make.csv(...)` writes a set of published results and returns its path."""

    def made(**content):
        return Made(tmp_path, **content)

    def csv(*rows, head=HEAD, name="others.csv"):
        path = tmp_path / name
        path.write_text(head + "\n".join(rows) + "\n")
        return str(path)

    made.csv = csv
    return made
