"""The interval of each number in a table, over seeds and samples."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.contract.declared import ask
from harness.contract.running import CLUSTER
from harness.leaderboard.averages import mean
from harness.leaderboard.entries import Column, TableValue, effective_column, has_width
from harness.leaderboard.metric_finder import FindMetric
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.records.parquet_columns import read_parquet
from harness.statistics.clusters import linearise_clusters
from harness.statistics.resampling import resampled_interval
from harness.statistics.ties import PerResample

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store
    from harness.statistics import Interval

METHODS = {
    "wilson": "Wilson over samples",
    "t": "Student's t over seeds",
    "seeds×samples, variance components": "variance components over seeds and samples",
    "seeds×samples, wilson at the effective size": "Wilson over seeds and samples, at the effective size",
    "bootstrap bca": "BCa bootstrap over samples",
    "bootstrap basic": "basic bootstrap over samples (less the bias by noise, so that a number may lie outside)",
}
"""What captions call the methods of intervals."""

SAMPLE_COLUMNS = ("target", "prediction", "confidence")
RESAMPLES, RESAMPLES_OF_MANY, MANY_SAMPLES = 1000, 400, 10_000
"""Resamples of a metric that is computed anew from each, and fewer from that many samples on."""

PAIRED_RECORDS = 2000
"""Above this many records a table does not read the per-sample files, and says so."""


def add_intervals(
    table: Table, facts: RecordFacts, store: Store | None, spec: TableSpec, metrics: FindMetric | None = None
) -> None:
    """Add an interval to every value that can have one; the caption says why others have none.

    Over seeds it is Student's t; over samples Wilson's for proportions, a BCa bootstrap for means, and a
    basic bootstrap for metrics that are computed from kept samples again; over both if both are known.
    `metrics` finds the metric behind a number's name.
    """
    if spec.intervals == "none":
        extend_caption(table, 'No intervals: the table leaves them out (intervals = "none").')
        return
    deep = store is not None and len(facts) <= PAIRED_RECORDS
    used: set[str] = set()
    bare: dict[str, dict[str, None]] = {}
    shown: set[str] = set()
    for row in table.rows:
        for entry, column in zip(row.entries, table.columns, strict=True):
            is_ = effective_column(entry, column)
            if is_.kind not in ("value", "cost") or entry.value is None:
                continue
            interval = _value_interval(entry, is_, facts, store if deep else None, spec, metrics)
            if not isinstance(interval, str) and not has_width(interval.low, interval.high, entry.value):
                interval = "" if is_.kind == "cost" else "what they rest on is all equal"
            if isinstance(interval, str):
                if interval:
                    bare.setdefault(interval, {})[is_.metric] = None
                continue
            entry.low, entry.high, entry.method = interval.low, interval.high, interval.method
            used.add(METHODS.get(interval.method, interval.method))
            shown.add(is_.metric)
    if used:
        extend_caption(table, f"{spec.level:.0%} intervals: {'; '.join(sorted(used))}.")
    unread = "" if deep or store is None else f"; above {PAIRED_RECORDS} records no values by sample are read"
    whole = {effective_column(e, c).metric for r in table.rows for e, c in zip(r.entries, table.columns)}
    for reason, names in bare.items():
        some = [("some of " if n in shown else "") + _short_title(table, n) for n in names]
        of = "" if not used and len(bare) == 1 and set(names) == whole else f" for {', '.join(some)}"
        extend_caption(table, f"No interval{of or 's'}: {reason}{unread}.")


def _short_title(table: Table, name: str) -> str:
    """Return a number's title without unit and direction."""
    return re.sub(r"( \([^)]*\))?( [↑↓])?$", "", table.titles.get(name, name))


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

    def value(self, id: str, metric: str, kind: str = "value") -> float:
        """Return the record's value of a metric, or of a cost."""
        return self._number(f"{'cost' if kind == 'cost' else 'metric'}.{metric}", id)

    def _number(self, column: str, id: str) -> float:
        if column not in self._columns:
            self._columns[column] = self.data[column].to_numpy(dtype=float, na_value=np.nan).tolist()
        return self._columns[column][self.place[id]]


