"""An excerpt of each record's per-sample outputs: the surest misses and the surest hits."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.record import Record
from harness.report.index import number
from harness.report.thumbnails import Thumbnails
from harness.store import Store

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = 10
TEXT = 200


def fair_order(ids: Sequence[str], models: Sequence[str], seeds: Sequence[str]) -> list[str]:
    """The ids so that the first few of them hold something of every model, and few seeds of the same cell."""
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
    """Chooses at most `rows` samples of each of the records whose ids are `wanted`."""

    def __init__(self, store: Store, thumbnails: Thumbnails, wanted: Collection[str], rows: int = 60) -> None:
        self.store, self.thumbnails, self.wanted, self.rows = store, thumbnails, wanted, rows

    def of(self, record: Record) -> dict[str, Any]:
        """The excerpt as JSON-able data; `note` says what is not there and why."""
        path = self.store.file("samples", record.id, ".parquet").relative_to(self.store.path)
        if record.id not in self.wanted:
            return {"note": f"Left out to keep this page small; in the store they are {path.as_posix()}."}
        samples = self.store.samples(record.id)
        if samples is None or "id" not in samples.columns:
            return {"note": f"{path.as_posix()} is missing in the store."}
        hits = self._hits(record, samples)
        chosen = self._chosen(samples, hits)
        names = [str(c) for c in samples.columns[:COLUMNS]]
        part = samples.iloc[chosen]
        excerpt: dict[str, Any] = {
            "total": len(samples),
            "columns": names,
            "rows": [
                [_shown(v) for v in row] for row in part[samples.columns[:COLUMNS]].to_numpy(dtype=object)
            ],
        }
        if hits is not None:
            excerpt |= {"hit": [int(hits[n]) for n in chosen], "hits": int(hits.sum())}
        ids = [str(i) for i in part["id"]]
        classes = {int(v) for c in ("target", "prediction") if c in part.columns for v in part[c].tolist()}
        return excerpt | self.thumbnails.of(record, ids, classes)

    def _chosen(self, samples: pd.DataFrame, hits: Any) -> list[int]:
        """Half misses and half hits, as far as there are so many, the surest first."""
        if hits is None:
            return list(range(min(len(samples), self.rows)))
        sure = (
            samples["confidence"].to_numpy(dtype=float)
            if "confidence" in samples.columns
            else np.zeros(len(samples))
        )
        order = np.argsort(-sure, kind="stable")
        misses, right = order[~hits[order]], order[hits[order]]
        few = min(len(misses), max(self.rows // 2, self.rows - len(right)))
        return [*misses[:few].tolist(), *right[: self.rows - few].tolist()]

    @staticmethod
    def _hits(record: Record, samples: pd.DataFrame) -> Any:
        if {"target", "prediction"} <= set(samples.columns):
            return (samples["target"] == samples["prediction"]).to_numpy(dtype=bool)
        for metric in record.binary:
            if metric in samples.columns:
                return samples[metric].to_numpy(dtype=float) == 1.0
        return None


def _shown(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        shown = number(float(value))
        return float(f"{shown:.4g}") if isinstance(shown, float) else shown
    return None if value is None else str(value)[:TEXT]
