"""The index of a store: all records as one flat table, refreshed on use, never needed for correctness."""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from harness.errors import StoreError
from harness.records.files import FULL, replacing
from harness.records.parquet_columns import read_parquet

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from harness.records.record import Record

TEXT = ("id", "status", "reason", "suite", "started", "environment", "remarks", "failures")
NEWER, DAMAGED = "newer", "damaged"
"""Statuses of unreadable records, beside those of records."""

LISTS = ("remarks", "failures")
"""Columns of several texts; a failure is a pair of the metric's name and the reason."""

NUMBERS = ("metric.", "cost.", "better.", "binary.")


def flatten_record(record: Record) -> dict[str, Any]:
    """Return a record as one flat row: coordinates and tags as JSON text, metrics and costs as numbers."""
    flat: dict[str, Any] = {
        "id": record.id,
        "status": record.status,
        "reason": record.reason,
        "suite": record.suite,
        "started": record.provenance.get("started"),
        "environment": record.provenance.get("environment"),
        "count": None if record.count is None else float(record.count),
        "remarks": _encode_list(record.remarks),
        "failures": orjson.dumps({k: str(v) for k, v in record.failures.items()}).decode()
        if record.failures
        else None,
    }
    for key, value in record.coordinates.items():
        flat[f"at.{key}"] = orjson.dumps(value, default=str).decode()
    for key, value in record.tags.items():
        flat[f"tag.{key}"] = orjson.dumps(value, default=str).decode()
    for key, number in record.metrics.items():
        flat[f"metric.{key}"] = number
        flat[f"better.{key}"] = float(record.directions.get(key, True))
        flat[f"binary.{key}"] = float(key in record.binary)
        if key in record.units:
            flat[f"unit.{key}"] = record.units[key]
    for key in record.failures:
        flat.setdefault(f"metric.{key}", None)
    for key, number in record.cost.items():
        flat[f"cost.{key}"] = number
    return flat


def _encode_list(texts: Iterable[str]) -> str | None:
    """Return texts as a JSON list, or None if there are none."""
    return orjson.dumps(found).decode() if (found := [*map(str, texts)]) else None


class Holder(Protocol):
    """What the index needs of a store."""

    path: Path

    def listing(self) -> dict[str, tuple[int, int]]: ...

    def read(self, id: str) -> Record | None: ...

    def is_newer(self, id: str) -> bool: ...

    def file(self, kind: str, id: str, suffix: str) -> Path: ...


def refresh_table(store: Holder) -> pa.Table:
    """Return the table of all records, after reading those that changed since the index was written."""
    import numpy as np
    import pyarrow as pa

    listing = store.listing()
    known = _read_index(store)
    kept = None
    missing = set(listing)
    if known is not None:
        ids = known["id"].to_pylist()
        stamps = zip(known["_mtime"].to_pylist(), known["_size"].to_pylist(), strict=True)
        good = np.array([listing.get(i) == s for i, s in zip(ids, stamps, strict=True)], dtype=bool)
        missing -= {i for i, g in zip(ids, good, strict=True) if g}
        if not missing and good.all():
            return known
        kept = known if good.all() else known.filter(pa.array(good))
    rows, unreadable = [], []
    for id in sorted(missing):
        stamp = {"_mtime": listing[id][0], "_size": listing[id][1]}
        record = store.read(id)
        if record is not None:
            rows.append({**flatten_record(record), **stamp})
        elif store.file("records", id, ".json").exists():
            unreadable.append({**_unreadable_row(store, id), **stamp})
    parts = [t for t in (kept, _table(rows)) if t is not None and t.num_rows]
    if parts and (rows or kept is not known):
        _write_index(store, pa.concat_tables(parts, promote_options="default"))
    # unreadable ones are not written to the index: each process warns of them
    parts += [_table(unreadable)] if unreadable else []
    return pa.concat_tables(parts, promote_options="default") if parts else _table([])


def _unreadable_row(store: Holder, id: str) -> dict[str, Any]:
    """Return the row of an unreadable record: its cell has a status and a reason in tables, and no number."""
    newer = store.is_newer(id)
    reason = (
        "its record was written by a newer harness: upgrade vision-harness"
        if newer
        else "its record can't be read: run the cell again"
    )
    return {"id": id, "status": NEWER if newer else DAMAGED, "reason": reason}


def list_done(store: Holder) -> set[str]:
    """Return ids of the cells that need not run again, including those of a newer harness."""
    table = refresh_table(store)
    columns = (table[name].to_pylist() for name in ("id", "status", "failures"))
    return {id for id, status, failed in zip(*columns, strict=True) if status in ("ok", NEWER) and not failed}


def read_frame(store: Holder, labels: bool | Collection[str] = True) -> pd.DataFrame:
    """Return all records as a DataFrame: `id`, `status`, `at.*`, `tag.*`, `metric.*`, `cost.*`, …

    Rows are sorted by id, not by age. Without `labels`, the columns `at.*` and `tag.*` are left out; a
    collection names those to keep if any record has remarks.
    """
    import pandas as pd

    table = refresh_table(store)
    if labels is not True:
        # labels that remarks mention; most stores have none, and labels cost as much as all the rest
        wanted = labels if labels and table["remarks"].null_count < table.num_rows else ()
        table = table.select(
            [c for c in table.column_names if c in wanted or not c.startswith(("at.", "tag."))]
        )
    data: pd.DataFrame = table.to_pandas(strings_to_categorical=True)
    for column in [c for c in data.columns if c.startswith(("at.", "tag."))]:
        decoded = [orjson.loads(v) for v in data[column].cat.categories]
        codes = data[column].cat.codes.to_numpy()
        filled = [None if c < 0 else decoded[c] for c in codes]
        # with gaps as objects, since whole numbers would become fractions
        data[column] = pd.Series(filled, dtype=object if None in filled else None)
    for column in LISTS:  # each text is decoded once, however many records share it
        read = [orjson.loads(v) for v in data[column].cat.categories]
        said = [tuple(v.items() if isinstance(v, dict) else v) for v in read]
        codes = data[column].cat.codes.to_numpy()
        data[column] = [() if c < 0 else said[c] for c in codes] if said else [()] * len(data)
    data["id"] = data["id"].astype(object)  # all differ; other texts repeat and stay categories
    return data.sort_values("id", ignore_index=True).drop(columns=["_mtime", "_size"], errors="ignore")


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    import pyarrow as pa

    columns = list(dict.fromkeys([*TEXT, "count", "_mtime", "_size", *(k for r in rows for k in r)]))
    return pa.table({c: pa.array([r.get(c) for r in rows], type=_kind(c)) for c in columns})


def _kind(name: str) -> Any:
    """Return the type of an index column, from its name."""
    import pyarrow as pa

    if name in ("_mtime", "_size"):
        return pa.int64()
    return pa.float64() if name == "count" or name.startswith(NUMBERS) else pa.string()


def _read_index(store: Holder) -> pa.Table | None:
    import pyarrow as pa

    path = store.path / "index.parquet"
    try:
        table = read_parquet(path)
    except (FileNotFoundError, pa.ArrowInvalid, OSError):
        return None  # absent or damaged: rebuilt from the records, as is one with other columns
    needed = {*TEXT, "count", "_mtime", "_size"} <= set(table.column_names)
    return table if needed and all(field.type == _kind(field.name) for field in table.schema) else None


def _write_index(store: Holder, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    try:
        with replacing(store.path / "index.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd")
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, *FULL):
            return  # a store that can only be read works without its index
        raise StoreError(f"{store.path}: the index can't be written: {error}") from None
