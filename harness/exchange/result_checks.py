"""Checks that a result read by an importer can become a record: names, numbers, directions, axes, seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import orjson

from harness.errors import did_you_mean
from harness.exchange.contract import ImportedPart, ImportedResult

TABLES = ("metrics", "directions", "units", "axes", "settings", "notes")
"""What is given by name."""

COORDINATES = ("experiment", "protocol", "model", "dataset", "method", "seed")
"""The coordinates that every record has; an axis can't have the name of one."""


def find_fault(found: Any) -> str | None:
    """Return what a result has that no record can hold, and what was expected; None if it is sound."""
    wrong = next(_find_wrong(found), None)
    return wrong and f"{wrong[0]}: expected {wrong[1]}, found {wrong[2]!r:.80}"


def _find_wrong(found: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield place, expectation and value; each check rests on those before it."""
    if not isinstance(found, ImportedResult):
        yield "a result", "an ImportedResult", found
    for name in ("protocol", "model", "dataset"):
        if not isinstance(part := getattr(found, name), ImportedPart):
            yield f"the {name}", "an ImportedPart", part
        for key in ("options", "tags"):
            if not isinstance(table := getattr(part, key), Mapping):
                yield f"the {key} of the {name}", "a mapping", table
        for key in ("plugin", "label"):
            if not isinstance(text := getattr(part, key), str) or not text.strip():
                yield f"the {key} of the {name}", "a text", text
    for name in (*TABLES, "written", "origin", "samples"):
        if not isinstance(table := getattr(found, name), Mapping):
            yield name, "a mapping", table
        yield from (
            (f"a name in {name}", "a text", k) for k in table if not isinstance(k, str) or not k.strip()
        )
    if not found.metrics:
        yield "metrics", "at least one", dict(found.metrics)
    for name, value in found.metrics.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            yield f"metrics.{name}", "a number", value
        if isinstance(value, int) and abs(value) > 1e308:
            yield f"metrics.{name}", "a number that a float can hold", value
        if not isinstance(direction := found.directions.get(name), bool):
            yield f"directions.{name}", "whether larger is better, True or False", direction
    for table in ("directions", "units", "written"):
        for name in set(getattr(found, table)) - set(found.metrics):
            yield table, f"names of its metrics{did_you_mean(name, found.metrics).replace(';', ',')}", name
    for table in ("written", "origin"):
        for name, text in getattr(found, table).items():
            if not isinstance(text, str):
                yield f"{table}.{name}", "a text", text
    yield from _find_wrong_samples(found)
    if isinstance(found.seed, bool) or not isinstance(found.seed, int):
        yield "the seed", "a whole number", found.seed
    for name, value in {**found.axes, "seed": found.seed}.items():
        if name in COORDINATES and name in found.axes:
            yield "the axes", f"other names than {', '.join(COORDINATES)}", name
        try:
            orjson.dumps(value)
        except TypeError as error:  # no JSON, or a whole number beyond 64 bits
            yield f"{name} ({error})", "a value that JSON can hold", value


def _find_wrong_samples(found: ImportedResult) -> Iterator[tuple[str, str, Any]]:
    for name, number in (("the count", found.count), ("the line", found.line)):
        if number is not None and (isinstance(number, bool) or not isinstance(number, int) or number < 0):
            yield name, "a whole number, or None", number
    if odd := [name for name in found.binary if name not in found.metrics]:
        yield "binary", "names of its metrics", odd[0]
    if isinstance(found.remarks, str) or not all(isinstance(text, str) for text in found.remarks):
        yield "remarks", "texts", found.remarks
    if not found.samples:
        return
    if "id" not in found.samples:
        yield "samples", "a column 'id'", list(found.samples)
    sizes = {name: len(column) for name, column in found.samples.items()}
    if len(set(sizes.values())) > 1:
        yield "samples", "columns of equal length", sizes
