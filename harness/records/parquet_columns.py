"""Reading of Parquet files, or some of their columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def read_parquet(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file, or those of the columns that it has.

    Raises FileNotFoundError, and pyarrow's ArrowInvalid for a damaged file.
    """
    import pyarrow.parquet as pq

    # not pq.read_table, whose data sets of many files cost more than a file as small as these
    with pq.ParquetFile(path) as file:
        return file.read(None if columns is None else list(columns), use_threads=False)
