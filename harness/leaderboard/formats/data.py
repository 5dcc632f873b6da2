"""Tables as data: CSV with one column per number, and JSON with the whole table."""

from __future__ import annotations

import csv as writer
import io
import json as encoder

from harness.leaderboard.entries import Column, Row
from harness.leaderboard.layout import Layout


def csv(table: Layout) -> str:
    """Return the values at full precision in their own unit, each with its interval's ends and its count.

    A table with published rows has a column `published` that names their sets; one with footnotes a last
    column `notes`: each row's, and those of the whole table.
    """
    out = io.StringIO()
    names = [
        *table.row_names,
        *(h for c in table.columns for h in c.header),
        *(h for r in table.rows for h in r.header),
        *table.footnotes,
    ]
    # Python before 3.13 leaves a bare carriage return unquoted, which readers take for a row's end
    bare = any("\r" in n for n in names)
    sheet = writer.writer(
        out, lineterminator="\n", quoting=writer.QUOTE_ALL if bare else writer.QUOTE_MINIMAL
    )
    headers = list(table.row_names)
    for column in table.columns:
        name = _column_name(column)
        headers += [name, f"{name} low", f"{name} high", f"{name} records"]
    general = "; ".join(table.general)
    published = any(row.published for row in table.rows)
    if published:
        headers.append("published")
    if table.footnotes:
        headers.append("notes")
    sheet.writerow([disarm_formula(h) for h in headers])
    for row in table.rows:
        numbers: list[object] = []
        for entry in row.entries:
            numbers += ["" if v is None else repr(float(v)) for v in (entry.value, entry.low, entry.high)]
            numbers.append(entry.count)
        if published:
            numbers.append(disarm_formula(row.published))
        if table.footnotes:
            numbers.append(disarm_formula("; ".join(filter(None, (_row_notes(row, table), general)))))
        sheet.writerow([*(disarm_formula(h) for h in row.header), *numbers])
    if general and not table.rows:  # explains the empty table
        sheet.writerow([*[""] * (len(headers) - 1), disarm_formula(general)])
    return out.getvalue()


def _row_notes(row: Row, table: Layout) -> str:
    """Return the footnotes of a row's numbers, each text once, after the columns that it concerns."""
    columns: dict[int, list[str]] = {}
    for entry, column in zip(row.entries, table.columns, strict=True):
        for note in dict.fromkeys(entry.notes):
            columns.setdefault(note, []).append(_column_name(column))
    return "; ".join(
        f"{', '.join(filter(None, names))}: {table.footnotes[note]}" for note, names in columns.items()
    )


def _column_name(column: Column) -> str:
    return " / ".join(h for h in column.header if h)


def json(table: Layout) -> str:
    """Return the whole table as JSON. Infinite values are written as text."""
    return (
        encoder.dumps(replace_non_finite(table.to_dict()), ensure_ascii=False, indent=2, allow_nan=False)
        + "\n"
    )


def disarm_formula(text: str) -> str:
    """Put a quote before text that a spreadsheet would take for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def replace_non_finite(value: object) -> object:
    """Return the data with numbers that JSON lacks replaced: infinities by text, NaN by null."""
    if isinstance(value, dict):
        return {str(k): replace_non_finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [replace_non_finite(v) for v in value]
    if isinstance(value, float) and value - value != 0:
        return None if value != value else str(value)
    return value
