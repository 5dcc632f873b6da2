"""The interval of each number in a table, over seeds and samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.leaderboard.averages import mean
from harness.leaderboard.entries import TableValue, effective_column, has_width
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.records.parquet_columns import read_parquet

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

PAIRED_RECORDS = 2000
"""Above this many records a table does not read the per-sample files, and says so."""


def add_intervals(table: Table, facts: RecordFacts, store: Store | None, spec: TableSpec) -> None:
    """Add an interval to every value: over seeds and samples if both are known, else over one of them.

    Over seeds it is Student's t; over samples Wilson's for proportions, a BCa bootstrap otherwise.
    """
    if spec.intervals == "none":
        return
    deep = store is not None and len(facts) <= PAIRED_RECORDS
    used: set[str] = set()
    for row in table.rows:
        for entry, column in zip(row.entries, table.columns, strict=True):
            is_ = effective_column(entry, column)
            if is_.kind != "value" or entry.value is None:
                continue
            interval = _value_interval(entry, is_.metric, facts, store if deep else None, spec)
            if interval is not None and has_width(interval.low, interval.high, entry.value):
                entry.low, entry.high, entry.method = interval.low, interval.high, interval.method
                used.add(interval.method)
    if used:
        extend_caption(table, f"{spec.level:.0%} intervals: {', '.join(sorted(used))}.")


class RecordFacts:
    """The facts of each record that need no file of it."""

    def __init__(self, data: pd.DataFrame) -> None:
        self.place = {id: n for n, id in enumerate(data["id"])}
        self.seed = data["at.seed"].to_list() if "at.seed" in data else [0] * len(data)
        self.status = data["status"].to_list()
        self.data = data
        self._columns: dict[str, list[float]] = {}

    def __len__(self) -> int:
        return len(self.status)

    def runs(self, entry: TableValue) -> list[tuple[Any, str]]:
        """Return seed and id of the ok records behind an entry."""
        places = [(self.place[id], id) for id in entry.records]
        return [(self.seed[p], id) for p, id in places if self.status[p] == "ok"]

    def is_proportion(self, id: str, metric: str) -> bool:
        """Return whether the metric is a proportion of samples in that record."""
        column = f"binary.{metric}"
        return column in self.data and bool(self._number(column, id) == 1.0)

    def count(self, id: str) -> float:
        """Return the record's number of samples."""
        return self._number("count", id)

    def value(self, id: str, metric: str) -> float:
        """Return the record's value of a metric."""
        return self._number(f"metric.{metric}", id)

    def _number(self, column: str, id: str) -> float:
        if column not in self._columns:
            self._columns[column] = self.data[column].to_numpy(dtype=float, na_value=np.nan).tolist()
        return self._columns[column][self.place[id]]


def _value_interval(
    entry: TableValue, metric: str, facts: RecordFacts, store: Store | None, spec: TableSpec
) -> Any:
    from harness.statistics import summarise_seeds, t_interval, wilson_interval

    runs = facts.runs(entry)
    seeds = [s for s, _ in runs]
    by_seed: dict[Any, list[float]] = {}
    for seed, id in runs:
        by_seed.setdefault(seed, []).append(facts.value(id, metric))
    means = [mean(v) for v in by_seed.values()]
    if not all(map(math.isfinite, means)):
        return None
    one_each = len(set(seeds)) == len(seeds)
    if not one_each or spec.intervals == "seeds":
        return t_interval(means, spec.level) if len(means) > 1 else None
    count = facts.count(runs[0][1]) if len(runs) == 1 and facts.is_proportion(runs[0][1], metric) else 0
    if count >= 1 and 0 <= means[0] <= 1:  # a record may contradict itself
        n = int(count)
        return wilson_interval(round(means[0] * n), n, spec.level)
    samples = stack_samples(runs, metric, facts, store)
    if samples is None:
        return t_interval(means, spec.level) if len(means) > 1 else None
    summary = summarise_seeds(samples[1].mean(axis=1), samples[1], spec.level)
    return summary.over_samples if spec.intervals == "samples" else summary.interval


def stack_samples(
    runs: Sequence[tuple[Any, str]], metric: str, facts: RecordFacts, store: Store | None
) -> tuple[list[str], Any] | None:
    """Return the sample ids and per-sample values S×N, or None if they are unknown or the samples differ.

    Values whose mean is not the record's number belong to another statistic, and count as unknown.
    """
    if store is None:
        return None
    ids: list[str] | None = None
    rows = []
    for _, id in sorted(runs, key=str):
        column = _sample_column(store.file("samples", id, ".parquet"), metric)
        if column is None or (ids is not None and column[0] != ids):
            return None
        number = facts.value(id, metric)
        # relative to the samples' size, not to the number's, which may be close to zero
        size = np.abs(column[1]).mean() if len(column[1]) else np.nan
        if not abs(column[1].mean() - number) <= 1e-5 * size:
            return None
        ids = column[0]
        rows.append(column[1])
    return (ids, np.stack(rows)) if ids is not None else None


def _sample_column(path: Path, metric: str) -> tuple[list[str], Any] | None:
    """Return ids and values of a metric's column, cached until the file changes."""
    try:
        return _read_column(path, metric, path.stat().st_mtime_ns)
    except FileNotFoundError:
        return None


@lru_cache(maxsize=4096)
def _read_column(path: Path, metric: str, written: int) -> tuple[list[str], Any] | None:
    import pyarrow as pa

    try:
        table = read_parquet(path, ["id", metric])
    except (pa.ArrowException, OSError):
        return None
    if not {"id", metric} <= set(table.column_names):
        return None
    try:
        return table["id"].to_pylist(), table[metric].to_numpy().astype(np.float64)
    except (TypeError, ValueError):  # texts or lists have no mean
        return None


def extend_caption(table: Table, text: str) -> None:
    table.caption = f"{table.caption} {text}".strip()
