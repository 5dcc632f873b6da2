"""The best value of each group of competitors in a table, and the values that are tied with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.leaderboard.entries import Column, TableValue, effective_column
from harness.leaderboard.table import Table
from harness.leaderboard.value_intervals import (
    PAIRED_RECORDS,
    RecordFacts,
    extend_caption,
    read_resamples,
    stack_samples,
)
from harness.planning.suite import TableSpec

if TYPE_CHECKING:
    from harness.records.store import Store
    from harness.statistics import PerResample, PerSample, PerSeed

COMPETITORS = ("model", "method")
"""Coordinates whose values compete with each other; all others say on which task."""


def mark_best(table: Table, facts: RecordFacts, store: Store | None, spec: TableSpec) -> None:
    """Mark the best of each group of competitors and all that is tied with it.

    Tied means not significantly worse in a paired test on the same samples (or seeds, if samples are not
    known), with Holm's correction. If pairing is impossible, a footnote says why; the caption does if no
    group of the table was tested.
    """
    from harness.statistics import StatisticsError, best_and_tied

    deep = store is not None and len(facts) <= PAIRED_RECORDS
    if not deep and store is not None:
        extend_caption(table, f"Ties are not tested in tables of more than {PAIRED_RECORDS} records.")
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
        extend_caption(table, f"Ties are not tested: {reasons.pop()}.")
    else:
        for entry, reason in alone:
            entry.notes.append(table.note(f"others are not compared with it: {reason}"))


def _pairing_scores(
    entry: TableValue, metric: str, facts: RecordFacts, store: Store | None
) -> PerSample | PerSeed | PerResample | str:
    """Return the values by which an entry can be paired, or the reason why it can't."""
    from harness.statistics import PerSample, PerSeed

    runs = facts.runs(entry)
    seeds = [s for s, _ in runs]
    if len(set(seeds)) != len(seeds):
        # such as an average over data sets, which ranking columns compare
        return "each number is a mean over several records of a seed"
    stacked = stack_samples(runs, metric, facts, store)
    if stacked is not None:
        return PerSample(stacked[0], stacked[1].mean(axis=0))
    if len(runs) == 1 and store is not None:
        draws = read_resamples(runs[0][1], metric, facts, store)
        if draws is not None:
            return draws
    values = [facts.value(id, metric) for _, id in runs]
    return PerSeed(seeds, values) if len(seeds) > 1 else "one seed, and no values by sample are known"


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
