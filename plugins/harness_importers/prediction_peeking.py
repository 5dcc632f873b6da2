"""A look at files of predictions: the names of their columns, and whether these hold numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np


def read_names(file: Path) -> list[str]:
    """Return the names of a file's columns or arrays; none for other files. Raises what reading raises."""
    end = file.suffix.lower()
    if end == ".parquet":
        import pyarrow.parquet as pq

        return list(pq.read_schema(file).names)
    if end == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as stream:
            return next(csv.reader(stream), [])
    if end == ".npz":
        with np.load(file, allow_pickle=False) as found:
            return list(found.files)
    return []


def peek_numbers(file: Path, name: str) -> bool:
    """Return whether a column of a CSV or Parquet file holds a number for each row, from a look at the first."""
    if file.suffix.lower() not in (".csv", ".parquet"):
        return False
    if file.suffix.lower() == ".csv":
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = next(csv.DictReader(stream), {})
        return not str(first.get(name, "")).lstrip().startswith("[")
    import pyarrow.parquet as pq

    return are_numbers(pq.ParquetFile(file).read_row_group(0, columns=[name])[name])


def are_numbers(column: Any) -> bool:
    """Return whether an Arrow column holds a number in each row, as such or as text, and no lists of them."""
    import pyarrow as pa

    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        first = next((text for text in column.slice(0, 100).to_pylist() if text), "")
        return not first.lstrip().startswith("[")
    return bool(pa.types.is_floating(column.type) or pa.types.is_integer(column.type))
