"""Export all records of a store as one flat table: long (a row per number) or wide (a row per record)."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError, did_you_mean
from harness.leaderboard.formats.data import disarm_formula
from harness.planning.suite import find_suite_name
from harness.records.files import replacing, write_bytes
from harness.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("id", "suite", "status", "reason")
LAST = ("count", "started", "environment", "remarks")
FORMATS = ("csv", "parquet")
LONG = ("kind", "name", "value", "unit", "higher_is_better")


def export_records(
    store: Store, suite: str | None, wide: bool, format: str | None, out: Path | None
) -> tuple[pd.DataFrame, str]:
    """Return the records as a DataFrame, and the format, after writing it to `out` if that is given.

    Without a format, the file's suffix decides. Raises HarnessError for an unknown suite or format, Parquet
    without a file, or a file that can't be written.
    """
    format = format or ("parquet" if out and out.suffix.lower() == ".parquet" else "csv")
    if format not in FORMATS:
        raise HarnessError(f"export: no format '{format}'{did_you_mean(format, FORMATS)}")
    if format == "parquet" and out is None:
        raise HarnessError("export: Parquet is binary: name a file with --out FILE.parquet")
    data = (wide_frame if wide else long_frame)(store, suite and find_suite_name(suite))
    try:
        if out and format == "parquet":
            write_parquet(data, out)
        elif out:
            write_csv(data, out)
    except OSError as error:
        raise HarnessError(f"--out {out}: can't be written: {error.strerror}") from None
    return data, format


def long_frame(store: Store, suite: str | None = None) -> pd.DataFrame:
    """Return one row per record and metric or cost; a record without numbers has one row without a name.

    Columns: `id suite status reason`, the coordinates, tags as `tag.…`, then `kind` (metric or cost), `name`,
    `value`, `unit`, `higher_is_better`, and `count started environment remarks`. A coordinate named like one
    of these is called `at.…`. A null value is a missing number; NaN was measured as such.
    """
    import pandas as pd

    table = _read_records(store, suite)
    about = _describe_records(table)
    parts: list[pd.DataFrame] = []
    seen = set[int]()
    for column in table.column_names:
        kind, dot, name = column.partition(".")
        if not dot or kind not in ("metric", "cost"):
            continue
        rows = [n for n, valid in enumerate(table[column].is_valid().to_pylist()) if valid]
        seen.update(rows)
        part = about.iloc[rows].copy()
        values = table[column].to_pylist()
        part["kind"], part["name"] = kind, name
        part["value"] = [values[n] for n in rows]
        units, better = _column_or_nulls(table, f"unit.{name}"), _column_or_nulls(table, f"better.{name}")
        part["unit"] = [units[n] if kind == "metric" else None for n in rows]
        part["higher_is_better"] = [
            None if kind == "cost" or better[n] is None else bool(better[n]) for n in rows
        ]
        parts.append(part)
    bare = about.iloc[[n for n in range(len(about)) if n not in seen]].copy()
    if len(bare) or not parts:
        parts.append(bare.assign(**dict.fromkeys(LONG)))
    whole = pd.concat([p.astype(object) for p in parts]).sort_index(kind="stable")
    coordinates = [c for c in about.columns if c not in (*FIRST, *LAST)]
    return _infer_types(whole[[*FIRST, *coordinates, *LONG, *LAST]].reset_index(drop=True))


def wide_frame(store: Store, suite: str | None = None) -> pd.DataFrame:
    """Return one row per record; metrics as `metric.…` and costs as `cost.…`, the rest as in `long_frame`."""
    import pandas as pd

    table = _read_records(store, suite)
    whole = _describe_records(table)
    for column in table.column_names:
        if column.startswith(("metric.", "cost.")):
            whole[column] = pd.Series(table[column].to_pylist(), dtype=object)
    return _infer_types(whole)


def write_csv(data: pd.DataFrame, path: Path | None) -> str | None:
    """Write the frame as CSV, or return it as text without a path.

    A leading quote disarms texts that a spreadsheet would take for formulas.
    """
    safe = data.rename(columns=disarm_formula)
    for column in safe.columns:
        if not _is_numeric(safe[column]):
            safe[column] = [disarm_formula(v) if isinstance(v, str) else v for v in safe[column]]
    text: str = safe.to_csv(index=False, lineterminator="\n", quoting=_choose_quoting(safe))
    if path is None:
        return text
    write_bytes(path, text.encode())
    return None


def _choose_quoting(data: pd.DataFrame) -> Literal[0, 2]:
    """Quote all texts if one contains a carriage return, which Python before 3.13 leaves unquoted.

    A reader would take it for the end of the row.
    """
    texts = [c for c in data.columns if not _is_numeric(data[c])]
    bare = any("\r" in c for c in data.columns) or any(
        isinstance(v, str) and "\r" in v for c in texts for v in data[c].unique()
    )
    return csv.QUOTE_NONNUMERIC if bare else csv.QUOTE_MINIMAL


def write_parquet(data: pd.DataFrame, path: Path) -> None:
    """Write the frame as Parquet, with unchanged names and texts."""
    with replacing(path) as temporary:
        data.to_parquet(temporary, index=False, compression="zstd")


def _read_records(store: Store, suite: str | None) -> Any:
    import pyarrow.compute as pc

    from harness.errors import no_records
    from harness.records.index import refresh_table

    if not store.path.is_dir():
        raise HarnessError(f"{store.path}: no such store")
    table = refresh_table(store)
    if suite is not None:
        known = sorted({s for s in table["suite"].to_pylist() if s})
        if suite not in known:
            raise HarnessError(no_records(store.path, suite, known))
        table = table.filter(pc.equal(table["suite"], suite))
    return table.sort_by("id")


def _describe_records(table: Any) -> pd.DataFrame:
    """Return each record's facts except its numbers."""
    import orjson
    import pandas as pd

    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in FIRST}
    taken = {*FIRST, *LAST, *LONG}
    for column in table.column_names:
        kind, _, name = column.partition(".")
        if kind not in ("at", "tag"):
            continue
        shown = column if kind == "tag" or name in taken or name.startswith("tag.") else name
        columns[shown] = [None if v is None else orjson.loads(v) for v in table[column].to_pylist()]
    columns |= {name: table[name].to_pylist() for name in LAST}
    columns["remarks"] = [None if v is None else "; ".join(orjson.loads(v)) for v in columns["remarks"]]
    return pd.DataFrame({k: pd.Series(v, dtype=object) for k, v in columns.items()})


