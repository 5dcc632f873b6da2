"""Tables with 1,556 published models on six data sets: from a file, and from records that were imported."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.leaderboard.build import build_tables
from harness.leaderboard.frame import suite_frame
from harness.planning.suite import load_planned
from harness.records.record import Record
from harness.records.store import Store

DATASETS = ("imagenet", "imagenet-real", "imagenetv2", "imagenet-a", "imagenet-r", "imagenet-sketch")


def write_suite(store: Store, name: str, values: np.ndarray[Any, Any], **content: Any) -> None:
    """Records of models × data sets with these accuracies, as a run or an import leaves them."""
    cells = []
    for (n, k), value in np.ndenumerate(values):
        tags = {"dataset.reference": DATASETS[0]} if k else {}
        at = {"experiment": name, "protocol": "p", "model": f"{name} {n:04d}", "dataset": DATASETS[k]}
        at |= {"method": "", "seed": 0}
        id = hashlib.sha256(repr(at).encode()).hexdigest()[:20]
        record = Record(id, "ok", name, at, tags, {}, {"top1": float(value)})
        record.directions, record.units, record.count = {"top1": True}, {"top1": "fraction"}, 50_000
        file = store.file("records", record.id, ".json")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(record.to_json())  # as Store.write leaves it, without its care
        cells.append({"id": record.id, "at": at, "tags": tags})
    store.write_manifest({"name": name, "protocol": "p", **content}, cells)


def test_tables_with_published_rows(
    benchmark: Any, measuring: bool, least: Callable[..., float], tmp_path: Path
) -> None:
    models = 1556 if measuring else 150
    values = np.random.default_rng(0).uniform(0.2, 0.9, (models, len(DATASETS))).round(5)
    rows = [f"net {n:04d},true," + ",".join(f"{v:.5f}" for v in row) for n, row in enumerate(values)]
    file = tmp_path / "file.csv"
    head = "# source: p\n# date: 2024\n# metric: top1\n"
    file.write_text(head + "model,standard," + ",".join(DATASETS) + "\n" + "\n".join(rows) + "\n")
    store = Store(tmp_path / "store")
    write_suite(store, "imported", values)
    plain = {"name": "plain", "values": ["top1"], "intervals": "none"}
    line = {"name": "line", "columns": ["dataset"], "summary": "effective-robustness"}
    for name, table, published in (
        ("file", plain, str(file)),
        ("records", plain, "imported"),
        ("summary", line, str(file)),
    ):
        spec = {**table, "published": [published], "published_rows": "all"}
        write_suite(store, name, np.full((3, len(DATASETS)), 0.5), tables=[spec])

    def make(name: str) -> Any:
        (table,) = build_tables(load_planned(store, name), suite_frame(store, name), store)
        return table

    for name in ("file", "records", "summary"):
        table = make(name)  # the index is there then, as after any import
        published = {row.header[0].partition(" [")[0]: row for row in table.rows if row.published}
        assert len(published) == models
        if name != "summary":
            for n in (0, models // 2, models - 1):
                row = published[f"imported {n:04d}" if name == "records" else f"net {n:04d}"]
                assert [entry.value for entry in row.entries] == values[n].tolist()
        took = least(lambda name=name: make(name), 3)
        benchmark.extra_info[f"seconds: {name}"] = took
        if measuring:
            assert took < 2
    benchmark.pedantic(lambda: make("file"), rounds=1)
