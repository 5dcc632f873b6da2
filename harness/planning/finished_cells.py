"""Finished cells of a store that are like one to run: found by labels in the index, confirmed by their records."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson

from harness.contract.cells import Cell, Part, canonical_json
from harness.planning.time_estimate import Finished
from harness.records.index import refresh_table
from harness.records.provenance import host_facts
from harness.records.record import Record
from harness.records.redaction import redact
from harness.records.store import Store

NEWEST = 5
"""Records that are read for one kind of likeness to one cell: enough for a median."""

PARTS = ("protocol", "model", "dataset", "method")

SHARED: tuple[tuple[str, ...], ...] = (
    ("protocol", "model", "dataset", "method", "axes"),
    ("protocol", "model", "dataset", "method"),
    ("protocol", "model", "dataset"),
    ("protocol", "model", "method"),
    ("protocol", "model"),
    ("protocol",),
)
"""What finished cells share with the one to run, in the order of `KINDS`."""

SETTINGS = ("precision", "images", "limit")
"""What they always share, beside the protocol."""


class FinishedCells:
    """The ok records of a store that know their seconds. Only those that may be alike are opened."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._rows = _read_rows(store)
        self._groups: dict[int, dict[Hashable, list[int]]] = {}
        self._records: dict[str, Record | None] = {}
        self._identities: dict[str, Any] = {}
        self._found: dict[Hashable, Sequence[Finished]] = {}
        self._host = host_facts()

    def like(self, cell: Cell, kind: int) -> Sequence[Finished]:
        """Return the newest finished cells that are like this one in that way, all of one machine, this if possible.

        Labels only find candidates: plugins count as the same if all that decides their results is.
        """
        names = SHARED[kind]
        settings = tuple(getattr(cell, name) for name in SETTINGS)
        identities = tuple(p.identity if (p := getattr(cell, n)) else "" for n in names if n != "axes")
        axes = canonical_json(dict(cell.axes)) if "axes" in names else ""
        key = (kind, identities, axes, settings)
        if key not in self._found:
            self._found[key] = self._find(cell, kind)
        return self._found[key]

    def _find(self, cell: Cell, kind: int) -> Sequence[Finished]:
        names = SHARED[kind]
        at = cell.coordinates
        labels: dict[str, Hashable] = {name: _encode(at[name]) for name in PARTS}
        labels["axes"] = _encode_axes({name: _encode(value) for name, value in cell.axes.items()})
        rows = self._group(kind).get(tuple(labels[name] for name in names), [])
        found = []
        for row in rows[:NEWEST]:
            id, seconds = self._rows[row]["id"], self._rows[row]["seconds"]
            if (record := self._open(id)) is not None and self._is_alike(record, cell, names):
                machine, here = name_machine(record.provenance), record.provenance.get("host") == self._host
                found.append(Finished(id, seconds, machine, here))
        best = next((one for one in found if one.here), found[0] if found else None)
        return [one for one in found if best and (one.machine, one.here) == (best.machine, best.here)]

    def _group(self, kind: int) -> dict[Hashable, list[int]]:
        """Return the rows by what they share in that way, the newest first."""
        if kind not in self._groups:
            groups: dict[Hashable, list[int]] = defaultdict(list)
            for number, row in enumerate(self._rows):
                groups[tuple(row[name] for name in SHARED[kind])].append(number)
            self._groups[kind] = groups
        return self._groups[kind]

    def _open(self, id: str) -> Record | None:
        if id not in self._records:
            self._records[id] = self._store.read(id)
        return self._records[id]

    def _is_alike(self, record: Record, cell: Cell, names: Sequence[str]) -> bool:
        same = all(record.cell.get(name) == getattr(cell, name) for name in SETTINGS)
        parts = [name for name in names if name in PARTS]
        return same and all(
            _identity_in(record.cell.get(name)) == self._identity(getattr(cell, name)) for name in parts
        )

    def _identity(self, part: Part | None) -> Any:
        """Return the identity of a part as records hold it: without secrets."""
        if part is None:
            return None
        if part.identity not in self._identities:
            self._identities[part.identity] = redact(json.loads(part.identity))
        return self._identities[part.identity]


def name_machine(provenance: Mapping[str, Any]) -> str:
    """Return what a record ran on, as people say it: the GPU, or the processor and its threads."""
    device, host = provenance.get("device") or {}, provenance.get("host") or {}
    if device.get("name"):
        return str(device["name"])
    cpu, threads = host.get("cpu") or host.get("machine") or "", device.get("threads")
    kind = "" if device.get("type") in (None, "cpu") else f"{device['type']} of "
    return f"{kind}{cpu}, {threads} thread{'' if threads == 1 else 's'}" if threads else f"{kind}{cpu}"


def _identity_in(described: Any) -> Any:
    return described.get("identity") if isinstance(described, Mapping) else None


def _read_rows(store: Store) -> list[dict[str, Any]]:
    """Return id, seconds without one-time work, and coordinates as JSON of all ok records, the newest first."""
    table = refresh_table(store)
    names = table.column_names
    if "cost.seconds" not in names:
        return []
    at = [name for name in names if name.startswith("at.") and name not in ("at.experiment", "at.seed")]
    wanted = ["id", "status", "started", "cost.seconds", *at]
    columns: dict[str, list[Any]] = {name: table[name].to_pylist() for name in wanted}
    nothing: list[Any] = [None] * table.num_rows
    once = table["cost.one_time_seconds"].to_pylist() if "cost.one_time_seconds" in names else nothing
    axes = [name for name in at if name[3:] not in PARTS]
    parts: dict[str, list[Any]] = {name: columns.get(f"at.{name}", nothing) for name in PARTS}
    rows: list[dict[str, Any]] = []
    for n, seconds in enumerate(columns["cost.seconds"]):
        if columns["status"][n] != "ok" or seconds is None or not 0 <= seconds < float("inf"):
            continue
        row = {name: parts[name][n] for name in PARTS}
        row["axes"] = _encode_axes({name[3:]: v for name in axes if (v := columns[name][n]) is not None})
        row |= {"id": columns["id"][n], "seconds": max(0.0, seconds - (once[n] or 0.0))}
        row["started"] = columns["started"][n] or ""
        rows.append(row)
    return sorted(rows, key=itemgetter("started", "id"), reverse=True)


def _encode(value: Any) -> str:
    """Return a coordinate as the index writes it."""
    return orjson.dumps(value, default=str).decode()


def _encode_axes(axes: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(axes.items()))
