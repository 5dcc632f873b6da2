"""Reads the rows of a table of questions, JSON lines or Parquet; images in cells stay on disk."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any

from harness import DataError
from harness_data.question_images import shelve_images

JSON_SUFFIXES = (".jsonl", ".ndjson")
PARQUET_SUFFIX = ".parquet"
BATCH_ROWS = 64

Row = tuple[str, dict[str, Any]]
"""A row's place, and its cells by column."""


def read_question_rows(path: Path) -> list[Row]:
    """Return the rows of a file, with images in cells as `StoredImage`s.

    Raises DataError, naming the file and the line, for a file that can't be read, and for a line that is no object.
    """
    try:
        return list(_read_parquet(path) if path.suffix.lower() == PARQUET_SUFFIX else read_json_lines(path))
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror or error})") from None


def read_json_lines(path: Path) -> Iterator[Row]:
    """Yield the rows of a file of JSON lines; blank lines are skipped. Raises DataError for a bad line, and OSError."""
    with path.open("rb") as file:
        offset = 0
        for number, line in enumerate(file, 1):
            where = f"{path}:{number}"
            if line.strip():
                row = _parse_line(line, where)
                cells = {
                    name: shelve_images(value, partial(_read_json_cell, path, offset, name, where), where)
                    for name, value in row.items()
                }
                yield where, cells
            offset += len(line)


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not a line of JSON ({' '.join(str(error).split())})") from None
    if not isinstance(found, dict):
        raise DataError(f"{where}: expected a JSON object, found a {type(found).__name__}")
    return found


def _read_json_cell(path: Path, offset: int, name: str, where: str) -> Any:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return _parse_line(file.readline(), where)[name]
    except (OSError, KeyError):
        raise DataError(f"{where}: changed while it was read") from None


class ParquetCells:
    """Cells of a Parquet file, read by row group; the last group of a column is kept."""

    def __init__(self, path: Path, groups: list[int]) -> None:
        """Store the path and the number of rows of each group."""
        self._path, self._groups = path, groups
        self._kept: tuple[tuple[int, str], Any] | None = None
        self._lock = Lock()

    def __reduce__(self) -> tuple[type[ParquetCells], tuple[Path, list[int]]]:
        return ParquetCells, (self._path, self._groups)  # without the lock and what is kept

    def read(self, row: int, name: str) -> Any:
        """Return the value of a cell. Raises DataError if the file can't be read any more."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        group = 0
        while row >= self._groups[group]:
            row -= self._groups[group]
            group += 1
        with self._lock:
            if self._kept is None or self._kept[0] != (group, name):
                try:
                    table = pq.ParquetFile(self._path).read_row_group(group, [name])
                except (OSError, pa.ArrowException) as error:
                    raise DataError(f"{self._path}: can't be read ({' '.join(str(error).split())})") from None
                self._kept = (group, name), table[name]
            column = self._kept[1]
        return column[row].as_py()


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        facts = file.metadata
        cells = ParquetCells(path, [facts.row_group(i).num_rows for i in range(facts.num_row_groups)])
        number = 0
        for batch in file.iter_batches(BATCH_ROWS):
            for row in batch.to_pylist():
                where = f"{path}, row {number}"
                yield (
                    where,
                    {
                        name: shelve_images(value, partial(cells.read, number, name), where)
                        for name, value in row.items()
                    },
                )
                number += 1
    except pa.ArrowException as error:
        raise DataError(f"{path}: can't be read as Parquet ({' '.join(str(error).split())})") from None
