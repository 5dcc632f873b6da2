"""Checks that a result read by an importer can become a record: names, numbers, directions, axes, seed."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import orjson

from harness.errors import HarnessError, did_you_mean
from harness.exchange.contract import ImportedPart, ImportedResult

COORDINATES = ("experiment", "protocol", "model", "dataset", "method", "seed")
"""The coordinates that every record has; an axis can't have the name of one."""


def find_fault(found: Any) -> str | None:
    """Return what a result has that no record can hold, and what was expected; None if it is sound."""
    try:
        _check(found)
    except _Fault as fault:
        return str(fault)
    return None


class _Fault(HarnessError):
    def __init__(self, what: str, expected: str, found: Any) -> None:
        super().__init__(f"{what}: expected {expected}, found {found!r:.80}")


def _check(found: Any) -> None:
    if not isinstance(found, ImportedResult):
        raise _Fault("a result", "an ImportedResult", found)
    for name in ("protocol", "model", "dataset"):
        part = getattr(found, name)
        if not isinstance(part, ImportedPart):
            raise _Fault(f"the {name}", "an ImportedPart", part)
        for key in ("plugin", "label"):
            if not isinstance(text := getattr(part, key), str) or not text.strip():
                raise _Fault(f"the {key} of the {name}", "a text", text)
    for name in ("metrics", "directions", "units", "axes", "settings", "notes"):
        if not isinstance(table := getattr(found, name), Mapping):
            raise _Fault(name, "a mapping", table)
        for key in table:
            if not isinstance(key, str) or not key.strip():
                raise _Fault(f"a name in {name}", "a text", key)
    _check_numbers(found)
    if isinstance(found.seed, bool) or not isinstance(found.seed, int):
        raise _Fault("the seed", "a whole number", found.seed)
    for name, value in {"seed": found.seed, **found.axes}.items():
        if name in COORDINATES and name in found.axes:
            raise _Fault("the axes", f"other names than {', '.join(COORDINATES)}", name)
        try:
            orjson.dumps(value)
        except TypeError as error:  # no JSON, or a whole number beyond 64 bits
            raise _Fault(f"{name} ({error})", "a value that JSON can hold", value) from None


def _check_numbers(found: ImportedResult) -> None:
    if not found.metrics:
        raise _Fault("metrics", "at least one", dict(found.metrics))
    for name, value in found.metrics.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise _Fault(f"metrics.{name}", "a number", value)
        try:
            float(value)
        except OverflowError:
            raise _Fault(f"metrics.{name}", "a number that a float can hold", value) from None
        if not isinstance(direction := found.directions.get(name), bool):
            raise _Fault(f"directions.{name}", "whether larger is better, True or False", direction)
    for table in ("directions", "units"):
        for name in getattr(found, table):
            if name not in found.metrics:
                hint = did_you_mean(name, found.metrics)
                raise _Fault(table, f"names of its metrics{hint.replace(';', ',')}", name)
