"""The layout of a suite that declares no table, and what a table's numbers are means over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.leaderboard.table import Table
from harness.leaderboard.titles import title_coordinate
from harness.planning.suite import Suite, TableSpec

if TYPE_CHECKING:
    import pandas as pd

LONGEST = 6
"""This many values of a coordinate are listed; more are counted."""


def with_tables(suite: Suite, data: pd.DataFrame) -> Suite:
    """Return the suite with a plain table if it declares none: whatever varies, beside data sets, is in rows."""
    if suite.tables:
        return suite
    names = [c.removeprefix("at.") for c in data.columns if c.startswith("at.")]
    varying = [n for n in names if len(set(map(_to_text, data[f"at.{n}"]))) > 1]
    rows = [n for n in varying if n not in ("model", "dataset", "seed", "experiment")]
    if "model" not in names or any(data["at.model"]) or not rows:
        rows = ["model", *rows]
    # experiments mostly differ in what they vary: they are named only if their cells would fall together
    shown = [*rows, "dataset"]
    if "experiment" in varying and "experiment" in _averaged(data, shown):
        rows.append("experiment")
    table = TableSpec(name=suite.name, title=suite.title or suite.name, rows=rows)
    return suite.model_copy(update={"tables": [table]})


def note_averages(table: Table, data: pd.DataFrame, shown: Sequence[str]) -> None:
    """Add a footnote that names the coordinates, other than seeds, over which numbers are means."""
    averaged = _averaged(data, shown)
    # an experiment or protocol that differs together with other coordinates explains nothing more
    named = {n: v for n, v in averaged.items() if n not in ("experiment", "protocol")} or averaged
    if named:
        texts = [
            f"{len(values)} data sets"
            if name == "dataset"
            else f"{title_coordinate(name, data.attrs.get('titles', {})).lower()} ({_list_values(values)})"
            for name, values in named.items()
        ]
        table.note(f"numbers are means over {' and '.join(texts)}")


def _averaged(data: pd.DataFrame, shown: Sequence[str]) -> dict[str, list[str]]:
    """Return the coordinates that differ within a place of the table, with the most values of any place."""
    columns = {c.removeprefix("at."): c for c in data.columns if c.startswith("at.")}
    columns |= {c: c for c in data.columns if c.startswith("tag.")}
    keys = [[_to_text(v) for v in data[columns[n]]] for n in shown if n in columns]
    keys += [
        [_to_text(v) for v in data[f"tag.{n}"]] for n in shown if n not in columns and f"tag.{n}" in data
    ]
    places = list(zip(*keys, strict=True)) if keys else [()] * len(data)
    found = {}
    for name, column in columns.items():
        if name in shown or name == "seed" or column.startswith("tag."):
            continue
        inside: dict[tuple[str, ...], dict[str, None]] = {}
        for place, value in zip(places, data[column], strict=True):
            inside.setdefault(place, {})[_to_text(value)] = None
        most = max(inside.values(), key=len, default={})
        if len(most) > 1:
            found[name] = list(most)
    return found


def _list_values(values: Sequence[str]) -> str:
    return ", ".join(values) if len(values) <= LONGEST else f"{len(values)} values"


def _to_text(value: Any) -> str:
    return "" if value is None or value != value else str(value)
