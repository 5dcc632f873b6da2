"""Rows of CSV files as users have them: any usual separator, quotes, byte order marks, blank and broken rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import DataError, UnreadRow

SEPARATORS = ",;\t|"
MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
"""Byte order marks, and the encodings that they tell."""

PEEKED = 1 << 20
"""How many bytes are read to look at a header."""


@dataclass(frozen=True)
class Row:
    """A row: the line where it begins, counted from 1, and its cells by the names of their columns."""

    line: int
    cells: dict[str, str]


def read_rows(
    file: Path, separator: str | None = None, encoding: str | None = None
) -> tuple[list[str], Iterator[Row | UnreadRow]]:
    """Return the names of a file's columns, and its rows without blank ones.

    A row with more or fewer cells than columns, or with broken quotes, becomes an UnreadRow. Without `separator`
    it is that of `,`, `;`, tab and `|` which the header has most often. Raises DataError, starting with the
    path, for a file that can't be decoded, has no header, or two columns of one name.
    """
    records = read_records(decode(file, encoding), separator)
    first = next((r for r in records if isinstance(r, UnreadRow) or any(c.strip() for c in r[1])), None)
    if first is None:
        raise DataError(f"{file}: an empty file, expected a table")
    if isinstance(first, UnreadRow):
        raise DataError(f"{file}: line {first.line}: {first.reason}")
    header = [name.strip() for name in first[1]]
    for place, name in enumerate(header):
        if name and name in header[:place]:
            columns = f"{header.index(name) + 1} and {place + 1}"
            raise DataError(f"{file}: line {first[0]}: two columns are called {name!r:.60}, {columns}")
    return header, _name_cells(header, records)


def _name_cells(
    header: Sequence[str], records: Iterator[tuple[int, list[str]] | UnreadRow]
) -> Iterator[Row | UnreadRow]:
    for record in records:
        if isinstance(record, UnreadRow):
            yield record
            continue
        line, cells = record
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) < len(header) or any(cell.strip() for cell in cells[len(header) :]):
            yield UnreadRow(f"{len(cells)} cells, expected {len(header)}", line)
            continue
        yield Row(line, {name: cell.strip() for name, cell in zip(header, cells, strict=False) if name})


def read_records(text: str, separator: str | None = None) -> Iterator[tuple[int, list[str]] | UnreadRow]:
    """Yield each record of a CSV text with the line where it begins, or what is wrong with it."""
    mark = separator or find_separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark, strict=True)
    line = 1
    while True:
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield UnreadRow(f"not CSV: {error}", line)
        line = reader.line_num + 1


def find_separator(text: str) -> str:
    """Return the separator that a text's first line has most often outside quotes; `,` if it has none."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    outside = "".join(first.split('"')[::2])
    return max(SEPARATORS, key=lambda mark: (outside.count(mark), -SEPARATORS.index(mark)))


def decode(file: Path, encoding: str | None = None, most: int | None = None) -> str:
    """Return a file's text, or the beginning of it; by its byte order mark, else UTF-8, unless `encoding` is given.

    Raises DataError, starting with the path, naming the line that can't be decoded.
    """
    try:
        with file.open("rb") as opened:
            content = opened.read() if most is None else opened.read(most)
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from None
    found = encoding or next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    if most is not None and len(content) == most and found.startswith("utf-8"):
        content = content[: content.rfind(b"\n") + 1] or content
    try:
        text = content.decode(found)
    except LookupError:
        raise DataError(f"{file}: encoding {encoding!r:.40}: Python knows none of that name") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(
            f"{file}: line {line}: not {found} text; save it as UTF-8 (or, for a plain table, name its encoding: "
            "--as 'table?encoding=latin-1')"
        ) from None
    except UnicodeError:
        raise DataError(f"{file}: not {found} text") from None
    return text if "\n" in text else text.replace("\r", "\n")  # lines of the old Macintosh


def peek_header(file: Path) -> list[str]:
    """Return the names of a file's columns from a look at its beginning; empty if it is no table."""
    try:
        text = decode(file, most=PEEKED)
    except DataError:
        return []
    if "\0" in text:
        return []
    for record in read_records(text):
        if isinstance(record, UnreadRow):
            return []
        if any(cell.strip() for cell in record[1]):
            return [cell.strip() for cell in record[1]]
    return []