def _value_interval(
    entry: TableValue,
    column: Column,
    facts: RecordFacts,
    store: Store | None,
    spec: TableSpec,
    metrics: FindMetric | None,
) -> Interval | str:
    """Return the interval of a number, or why it has none."""
    from harness.statistics import summarise_seeds, t_interval, wilson_interval

    metric = column.metric
    runs = facts.runs(entry)
    seeds = [s for s, _ in runs]
    by_seed: dict[Any, list[float]] = {}
    for seed, id in runs:
        number = facts.value(id, metric, column.kind)
        if column.kind == "value" or number == number:
            by_seed.setdefault(seed, []).append(number)
    means = [mean(v) for v in by_seed.values()]
    if not all(map(math.isfinite, means)):
        return "they rest on numbers that are not finite"
    over_seeds = t_interval(means, spec.level) if len(means) > 1 else None
    if column.kind == "cost":
        return over_seeds or "measured for one seed"
    if len(set(seeds)) != len(seeds):
        return over_seeds or "means over several records of one seed"
    if spec.intervals == "seeds":
        return over_seeds or "one seed"
    count = facts.count(runs[0][1]) if len(runs) == 1 and facts.is_proportion(runs[0][1], metric) else 0
    if count >= 1 and 0 <= means[0] <= 1:  # a record may contradict itself
        n = int(count)
        return wilson_interval(round(means[0] * n), n, spec.level)
    samples = stack_samples(runs, metric, facts, store)
    if samples is None:
        if over_seeds is not None and has_width(over_seeds.low, over_seeds.high, entry.value or 0.0):
            return over_seeds
        # seeds that all agree, as of a frozen network, show nothing; its samples do
        found = _resample(runs[0][1], metric, facts, store, spec, metrics)
        return over_seeds if isinstance(found, str) and over_seeds is not None else found
    summary = summarise_seeds(samples[1].mean(axis=1), samples[1], spec.level)
    own = summary.over_samples if spec.intervals == "samples" else summary.interval
    if own is None:
        return "too few samples"
    # linearised values of clusters may lie outside, and so may intervals of their mean
    return _clip(own, metrics(metric) if metrics is not None else None)


def _resample(
    id: str, metric: str, facts: RecordFacts, store: Store | None, spec: TableSpec, metrics: FindMetric | None
) -> Interval | str:
    """Return a bootstrap interval of a metric that can be computed from a record's kept samples, or why not."""
    from harness.statistics import bootstrap_interval

    none = "one seed, and no values by sample are kept"
    if store is not None and (draws := read_resamples(id, metric, facts, store)) is not None:
        kept = resampled_interval(draws.value, draws.values, len(draws.ids), spec.level)
        if kept is None:
            return "too few samples" if len(draws.ids) < 2 else "it is not defined on every resampled set"
        return _clip(kept, metrics(metric) if metrics is not None else None)
    plugin = metrics(metric) if metrics is not None and store is not None else None
    compute = ask(plugin, "from_samples")
    if compute is None or store is None:
        return none
    samples = _read_samples(store.file("samples", id, ".parquet"))
    try:
        if samples is None or not abs(compute(samples) - facts.value(id, metric)) <= 1e-5:
            return none  # other samples, or another statistic
        rows = np.arange(len(samples["target"]))
        resamples = RESAMPLES if len(rows) <= MANY_SAMPLES else RESAMPLES_OF_MANY

        def statistic(chosen: NDArray[Any]) -> float:
            return float(compute({name: values[chosen] for name, values in samples.items()}))

        found = bootstrap_interval(rows, statistic, spec.level, "basic", resamples)
    except Exception:  # a plugin's method may fail in any way: the table is made without
        return none
    if found is None:
        return "too few samples"
    return _clip(found, plugin)


def _clip(found: Interval, metric: object) -> Interval:
    """Return an interval within the bounds of the metric, as far as it states any."""
    bounds = (ask(metric, "bounds") if metric is not None else None) or (-math.inf, math.inf)
    low, high = (min(max(end, bounds[0]), bounds[1]) for end in (found.low, found.high))
    return replace(found, low=low, high=high)


def _read_samples(path: Path) -> dict[str, NDArray[Any]] | None:
    """Return the columns of a record's samples that metrics are computed from, or None without them."""
    import pyarrow as pa

    try:
        table = read_parquet(path, SAMPLE_COLUMNS)
    except (pa.ArrowException, OSError):
        return None
    if not {"target", "prediction"} <= set(table.column_names):
        return None
    return {name: table[name].to_numpy() for name in table.column_names}


def stack_samples(
    runs: Sequence[tuple[Any, str]], metric: str, facts: RecordFacts, store: Store | None
) -> tuple[list[str], Any] | None:
    """Return the sample ids and per-sample values S×N, or None if they are unknown or the samples differ.

    Of samples in clusters, it is names and values of the clusters (`harness.statistics.linearise_clusters`).

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
        table = read_parquet(path, ["id", metric, CLUSTER])
    except (pa.ArrowException, OSError):
        return None
    if not {"id", metric} <= set(table.column_names):
        return None
    try:
        values = table[metric].to_numpy().astype(np.float64)
    except (TypeError, ValueError):  # texts or lists have no mean
        return None
    if CLUSTER in table.column_names and np.isfinite(values).all():
        return linearise_clusters(values, table[CLUSTER].to_pylist())
    return table["id"].to_pylist(), values


def read_resamples(id: str, metric: str, facts: RecordFacts, store: Store) -> PerResample | None:
    """Return a record's kept values of a metric on resampled sets of its samples, or None without them."""
    import pyarrow as pa

    try:
        table = read_parquet(store.file("resamples", id, ".parquet"), [metric])
        ids = read_parquet(store.file("samples", id, ".parquet"), ["id"])
    except (pa.ArrowException, OSError):
        return None
    if metric not in table.column_names or "id" not in ids.column_names:
        return None
    return PerResample(ids["id"].to_pylist(), facts.value(id, metric), table[metric].to_numpy())


def extend_caption(table: Table, text: str) -> None:
    table.caption = f"{table.caption} {text}".strip()
