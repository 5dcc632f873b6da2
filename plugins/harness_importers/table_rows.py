"""Rows of plain tables: CSV, tab-separated, Parquet and Excel files, all cells as texts with every digit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from harness import DataError, UnreadRow
from harness_importers.csv_rows import Row, peek_header, read_rows
from harness_importers.table_cells import NumberText

PARQUET, EXCEL = (".parquet", ".pq"), (".xlsx", ".xlsm")


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
        _list_short(column) if str(column.type) in ("float", "halffloat") else column.to_pylist()
        for column in table.columns
    ]
    cells = zip(*columns, strict=True)
    return header, (
        Row(n, dict(zip(header, map(_to_text, row), strict=True))) for n, row in enumerate(cells, 1)
    )


def _list_short(column: Any) -> list[Any]:
    """Return numbers of 32 or 16 bits as numpy has them, None for those that are missing: numpy would make them NaN."""
    missing = column.is_null().to_pylist()
    return [None if no else value for value, no in zip(column.to_numpy(), missing, strict=True)]


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
    rows = enumerate(book[sheet or names[0]].iter_rows(), start=1)
    filled = ((n, row) for n, row in rows if any(cell.value is not None for cell in row))
    first = next(filled, None)
    if first is None:
        raise DataError(f"{file}: an empty sheet, expected a table")
    header = _check_header(file, [_to_text(cell.value) for cell in first[1]])
    return header, _read_cells(file, sheet or names[0], header, filled)


def _read_cells(
    file: Path, sheet: str, header: Sequence[str], rows: Iterator[tuple[int, Any]]
) -> Iterator[Row | UnreadRow]:
    """Yield the rows of a sheet, without those that need a formula which the file has no value of."""
    formulas: set[tuple[int, int]] | None = None
    for line, row in rows:
        if formulas is None and any(cell.value is None for cell in row[: len(header)]):
            formulas = _find_formulas(file, sheet)
        cells = [
            (place, name, cell) for place, (name, cell) in enumerate(zip(header, row, strict=False)) if name
        ]
        open_ones = [
            name for place, name, cell in cells if cell.value is None and (line, place) in (formulas or ())
        ]
        if open_ones:  # a program wrote the formula without computing it
            reason = f"{open_ones[0]}: a formula without its value: open the file in a spreadsheet program and save it"
            yield UnreadRow(reason, line)
        else:
            yield Row(line, {name: _show_cell(cell) for _, name, cell in cells})


def _find_formulas(file: Path, sheet: str) -> set[tuple[int, int]]:
    """Return the rows, counted from 1, and columns, counted from 0, of a sheet's formulas."""
    import openpyxl

    rows = openpyxl.load_workbook(file, read_only=True)[sheet].iter_rows()
    return {
        (line, place)
        for line, row in enumerate(rows, start=1)
        for place, cell in enumerate(row)
        if cell.data_type == "f"
    }


def _show_cell(cell: Any) -> str:
    """Return a cell of an Excel sheet as text; a number that the sheet shows in percent with its `%`."""
    text, value = _to_text(cell.value), cell.value
    if isinstance(value, bool) or not isinstance(value, int | float) or "%" not in str(cell.number_format):
        return text
    return NumberText(format(Decimal(text).scaleb(2), "f") + "%")


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
