"""A look at files of predictions: the names of their columns, and whether these hold numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from harness_importers.csv_rows import MARKS, find_separator


def read_names(file: Path) -> list[str]:
    """Return the names of a file's columns or arrays; none for other files. Raises what reading raises."""
    end = file.suffix.lower()
    if end == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    if end == ".csv":
        return [name.strip() for name in next(_peek_rows(file), [])]
    if end == ".npz":
        with np.load(file, allow_pickle=False) as found:
            return list(found.files)
    return []


def peek_numbers(file: Path, name: str) -> bool:
    """Return whether a column of a CSV or Parquet file holds a number for each row, from a look at the first."""
    if file.suffix.lower() not in (".csv", ".parquet"):
        return False
    if file.suffix.lower() == ".csv":
        rows = _peek_rows(file)
        header = [each.strip() for each in next(rows, [])]
        first = dict(zip(header, next(rows, []), strict=False))
        return not first.get(name, "").lstrip().startswith("[")
    import pyarrow.parquet as pq

    return are_numbers(pq.ParquetFile(file).read_row_group(0, columns=[name])[name])


def _peek_rows(file: Path) -> Iterator[list[str]]:
    """Yield the rows of a CSV file, by its own separator and encoding, from its header on."""
    with file.open("rb") as stream:
        start = stream.read(4)
    encoding = next((name for mark, name in MARKS.items() if start.startswith(mark)), "utf-8")
    with file.open(encoding=encoding, newline="") as lines:
        header = next((line for line in lines if line.strip()), "")
        yield from csv.reader(chain([header], lines), delimiter=find_separator(header))


def are_numbers(column: Any) -> bool:
    """Return whether an Arrow column holds a number in each row, as such or as text, and no lists of them."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        first = next((text for text in column.slice(0, 100).to_pylist() if text), "")
        return not first.lstrip().startswith("[")
    return bool(pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
