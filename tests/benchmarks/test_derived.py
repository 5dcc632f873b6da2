"""A table from the cache of derived values against its libraries' bare import, and against making it."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from harness.records.record import Record
from harness.records.store import Store

RECORDS = 1000


def fill(store: Store) -> None:
    """A suite of one thousand records with samples: 20 models, 10 data sets, 5 seeds."""
    rng = np.random.default_rng(0)
    cells = []
    for n in range(RECORDS):
        at = {"model": f"m{n % 20}", "dataset": f"d{n // 20 % 10}", "seed": n // 200}
        right = (rng.uniform(size=50) < 0.7).astype(float)
        record = Record(f"{n:020x}", "ok", "s", at, {}, {}, metrics={"top1": float(right.mean())}, count=50)
        record.directions, record.units, record.binary = {"top1": True}, {"top1": "fraction"}, ["top1"]
        store.write(record, samples={"id": [f"x{i}" for i in range(50)], "top1": right})
        cells.append({"id": record.id, "at": at, "tags": {}})
    tables = [{"name": "t", "values": ["top1"]}, {"name": "u", "rows": ["dataset"], "columns": ["model"]}]
    store.write_manifest({"name": "s", "tables": tables}, cells)


def processor_seconds(*arguments: str, cache: Path) -> float:
    """Return the processor time of a Python process, its start included."""
    environment = {**os.environ, "HARNESS_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_a_kept_table_costs_less_than_importing_pandas(
    benchmark: Any, measuring: bool, tmp_path: Path
) -> None:
    store, cache = Store(tmp_path / "store"), tmp_path / "cache"
    fill(store)
    command = ("-m", "harness", "table", "s", "--store", str(store.path))
    made = processor_seconds(*command, cache=cache)
    (entry,) = (cache / "derived").rglob("*.json")
    assert len(orjson.loads(entry.read_bytes())["value"]) == 2
    of_import, of_making = [], []
    for _ in range(5 if measuring else 3):
        kept = processor_seconds(*command, cache=cache)
        bare = processor_seconds("-c", "import pandas, pyarrow.parquet", cache=cache)
        of_import.append(kept / bare)
        of_making.append(kept / made)
    benchmark.extra_info |= {"of import": of_import, "of making": of_making, "seconds": kept}
    assert statistics.median(of_import) < 0.8
    assert statistics.median(of_making) < 0.4
    benchmark.pedantic(lambda: processor_seconds(*command, cache=cache), rounds=1)
