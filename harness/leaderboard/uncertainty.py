"""The uncertainty of a table: an interval for each number, and which values are tied with the best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.leaderboard.averages import mean
from harness.leaderboard.entries import Column, TableValue, effective_column, has_width
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.records.columns import read_table

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store
    from harness.statistics import PerSample, PerSeed

COMPETITORS = ("model", "method")
"""Coordinates whose values compete with each other; all others say on which task."""

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
        _extend_caption(table, f"{spec.level:.0%} intervals: {', '.join(sorted(used))}.")


def mark_best(table: Table, facts: RecordFacts, store: Store | None, spec: TableSpec) -> None:
    """Mark the best of each group of competitors and all that is tied with it.

    Tied means not significantly worse in a paired test on the same samples (or seeds, if samples are not
    known), with Holm's correction. If pairing is impossible, a footnote says why; the caption does if no
    group of the table was tested.
    """
    from harness.statistics import StatisticsError, best_and_tied

    deep = store is not None and len(facts) <= PAIRED_RECORDS
    if not deep and store is not None:
        _extend_caption(table, f"Ties are not tested in tables of more than {PAIRED_RECORDS} records.")
    alone: list[tuple[TableValue, str]] = []
    tested = 0
    for group in _competing_groups(table):
        present = {name: e for name, (e, _) in group.items() if e.value is not None}
        column = next((c for _, c in group.values()), None)
        if len(present) < 2 or column is None or column.higher_is_better is None:
            continue
        better = max if column.higher_is_better else min
        top = better(e.value for e in present.values() if e.value is not None)
        for entry in present.values():
            entry.best = entry.value == top
        if not deep:
            continue
        scores = {name: _pairing_scores(e, column.metric, facts, store) for name, e in present.items()}
        known = {name: s for name, s in scores.items() if not isinstance(s, str)}
        try:
            found = best_and_tied(known, column.higher_is_better, 1 - spec.level)
        except StatisticsError as error:
            present[next(iter(present))].notes.append(table.note(f"ties not tested: {error}"))
            continue
        undecided = {name: s for name, s in scores.items() if isinstance(s, str)} | dict(found.undecided)
        tops = [name for name, e in present.items() if e.best]
        if all(name in undecided for name in tops):
            alone += [(present[name], undecided[name]) for name in tops]
            continue
        tested += 1
        # of means that are equal but for the last digit, the test's best need not be the table's: it is tied
        for name in (found.best, *found.tied):
            if name is not None:
                present[name].tied = not present[name].best
        for name in sorted(undecided):
            present[name].notes.append(table.note(f"not compared with the best: {undecided[name]}"))
    reasons = {reason for _, reason in alone}
    if len(reasons) == 1 and not tested:
        _extend_caption(table, f"Ties are not tested: {reasons.pop()}.")
    else:
        for entry, reason in alone:
            entry.notes.append(table.note(f"others are not compared with it: {reason}"))


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
    samples = _stack_samples(runs, metric, facts, store)
    if samples is None:
        return t_interval(means, spec.level) if len(means) > 1 else None
    summary = summarise_seeds(samples[1].mean(axis=1), samples[1], spec.level)
    return summary.over_samples if spec.intervals == "samples" else summary.interval


def _stack_samples(
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


def _pairing_scores(
    entry: TableValue, metric: str, facts: RecordFacts, store: Store | None
) -> PerSample | PerSeed | str:
    """Return the values by which an entry can be paired, or the reason why it can't."""
    from harness.statistics import PerSample, PerSeed

    runs = facts.runs(entry)
    seeds = [s for s, _ in runs]
    if len(set(seeds)) != len(seeds):
        # such as an average over data sets, which ranking columns compare
        return "each number is a mean over several records of a seed"
    stacked = _stack_samples(runs, metric, facts, store)
    if stacked is not None:
        return PerSample(stacked[0], stacked[1].mean(axis=0))
    values = [facts.value(id, metric) for _, id in runs]
    return PerSeed(seeds, values) if len(seeds) > 1 else "one seed, and no values by sample are known"


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
        table = read_table(path, ["id", metric])
    except (pa.ArrowException, OSError):
        return None
    if not {"id", metric} <= set(table.column_names):
        return None
    try:
        return table["id"].to_pylist(), table[metric].to_numpy().astype(np.float64)
    except (TypeError, ValueError):  # texts or lists have no mean
        return None


def _competing_groups(table: Table) -> list[Mapping[str, tuple[TableValue, Column]]]:
    """Return groups of entries that differ in model or method only, by their names."""
    names = table.row_names if any(n in COMPETITORS for n in table.row_names) else table.column_names
    rows_compete = names is table.row_names and any(n in COMPETITORS for n in names)
    places = [n for n, name in enumerate(names) if name in COMPETITORS]
    groups: dict[Any, dict[str, tuple[TableValue, Column]]] = {}
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            is_ = effective_column(entry, column)
            if is_.kind != "value" or not places:
                continue
            header = row.header if rows_compete else column.header
            rest = tuple(h for n, h in enumerate(header) if n not in places)
            other = column.header if rows_compete else row.header
            group = groups.setdefault((rest, other, is_.metric, row.group if rows_compete else ""), {})
            group["\x1f".join(header[n] for n in places)] = (entry, is_)
    return list(groups.values())


def _extend_caption(table: Table, text: str) -> None:
    table.caption = f"{table.caption} {text}".strip()
