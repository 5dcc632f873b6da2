"""Differences from a baseline: a Δ column after each value column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.entries import Column, TableValue
from harness.leaderboard.table import Table
from harness.leaderboard.value_intervals import extend_caption
from harness.planning.suite import TableSpec


def add_deltas(table: Table, spec: TableSpec) -> None:
    """Add Δ columns against the baseline, which is a row or a column: `{model = "label"}`.

    Absolute differences keep the unit (points for percentages); relative ones are in percent of the
    baseline's value. A Δ with a missing side is a dash. If a partial run lacks the baseline, a footnote
    says so. Raises SuiteError if the coordinate is neither in rows nor in columns.
    """
    name, label = parse_baseline(spec)
    if spec.intervals != "none":
        extend_caption(table, "Differences have no intervals here; harness compare gives and tests them.")
    if name in table.row_names:
        _add_row_deltas(table, spec, table.row_names.index(name), label)
    elif name in table.column_names:
        _add_column_deltas(table, spec, table.column_names.index(name), label)
    else:
        known = [*table.row_names, *table.column_names]
        raise SuiteError(
            f"table '{table.name}': baseline '{name}' is neither in rows nor in columns{did_you_mean(name, known)}"
        )


def parse_baseline(spec: TableSpec) -> tuple[str, str]:
    """Return the coordinate and the label of a table's baseline. Raises SuiteError if it names none."""
    given: Any = spec.baseline
    if isinstance(given, str):
        key, equals, value = given.partition("=")
        given = {key.strip(): value.strip()} if equals else {"model": given}
    if not isinstance(given, Mapping) or len(given) != 1:
        raise SuiteError(
            f"table '{spec.name}': baseline must name one coordinate, such as model = \"label\", found {given!r}"
        )
    ((name, label),) = given.items()
    return str(name), str(label)


def _add_row_deltas(table: Table, spec: TableSpec, position: int, label: str) -> None:
    labels = [r.header[position] for r in table.rows]
    if label not in labels:
        table.note(f"no differences: no row for the baseline '{label}'{did_you_mean(label, labels)}")
        return

    base = {r.header: list(r.entries) for r in table.rows if r.header[position] == label}
    for row in table.rows:
        against = base.get(_with_label(row.header, position, label))
        entries = []
        for n, (entry, column) in enumerate(zip(row.entries, table.columns, strict=True)):
            entries.append(entry)
            if column.kind == "value":
                is_base = row.header[position] == label
                entries.append(_subtract(entry, against[n] if against else None, spec, is_base))
        row.entries = entries
    columns = []
    for column in table.columns:
        columns.append(column)
        if column.kind == "value":
            columns.append(_delta_column(column, spec, (*column.header, f"Δ {label}")))
    table.columns = columns


def _add_column_deltas(table: Table, spec: TableSpec, position: int, label: str) -> None:
    labels = [c.header[position] for c in table.columns]
    if label not in labels:
        table.note(f"no differences: no column for the baseline '{label}'{did_you_mean(label, labels)}")
        return
    places = {c.header: n for n, c in enumerate(table.columns)}
    columns: list[Column] = []
    sources: list[tuple[int, int | None]] = []
    for n, column in enumerate(table.columns):
        columns.append(column)
        sources.append((n, None))
        base = places.get(_with_label(column.header, position, label))
        if column.kind == "value" and base is not None and base != n:
            columns.append(_delta_column(column, spec, (*column.header, "Δ")))
            sources.append((n, base))
    for row in table.rows:
        row.entries = [
            row.entries[n] if base is None else _subtract(row.entries[n], row.entries[base], spec, False)
            for n, base in sources
        ]
    table.columns = columns


def _with_label(header: tuple[str, ...], position: int, label: str) -> tuple[str, ...]:
    """Return the header with the baseline's label in place of its own."""
    return (*header[:position], label, *header[position + 1 :])


def _delta_column(column: Column, spec: TableSpec, header: tuple[str, ...]) -> Column:
    relative = spec.delta == "relative"
    return Column(
        (*header[:-1], header[-1] + (" %" if relative else "")),
        column.metric,
        "delta",
        True if relative else column.percent,
        1 if relative else column.decimals,
        column.higher_is_better,
    )


def _subtract(entry: TableValue, base: TableValue | None, spec: TableSpec, is_base: bool) -> TableValue:
    delta = TableValue(records=[*entry.records, *(base.records if base else [])])
    if entry.format is not None:
        delta.format = _delta_column(entry.format, spec, entry.format.header)
    if is_base or base is None or entry.value is None or base.value is None:
        return delta
    delta.value = entry.value - base.value
    if spec.delta == "relative":
        delta.value = delta.value / abs(base.value) if base.value else None
    delta.count = delta.expected = min(entry.count, base.count)
    return delta