def _infer_types(data: pd.DataFrame) -> pd.DataFrame:
    """Convert each column to the type that all of its values share, else to text."""
    for column in data.columns:
        types = {type(v) for v in data[column] if not _is_missing(v)}
        if column == "value" or column.startswith(("metric.", "cost.")):
            data[column] = _nullable_floats(data[column].to_list())
        elif types and types <= {int, float}:
            data[column] = data[column].astype("Int64" if types == {int} else "Float64")
        elif types == {bool}:
            data[column] = data[column].astype("boolean")
        else:
            data[column] = [_to_text(v) for v in data[column]]
    return data


def _nullable_floats(values: list[float | None]) -> Any:
    """Return numbers as a type that tells missing ones from NaN."""
    import pandas as pd
    import pyarrow as pa

    return pd.arrays.ArrowExtensionArray(pa.array(values, type=pa.float64(), from_pandas=False))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and value != value)


def _to_text(value: Any) -> str | None:
    import orjson

    if _is_missing(value):
        return None
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _column_or_nulls(table: Any, name: str) -> list[Any]:
    return table[name].to_pylist() if name in table.column_names else [None] * table.num_rows


def _is_numeric(values: Any) -> bool:
    from pandas.api.types import is_numeric_dtype

    return bool(is_numeric_dtype(values))
