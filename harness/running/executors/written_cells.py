"""Cells as JSON, for processes that read their cells from a file; nothing is unpickled.

A part is written as its reference and its identity, and resolved again by whoever reads it, as a pickled
part is. Cells name their parts by number: cells that share a part share it afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from harness.contract.cells import Cell, Part
from harness.discovery.parts import refer_to, restore_part
from harness.discovery.reference import Reference
from harness.errors import HarnessError

PLAIN = ("suite", "experiment", "seed", "precision", "images", "limit")
"""The fields of a cell that JSON holds as they are."""


def write_cells(cells: Sequence[Cell]) -> dict[str, Any]:
    """Return the cells as JSON-able content; options may hold secrets, so its file is private."""
    parts: dict[int, int] = {}
    written: list[dict[str, Any]] = []

    def number(part: Part | None) -> int | None:
        if part is None:
            return None
        if id(part) not in parts:
            parts[id(part)] = len(written)
            written.append(_write_part(part))
        return parts[id(part)]

    entries = [
        {name: getattr(cell, name) for name in PLAIN}
        | {name: number(getattr(cell, name)) for name in ("protocol", "model", "dataset", "method")}
        | {
            "id": cell.id,
            "metrics": [number(metric) for metric in cell.metrics],
            "axes": dict(cell.axes),
            "remarks": list(cell.remarks),
        }
        for cell in cells
    ]
    # tags may hold what JSON lacks, such as dates, which are text in records too
    content: dict[str, Any] = json.loads(json.dumps({"parts": written, "cells": entries}, default=str))
    return content


def read_cells(content: Mapping[str, Any]) -> list[Cell]:
    """Return the cells of `write_cells`, their parts resolved in this process.

    A part that changed meanwhile has a `problem`, which fails its cells. Raises HarnessError for a plugin
    that is not installed here, and for a cell whose id is not the one that was written.
    """
    parts = [_read_part(entry) for entry in content["parts"]]
    found = []
    for entry in content["cells"]:
        named: dict[str, Any] = {
            name: None if entry[name] is None else parts[entry[name]]
            for name in ("protocol", "model", "dataset", "method")
        }
        cell = Cell(
            **{name: entry[name] for name in PLAIN},
            **named,
            metrics=tuple(parts[number] for number in entry["metrics"]),
            axes=entry["axes"],
            remarks=entry["remarks"],
        )
        if cell.id != entry["id"]:
            raise HarnessError(f"{cell.shown}: read as cell {cell.id}, but written as {entry['id']}")
        found.append(cell)
    return found


def _write_part(part: Part) -> dict[str, Any]:
    reference = refer_to(part)
    return {
        "kind": part.kind,
        "plugin": reference.plugin,
        "options": dict(reference.options),
        "label": reference.label,
        "tags": dict(reference.tags),
        "identity": part.identity,
        "skip_unreadable": part.skip_unreadable,
    }


def _read_part(entry: Mapping[str, Any]) -> Part:
    reference = Reference(entry["plugin"], entry["options"], label=entry["label"], tags=entry["tags"])
    return restore_part(entry["kind"], reference, entry["identity"], entry["skip_unreadable"])
