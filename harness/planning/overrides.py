"""Changes of single keys in the content of a suite file: `--set`, and an edition's `set`."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from harness.errors import SuiteError, did_you_mean, nearest


def set_key(
    data: dict[str, Any],
    key: str,
    value: Any,
    known: Collection[str],
    references: Collection[str],
    where: str,
) -> None:
    """Set a dotted key; a number steps into a list, a name into a list of tables with that name.

    A short form (`timm:resnet50`) under one of the keys `references` becomes a table when one of its options
    is set. Raises SuiteError, starting with `where`, if there is no such place; `known` are the keys on top.
    """
    *path, last = key.split(".")
    here: Any = data
    section = ""
    for depth, part in enumerate(path):
        if here is data and part not in data and part not in known:
            raise SuiteError(f"{where} {key}: unknown key '{part}'{did_you_mean(part, known)}")
        place: Any = part
        if isinstance(here, list):
            place = _find_index(here, part, f"{where} {key}")
        else:
            section = part
            here.setdefault(part, {})
        if isinstance(here[place], str) and section in references:
            here[place] = {"plugin": here[place]}
        here = here[place]
        if not isinstance(here, list | dict):
            raise SuiteError(f"{where} {key}: '{'.'.join(path[: depth + 1])}' is not a table")
    here[_find_index(here, last, f"{where} {key}") if isinstance(here, list) else last] = value


def _find_index(items: list[Any], part: str, where: str) -> int:
    if part.isdigit() and int(part) < len(items):
        return int(part)
    names = [
        str(i.get("name") or i.get("label") or i.get("plugin")) if isinstance(i, dict) else str(i)
        for i in items
    ]
    if part in names:
        return names.index(part)
    hint = f"; did you mean '{near}'?" if (near := nearest(part, names)) else ""
    raise SuiteError(f"{where}: no entry '{part}' among {len(items)}{hint}")
