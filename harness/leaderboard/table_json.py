"""Tables as JSON-able data and back, without loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from harness.leaderboard.entries import Column, Row, TableValue
from harness.leaderboard.table import Table

ENTRY = ("value", "low", "high", "spread", "method", "count", "expected", "best", "tied", "notes", "records")
COLUMN = ("header", "metric", "kind", "percent", "decimals", "higher_is_better", "published")
PLAIN = ("name", "title", "footnotes", "caption", "level", "titles", "name_titles")


def encode_table(table: Table) -> dict[str, Any]:
    """Return a table as JSON-able data, which `decode_table` reads; numbers that JSON lacks become text."""
    return {
        **{name: getattr(table, name) for name in PLAIN},
        "row_names": list(table.row_names),
        "column_names": list(table.column_names),
        "columns": [_encode_column(c) for c in table.columns],
        "rows": [
            [list(r.header), r.group, [_encode_entry(e) for e in r.entries], r.published] for r in table.rows
        ],
    }


def decode_table(data: Mapping[str, Any]) -> Table:
    """Return the table of `encode_table`."""
    table = Table(
        data["name"],
        data["title"],
        tuple(data["row_names"]),
        tuple(data["column_names"]),
        [_decode_column(c) for c in data["columns"]],
        [
            Row(tuple(h), [_decode_entry(e) for e in entries], group, published)
            for h, group, entries, published in data["rows"]
        ],
    )
    for name in PLAIN:
        setattr(table, name, data[name])
    return table


def _encode_entry(entry: TableValue) -> list[Any]:
    numbers = [_encode_number(getattr(entry, name)) for name in ENTRY[:4]]
    rest = [getattr(entry, name) for name in ENTRY[4:]]
    return [*numbers, *rest, entry.format and _encode_column(entry.format)]


def _decode_entry(data: list[Any]) -> TableValue:
    *values, format = data
    values[:4] = [float(v) if isinstance(v, str) else v for v in values[:4]]
    return TableValue(**dict(zip(ENTRY, values, strict=True)), format=format and _decode_column(format))


def _encode_number(value: float | None) -> float | str | None:
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _encode_column(column: Column) -> list[Any]:
    return [list(column.header), *(getattr(column, name) for name in COLUMN[1:])]


def _decode_column(data: list[Any]) -> Column:
    return Column(tuple(data[0]), *data[1:])
