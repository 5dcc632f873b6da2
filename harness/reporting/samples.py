"""Excerpts of records' per-sample outputs: the most confident misses and hits, or answers of every outcome."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records.parquet_columns import read_parquet
from harness.records.record import Record
from harness.records.store import Store
from harness.reporting.answers import excerpt_answers, has_answers
from harness.reporting.index import json_number
from harness.reporting.thumbnails import Thumbnails

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = 10
TEXT = 200


def spread_over_models(ids: Sequence[str], models: Sequence[str], seeds: Sequence[str]) -> list[str]:
    """Order the ids so that the first few cover every model, and few seeds of the same cell."""
    first_seed = {seed: n for n, seed in enumerate(dict.fromkeys(seeds))}
    by_model: dict[str, list[int]] = {}
    for n, model in enumerate(models):
        by_model.setdefault(model, []).append(n)
    ranks = {}
    for places in by_model.values():
        for rank, n in enumerate(sorted(places, key=lambda n: (first_seed[seeds[n]], n))):
            ranks[n] = rank
    return [ids[n] for n in sorted(ranks, key=lambda n: (ranks[n], n))]


class Excerpts:
    """Chooses at most `rows` samples of each record whose id is in `wanted`."""

    def __init__(self, store: Store, thumbnails: Thumbnails, wanted: Collection[str], rows: int = 60) -> None:
        self.store, self.thumbnails, self.wanted, self.rows = store, thumbnails, wanted, rows

    def excerpt(self, record: Record) -> dict[str, Any]:
        """Return the excerpt as JSON-able data; `note` says what is missing and why."""
        import pyarrow as pa

        path = self.store.file("samples", record.id, ".parquet").relative_to(self.store.path)
        if record.id not in self.wanted:
            return {"note": f"Left out to keep this page small; in the store they are {path.as_posix()}."}
        try:
            samples = read_parquet(self.store.path / path)
        except FileNotFoundError:
            samples = None
        except (pa.ArrowInvalid, OSError):
            return {"note": f"{path.as_posix()} is damaged in the store."}
        if samples is None or "id" not in samples.column_names:
            return {"note": f"{path.as_posix()} is missing in the store."}
        if has_answers(samples):
            return excerpt_answers(record, samples, self.rows, self.thumbnails)
        hits = self._find_hits(record, samples)
        chosen = self._choose_rows(samples, hits)
        part = samples.take(np.asarray(chosen, dtype=np.int64))
        names = samples.column_names[:COLUMNS]
        columns = [_column_values(part[name]) for name in names]
        excerpt: dict[str, Any] = {
            "total": len(samples),
            "columns": names,
            "rows": [list(row) for row in zip(*columns, strict=True)],
        }
        if hits is not None:
            excerpt |= {"hit": hits[chosen].astype(int).tolist(), "hits": int(hits.sum())}
        ids = [str(i) for i in part["id"].to_pylist()]
        labels = [c for c in ("target", "prediction") if c in part.column_names]
        classes = {int(v) for c in labels for v in part[c].to_pylist() if isinstance(v, int)}
        return excerpt | self.thumbnails.add_record(record, ids, classes)

    def _choose_rows(self, samples: pa.Table, hits: Any) -> list[int]:
        """Return half misses and half hits, or more of one if the other is short, most confident first."""
        if hits is None:
            return list(range(min(len(samples), self.rows)))
        sure = _column_as_floats(samples, "confidence")
        sure = np.zeros(len(samples)) if sure is None else sure
        order = np.argsort(-sure, kind="stable")
        misses, right = order[~hits[order]], order[hits[order]]
        few = min(len(misses), max(self.rows // 2, self.rows - len(right)))
        return [*misses[:few].tolist(), *right[: self.rows - few].tolist()]

    @staticmethod
    def _find_hits(record: Record, samples: pa.Table) -> Any:
        """Return which samples are right, by prediction and target if both are classes, else by a proportion."""
        import pyarrow.compute as pc

        if {"target", "prediction"} <= set(samples.column_names):
            target, prediction = samples["target"], samples["prediction"]
            if _class_kind(target) and _class_kind(target) == _class_kind(prediction):
                return pc.equal(target, prediction).fill_null(False).to_numpy()
        for metric in record.binary:
            if (values := _column_as_floats(samples, metric)) is not None:
                return values == 1.0
        return None


def _class_kind(values: pa.ChunkedArray) -> str:
    """Return how a column names classes, `number` or `text`; empty for measures or lists."""
    from pyarrow import types

    kind = values.type
    if types.is_integer(kind):
        return "number"
    return "text" if types.is_string(kind) or types.is_large_string(kind) else ""


def _column_as_floats(samples: pa.Table, name: str) -> Any:
    """Return a column as numbers; None if it is absent or holds something else."""
    if name not in samples.column_names:
        return None
    try:
        return samples[name].to_pandas().to_numpy(dtype=float)
    except (TypeError, ValueError):
        return None


def _column_values(values: pa.ChunkedArray) -> list[Any]:
    """Return a column's values for JSON, those of the common types without a loop over kinds."""
    from pyarrow import types

    kind = values.type
    if types.is_float32(kind) or types.is_float64(kind):
        return [v if v is None else _round(v) for v in values.to_pylist()]
    if values.null_count == 0 and (types.is_boolean(kind) or types.is_integer(kind)):
        return list(values.to_pylist())
    if types.is_string(kind):
        return [v if v is None else v[:TEXT] for v in values.to_pylist()]
    return [_json_value(v) for v in values.to_pandas()]


def _round(value: float) -> Any:
    shown = json_number(value)
    return float(f"{shown:.4g}") if isinstance(shown, float) else shown


def _json_value(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return _round(float(value))
    return None if value is None else str(value)[:TEXT]
