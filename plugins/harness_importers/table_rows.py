"""Rows of plain tables: CSV, tab-separated, Parquet and Excel files, all cells as texts with every digit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from harness import DataError, UnreadRow
from harness_importers.csv_rows import Row, peek_header, read_rows

PARQUET, EXCEL = (".parquet", ".pq"), (".xlsx", ".xlsm")


class NumberText(str):
    """A number that a file holds as such, as text with a decimal point, whatever marks its texts use."""


def read_table(
    file: Path, separator: str | None, encoding: str | None, sheet: str | None
) -> tuple[list[str], Iterator[Row | UnreadRow]]:
    """Return the names of a table's columns, and its rows. Raises DataError, starting with the path.

    Lines of a Parquet file are its rows, counted from 1; those of an Excel sheet are as that numbers them.
    """
    ending = file.suffix.lower()
    if ending in PARQUET:
        return _read_parquet(file)
    if ending in EXCEL:
        return _read_excel(file, sheet)
    return read_rows(file, separator or ("\t" if ending == ".tsv" else None), encoding)


def peek_columns(file: Path) -> list[str]:
    """Return the names of a table's columns from a look at it; empty if it can't be read."""
    ending = file.suffix.lower()
    if ending in PARQUET:
        return _peek_parquet(file)
    if ending not in EXCEL:
        return peek_header(file)
    try:
        return _read_excel(file, None)[0]
    except DataError:
        return []


def _peek_parquet(file: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return [str(name) for name in pq.read_schema(file).names]
    except (pa.ArrowException, OSError):
        return []


def _read_parquet(file: Path) -> tuple[list[str], Iterator[Row | UnreadRow]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a Parquet file: {str(error).splitlines()[0][:200]}") from None
    header = _check_header(file, table.column_names)
    # numpy's numbers have as many digits as their precision; as Python's, 0.9 of 32 bits would become 0.8999999761581421
    columns = [
        column.to_numpy() if str(column.type) in ("float", "halffloat") else column.to_pylist()
        for column in table.columns
    ]
    cells = zip(*columns, strict=True)
    return header, (
        Row(n, dict(zip(header, map(_to_text, row), strict=True))) for n, row in enumerate(cells, 1)
    )


def _read_excel(file: Path, sheet: str | None) -> tuple[list[str], Iterator[Row | UnreadRow]]:
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{file}: Excel files need openpyxl: pip install 'vision-harness[excel]'") from None
    try:
        book = openpyxl.load_workbook(file, read_only=True, data_only=True)
    except Exception as error:  # openpyxl raises what zip files, XML and its own code happen to raise
        raise DataError(f"{file}: not an Excel file: {str(error).splitlines()[0][:200]}") from None
    names = book.sheetnames
    if sheet is None and len(names) > 1:
        raise DataError(f"{file}: it has sheets {', '.join(names)}; say which: --as 'table?sheet={names[0]}'")
    if sheet is not None and sheet not in names:
        raise DataError(f"{file}: no sheet {sheet!r}, it has {', '.join(names)}")
    rows = enumerate(book[sheet or names[0]].iter_rows(values_only=True), start=1)
    filled = ((n, row) for n, row in rows if any(value is not None for value in row))
    first = next(filled, None)
    if first is None:
        raise DataError(f"{file}: an empty sheet, expected a table")
    header = _check_header(file, [_to_text(value) for value in first[1]])
    return header, (
        Row(n, {name: _to_text(v) for name, v in zip(header, row, strict=False) if name})
        for n, row in chain(filled)
    )


def _check_header(file: Path, names: Sequence[str]) -> list[str]:
    header = [name.strip() for name in names]
    twice = next((name for place, name in enumerate(header) if name and name in header[:place]), None)
    if twice is not None:
        raise DataError(f"{file}: two columns are called {twice!r:.60}")
    return header


def _to_text(value: Any) -> str:
    """Return a cell as text; the shortest that means the same number."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float) or type(value).__module__ in ("numpy", "decimal"):
        return NumberText(value)
    return str(value).strip()
