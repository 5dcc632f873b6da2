"""Reads tables with cells separated by tabs, commas, semicolons or bars, however untidy."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Literal

from harness import DataError

DELIMITERS = "\t,;|"
SAMPLED = 200
"""The number of lines that decide between several possible delimiters."""

Records = list[tuple[str, dict[str, Any]]]
"""Rows, each with its place in the file."""

_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
_NAME = re.compile(r"[^\W\d][\w .:/()#-]{0,59}")


def read_separated(text: str, name: str, known: Collection[str], where: str) -> tuple[Records, list[str]]:
    """Return the rows of a table by column, and the places of rows with a different number of cells.

    The first row is the header if it has a name in `known` (in lower case) or looks like one; otherwise the
    columns are `id`, `label`, `column 3` and so on. `name` is the file's name, `where` its path for messages.
    Raises DataError if there are no columns or rows.
    """
    given, skipped = None, 0
    while text:
        first, _, rest = text.partition("\n")
        found = _SEP.fullmatch(first)  # Excel's line that sets the delimiter
        named = {cell.strip("# \r").lower() for cell in re.split(f"[{DELIMITERS}]", first)} & {*known}
        comment = first.startswith("#") and not named and not _are_alike(first, rest.partition("\n")[0])
        if first.strip() and not found and not comment:
            break
        given, text, skipped = found[1] if found else given, rest, skipped + 1
    first = text.partition("\n")[0]
    delimiter = given or _detect_delimiter(first, text, known, where)
    if not first.count(delimiter):
        raise DataError(f"{where}: its first line has no tab, comma, semicolon or bar: '{first[:60]}'")
    rows = _parse_rows(text, delimiter, where)
    if not rows:
        raise DataError(f"{where}: holds only empty rows")
    header = [cell.strip() for cell in rows[0][1]]
    if {cell.lower() for cell in header} & {*known} or looks_like_header([row for _, row in rows]):
        rows = rows[1:]
    else:
        header = ["id", "label", *(f"column {i}" for i in range(3, len(header) + 1))]
    while header and not header[-1] and any(len(row) < len(header) for _, row in rows):
        header.pop()  # only the header ends in a delimiter
    records, broken = [], []
    for number, row in rows:
        whole = len(row) == len(header) or (len(row) > len(header) and not any(row[len(header) :]))
        if whole:
            records.append((f"{name}:{number + skipped}", dict(zip(header, row, strict=False))))
        else:
            broken.append(f"{name}:{number + skipped}")
    if broken and not records:
        raise DataError(
            f"{where}: none of its rows has {len(header)} cells like the header ({', '.join(header)})"
        )
    return records, broken


def _are_alike(first: str, second: str) -> bool:
    """Return whether two lines may be rows of one table: some delimiter occurs equally often in both."""
    return any(first.count(mark) and first.count(mark) == second.count(mark) for mark in DELIMITERS)


def _detect_delimiter(first: str, text: str, known: Collection[str], where: str) -> str:
    """Return the delimiter of a table whose first line is `first`.

    Of several in it, choose the one that yields most names in `known`; then most rows with as many cells as
    the first (texts contain commas); then tabs, which are rarest in texts; then the most frequent.
    """
    there = [mark for mark in DELIMITERS if mark in first]
    if len(there) < 2:
        return there[0] if there else DELIMITERS[0]
    parts = text.splitlines(keepends=True)[:SAMPLED]

    def merit(mark: str) -> tuple[int, float, bool, int]:
        rows = [row for _, row in _parse_rows("".join(parts), mark, where)]
        named = sum(cell.strip().lower() in known for cell in rows[0]) if rows else 0
        whole = sum(len(row) == len(rows[0]) for row in rows) / len(rows) if rows else 0.0
        return named, whole, mark == "\t", first.count(mark)

    return max(there, key=merit)


def looks_like_header(rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first row names the columns: its cells are names, unlike those below.

    No cell occurs again in its column, and below some name there are only values with digits, or few
    different values.

    >>> looks_like_header([["tweet", "mood"], ["17", "glad"], ["18", "sad"], ["19", "sad"]])
    True
    >>> looks_like_header([["a17", "sad"], ["a18", "sad"], ["a19", "glad"]])
    False
    """
    first, rest = [cell.strip() for cell in rows[0]], [row for row in rows[1:] if len(row) == len(rows[0])]
    names = len({*first}) == len(first) and all(_NAME.fullmatch(cell) for cell in first)
    if not names or len(rest) < 2:
        return False
    columns = [[row[i].strip() for row in rest] for i in range(len(first))]
    if any(cell in column for cell, column in zip(first, columns, strict=True)):
        return False
    return any(_is_unlike(cell, column) for cell, column in zip(first, columns, strict=True))


def _is_unlike(cell: str, column: Sequence[str]) -> bool:
    numbered = all(re.search(r"\d", value) for value in column) and not re.search(r"\d", cell)
    return numbered or len({*column}) <= len(column) // 2


def _parse_rows(text: str, delimiter: str, where: str) -> list[tuple[int, list[str]]]:
    """Return line numbers and cells. Quotation marks group cells, unless the file is tab-separated or one stays open.

    If marks are misplaced, so that one may have swallowed rows, read them the way that yields more complete
    rows; in a tab-separated file marks group cells if that yields more, or if marks within cells are doubled.
    """

    def read(quoting: Literal[0, 3], strict: bool) -> list[tuple[int, list[str]]]:
        # only \n and \r end lines: posts hold other separators, at which `splitlines` would cut them
        lines = io.StringIO(text, newline="")
        reader = csv.reader(lines, delimiter=delimiter, quoting=quoting, strict=strict)
        return [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]

    def whole(rows: list[tuple[int, list[str]]]) -> int:
        return sum(len(row) == len(rows[0][1]) for _, row in rows)

    tabs, well_placed = delimiter == "\t", None
    with suppress(csv.Error):  # misplaced marks
        well_placed = read(csv.QUOTE_MINIMAL, True)
    if well_placed is not None and not tabs:
        return well_placed
    try:
        plain, grouped = read(csv.QUOTE_NONE, False), read(csv.QUOTE_MINIMAL, False)
    except csv.Error as error:
        raise DataError(f"{where}: can't be read as a table ({error})") from None
    if well_placed is not None and any(_DOUBLED.fullmatch(cell) for _, row in plain for cell in row):
        return well_placed
    return grouped if whole(grouped) > whole(plain) - (not tabs) else plain
