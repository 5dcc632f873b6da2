"""The details of each record that the page shows on demand, with equal parts written once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from harness.records.record import Record
from harness.records.store import Store
from harness.reporting.index import json_number
from harness.reporting.samples import Excerpts

CHUNK = 200
"""Records per block of JSON; the page parses a block when the reader opens one of its records."""


class Pool:
    """Distinct values by number: most records share their plugins, options and environment."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[bytes, int] = {}

    def add(self, value: Any) -> int:
        """Return the number of a value, after adding it if it is new."""
        key = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS, default=str)
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(value)
        return self._places[key]


def detail_chunks(store: Store, ids: Sequence[str], excerpts: Excerpts, pool: Pool) -> Iterator[list[Any]]:
    """Yield the details of all records in order, in blocks; None for a missing record."""
    for start in range(0, len(ids), CHUNK):
        block = []
        for id in ids[start : start + CHUNK]:
            record = store.read(id)
            block.append(None if record is None else _record_detail(record, excerpts, pool))
        yield block


def _record_detail(record: Record, excerpts: Excerpts, pool: Pool) -> dict[str, Any]:
    provenance = dict(record.provenance)
    own = {k: provenance.pop(k) for k in ("started", "ended") if k in provenance}
    detail: dict[str, Any] = {
        "metrics": {k: json_number(v) for k, v in record.metrics.items()},
        "cost": {k: json_number(v) for k, v in record.cost.items()},
        "count": record.count,
        "run": own,
        "tags": pool.add(record.tags),
        "parts": {name: pool.add(_without_identity(part)) for name, part in record.cell.items()},
        "provenance": {k: pool.add(v) for k, v in provenance.items()},
        "files": pool.add([f for f in record.files if f != "samples"]),
    }
    # the index has the remarks, with those of the plan
    if notes := {k: v for k, v in record.notes.items() if k != "remarks"}:
        detail["notes"] = pool.add(notes)
    if record.traceback:
        detail["traceback"] = pool.add(record.traceback)
    if "samples" in record.files:
        detail["samples"] = excerpts.excerpt(record)
    return {k: v for k, v in detail.items() if v not in (None, {}, [])}


def _without_identity(part: Any) -> Any:
    """Return a part without its identity, which repeats name, version and options."""
    if isinstance(part, list):
        return [_without_identity(p) for p in part]
    return {k: v for k, v in part.items() if k != "identity"} if isinstance(part, dict) else part
