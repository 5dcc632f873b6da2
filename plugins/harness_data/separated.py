"""Rows and header of a table whose cells are separated by tabs, commas, semicolons or bars, however untidy."""

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
"""So many lines are looked at where several delimiters are possible."""

Records = list[tuple[str, dict[str, Any]]]
"""Rows with the place in the file that each is from."""

_SEP = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
_NAME = re.compile(r"[^\W\d][\w .:/()#-]{0,59}")


def read_separated(text: str, name: str, known: Collection[str], where: str) -> tuple[Records, list[str]]:
    """The rows of a table by column, and the places of those with another number of cells.

    The first row is the header if it has a name in `known` (in lower case) or looks like one; else the
    columns are `id`, `label`, `column 3` and so on. `name` is the file's, `where` its path for messages.
    Raises DataError when there are no columns or rows.
    """
    given, skipped = None, 0
    while text:
        first, _, rest = text.partition("\n")
        found = _SEP.fullmatch(first)  # what Excel reads the delimiter from
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
        raise DataError(f"{where}: holds empty rows only")
    header = [cell.strip() for cell in rows[0][1]]
    if {cell.lower() for cell in header} & {*known} or looks_like_header([row for _, row in rows]):
        rows = rows[1:]
    else:
        header = ["id", "label", *(f"column {i}" for i in range(3, len(header) + 1))]
    while header and not header[-1] and any(len(row) < len(header) for _, row in rows):
        header.pop()  # a delimiter behind the last column's name alone
    records, broken = [], []
    for number, row in rows:
        whole = len(row) == len(header) or (len(row) > len(header) and not any(row[len(header) :]))
        if whole:
            records.append((f"{name}:{number + skipped}", dict(zip(header, row, strict=False))))
        else:
            broken.append(f"{name}:{number + skipped}")
    if broken and not records:
        raise DataError(
            f"{where}: none of its rows has the {len(header)} cells of the first ({', '.join(header)})"
        )
    return records, broken


def _are_alike(first: str, second: str) -> bool:
    """Whether two lines may be rows of one table: some delimiter stands in both as often."""
    return any(first.count(mark) and first.count(mark) == second.count(mark) for mark in DELIMITERS)


def _detect_delimiter(first: str, text: str, known: Collection[str], where: str) -> str:
    """What separates the cells of a table, `first` being its first line.

    Of several that stand there: that which gives names in `known`; else which gives most rows as many cells as the
    first has (texts hold commas); else tabs, which texts hold least; else the most frequent.
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
    """Whether the first row names the columns: its cells are names, and unlike the rest.

    Unlike: none of its cells stands again in its column, and there is a column of numbers (or of names with
    numbers), or one of few values, below a word.

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
    """Line numbers and cells. Quotation marks group cells, unless the file is tab-separated or one stays open.

    Where marks are misplaced, and one may have swallowed rows, what gives more whole rows decides; in a
    tab-separated file marks group cells if that gives more, or if marks within cells are doubled.
    """

    def read(quoting: Literal[0, 3], strict: bool) -> list[tuple[int, list[str]]]:
        # lines end at \n and \r alone: posts hold other separators, which `splitlines` would cut them at
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
