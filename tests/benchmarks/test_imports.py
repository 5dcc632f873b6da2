"""The import of published tables: 1,556 models on six data sets."""

from __future__ import annotations

import csv
import random
import shutil
from pathlib import Path
from typing import Any

import harness
from harness.records.store import Store

DATASETS = ("imagenet", "imagenet-real", "imagenetv2-matched-frequency", "imagenet-a", "imagenet-r", "sketch")
COLUMNS = [
    "model",
    "top1",
    "top1_err",
    "top5",
    "top5_err",
    "param_count",
    "img_size",
    "crop_pct",
    "interpolation",
]


def write_tables(folder: Path, models: int) -> None:
    """Write tables of the shape of timm's."""
    draw = random.Random(0)
    for name in DATASETS:
        with (folder / f"results-{name}.csv").open("w", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(COLUMNS)
            for n in range(models):
                top1 = draw.randrange(100_001) / 1000
                numbers = [f"{top1:.3f}", f"{100 - top1:.3f}", "99.000", "1.000", "1,014.45", 224, "0.900"]
                rows.writerow([f"net_{n}.in1k", *numbers, "bicubic"])


def test_published_tables_are_imported_within_five_seconds(
    benchmark: Any, measuring: bool, tmp_path: Path
) -> None:
    models = 1556 if measuring else 50
    (tmp_path / "timm").mkdir()
    write_tables(tmp_path / "timm", models)

    def import_all() -> None:
        shutil.rmtree(tmp_path / "store", ignore_errors=True)
        done = harness.import_results(tmp_path / "timm", store=tmp_path / "store")
        assert (done.written, done.left_out) == (6 * models, [])

    benchmark.pedantic(import_all, rounds=3 if measuring else 1)
    assert len(Store(tmp_path / "store").listing()) == 6 * models
    if measuring:
        assert benchmark.stats.stats.min < 5
