"""Tables of robustness records: average seeds into cells, pair shifts with their references, build output rows.

A records table has one row per ok record: `model`, `dataset`, `method`, `seed`, `status`, a column
per metric, and tags as `tag.model.<key>` and `tag.dataset.<key>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from harness import OptionError
from harness.errors import did_you_mean

OUTPUT = ("model", "method", "dataset", "metric", "value", "low", "high", "count", "note")
"""Columns of a summary's output: `value` with interval `low` to `high` (NaN: none), over `count` cells."""

NAMES = ("model", "method", "dataset")
"""The columns that identify a cell."""

REFERENCE = "tag.dataset.reference"
CORRUPTION = "tag.dataset.corruption"
SEVERITY = "tag.dataset.severity"
STANDARD = "tag.model.standard"


def average_seeds(records: pd.DataFrame, metric: str, also: Sequence[str] = ()) -> pd.DataFrame:
    """Return one row per model, method and data set: the mean of `metric` over seeds, and the seeds' values.

    Columns: model, method (empty for none), dataset, the tag columns above and `also` (NaN if the table lacks
    them), `value` and `seeds` (seed → value). Rows that are not ok or lack the metric are left out.
    Raises OptionError if the table has no such metric, or different values for one seed.
    """
    columns = [REFERENCE, CORRUPTION, SEVERITY, STANDARD, *also]
    if records.empty:
        return pd.DataFrame(columns=[*NAMES, *columns, "value", "seeds"])
    if metric not in records:
        known = [c for c in records.select_dtypes("number").columns if c != "seed"]
        raise OptionError(f"summary: the records have no metric {metric!r}{did_you_mean(metric, known)}")
    table = records.reindex(columns=[*NAMES, "seed", "status", metric, *columns])
    table = table[table[metric].notna()]
    if "status" in records:
        table = table[table["status"] == "ok"]
    table = table.assign(method=table["method"].astype(object).where(table["method"].notna(), ""))
    # one pass over plain values: pandas groups take minutes for thousands of cells
    found: dict[tuple[Any, Any, Any], dict[str, Any]] = {}
    for record in table.to_dict("records"):
        key = record["model"], record["method"], record["dataset"]
        cell = found.setdefault(
            key, dict(zip(NAMES, key, strict=True)) | {c: record[c] for c in columns} | {"seeds": {}}
        )
        seed, value = record["seed"], float(record[metric])
        if cell["seeds"].setdefault(seed, value) != value:
            raise OptionError(
                f"summary: several records of {key[0]!r} on {key[2]!r} for one seed, with different {metric}; "
                "select one with the table's `where`"
            )
    for cell in found.values():
        cell["value"] = float(np.mean(list(cell["seeds"].values())))
    return pd.DataFrame(list(found.values()), columns=[*NAMES, *columns, "value", "seeds"])


def pair_with_references(table: pd.DataFrame, corruptions: bool = False) -> pd.DataFrame:
    """Return the cells on shifts, each paired with the same model's cell on the reference.

    A shift is a data set whose `reference` tag names another data set; corrupted ones count only with
    `corruptions`. Adds `reference` (its name), `reference_value` and `reference_seeds` (NaN and empty if that
    cell is missing).
    """
    named = table[REFERENCE].notna() & (table[REFERENCE] != table["dataset"])
    if not corruptions:
        named &= table[CORRUPTION].isna()
    out = table[named].rename(columns={REFERENCE: "reference"})
    missing: tuple[float, dict[Any, float]] = (np.nan, {})
    by_cell = {(r.model, r.method, r.dataset): (r.value, r.seeds) for r in iterate_shift_rows(table)}
    found = [by_cell.get((r.model, r.method, r.reference), missing) for r in iterate_shift_rows(out)]
    return out.assign(
        reference_value=pd.Series([v for v, _ in found], index=out.index, dtype=float),
        reference_seeds=pd.Series([s for _, s in found], index=out.index, dtype=object),
    )


def iterate_shift_rows(table: pd.DataFrame) -> Iterator[Any]:
    """Yield the table's rows with their columns as attributes, typed Any."""
    yield from table.itertuples()


def is_true(tag: object) -> bool:
    """Return whether a tag is true; tables read from text hold a word."""
    return tag is True or str(tag).lower() in ("true", "1", "1.0", "yes")


def seed_interval(values: Iterable[float], level: float = 0.95) -> tuple[float, float]:
    """Return the Student-t interval of the mean over seeds; NaN for fewer than two."""
    from scipy.stats import t

    x = np.asarray(list(values), dtype=np.float64)
    if len(x) < 2:
        return np.nan, np.nan
    half = t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x))
    return float(x.mean() - half), float(x.mean() + half)


def make_shift_row(
    cell: Any,
    metric: str,
    value: float,
    interval: tuple[float, float] = (np.nan, np.nan),
    count: int = 1,
    note: str = "",
    dataset: str | None = None,
) -> dict[str, Any]:
    """Return an output row for the model and method of `cell` (anything with these attributes)."""
    named = cell.dataset if dataset is None else dataset
    return dict(zip(OUTPUT, (cell.model, cell.method, named, metric, value, *interval, count, note)))


def make_shift_table(rows: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a table with the output columns, even if there are no rows."""
    return pd.DataFrame(list(rows), columns=list(OUTPUT))


def note_missing(names: Iterable[str], expected: Iterable[str], what: str) -> str:
    """Return a note on the `expected` names that an aggregate lacks; empty if it has all.

    `expected` holds each name once: deduplicating here would repeat a pass over all cells for every model.
    """
    names, expected = set(names), list(expected)
    missing = [name for name in expected if name not in names]
    if not missing:
        return ""
    shown = ", ".join(missing[:8]) + (", …" if len(missing) > 8 else "")
    return f"rests on {len(expected) - len(missing)} of {len(expected)} {what}; missing {shown}"
