"""What a suite's tables say in one line: who is best, and in how many comparisons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape

from harness.leaderboard.best_and_ties import COMPETITORS
from harness.leaderboard.entries import Column, TableValue, format_interval, format_value
from harness.leaderboard.table import Table

MOST = 3
"""Competitors that a headline names."""


def render_headline(tables: Sequence[Table]) -> str:
    """Return the headline of the first table that marks a best value, else the range of the first column with one."""
    for table in tables:
        wins = _find_wins(table)
        if len(wins) == 1:
            (won,) = wins.values()
            return f"{escape(table.title)}: {_render_winner(won)}"
        if wins:
            counts = Counter(name for won in wins.values() for name, _, _ in won)
            (first, count), *others = counts.most_common()
            shown = [f"<strong>{escape(first)}</strong> is best in {count} of {len(wins)} comparisons"]
            shown += [f"<strong>{escape(name)}</strong> in {count}" for name, count in others[: MOST - 1]]
            more = len(others) - (MOST - 1)
            shown += [f"{more} other{'' if more == 1 else 's'} in the rest"] if more > 0 else []
            return f"{escape(table.title)}: {'; '.join(shown)}"
    return next((text for table in tables if (text := _render_range(table))), "")


def _find_wins(table: Table) -> dict[object, list[tuple[str, TableValue, Column]]]:
    """Return, for each group of competing numbers, the names of the best with their entries."""
    rows_compete = any(name in COMPETITORS for name in table.row_names)
    names = table.row_names if rows_compete else table.column_names
    places = [n for n, name in enumerate(names) if name in COMPETITORS]
    wins: dict[object, list[tuple[str, TableValue, Column]]] = {}
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            if not entry.best:
                continue
            header, other = (row.header, column.header) if rows_compete else (column.header, row.header)
            rest = tuple(text for n, text in enumerate(header) if n not in places)
            name = " · ".join(header[n] for n in places if n < len(header) and header[n])
            wins.setdefault((rest, other, row.group if rows_compete else ""), []).append(
                (name, entry, column)
            )
    return wins


def _render_winner(won: Sequence[tuple[str, TableValue, Column]]) -> str:
    names = ", ".join(f"<strong>{escape(name)}</strong>" for name, _, _ in won[:MOST])
    _, entry, column = won[0]
    interval = format_interval(entry, column)
    span = f' <small class="interval">{escape(interval)}</small>' if interval else ""
    return f"{names} with {escape(format_value(entry, column))}{span}"


def _render_range(table: Table) -> str:
    """Return the lowest and the highest number of a table's first column whose rows differ, or nothing."""
    for n, column in enumerate(table.columns):
        if column.published:
            continue
        found = [
            (entry.value, row.header, entry)
            for row in table.rows
            if column.kind == "value" and not row.published and (entry := row.entries[n]).value is not None
        ]
        if len({value for value, _, _ in found}) < 2:
            continue
        (_, worst, low), (_, best, high) = (choose(found, key=lambda f: f[0]) for choose in (min, max))
        ends = (
            f"{escape(format_value(entry, column))} (<strong>{escape(' · '.join(filter(None, header)))}</strong>)"
            for entry, header in ((low, worst), (high, best))
        )
        name = " · ".join(filter(None, column.header))
        return f"{escape(table.title)}: {escape(name)} from {' to '.join(ends)}"
    return ""
