"""Rows of published results in a table: marked as such, few enough to read, and where one's own rows stand among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.leaderboard.entries import Column, Row, TableValue, format_number
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.published.background import Background
from harness.published.comparability import (
    OwnFacts,
    collect_own_facts,
    describe_differences,
    describe_unknown,
)
from harness.statistics.standing import choose_around, find_standing

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

NEAREST = 2
"""Published rows shown above and below each of one's own, unless a table says how many."""

COMMON = ("experiment", "protocol", "metric")
"""Coordinates of columns that published results share, beside data sets and their tags."""


def add_published(
    table: Table, spec: TableSpec, data: pd.DataFrame, background: Background, store: Store | None
) -> None:
    """Add rows of published models to a table whose rows are models.

    A place that is a mean over several data sets gets the mean over the same ones, or nothing.
    """
    if not _has_models(table, background):
        return
    if problem := _find_obstacle(spec):
        table.note(f"no published results here: {problem}")
        return
    own = collect_own_facts(data, store)
    depth = len(table.column_names)
    datasets = _datasets_by_column(data, table.column_names)
    rests = [datasets.get(c.header[:depth], ()) if c.kind == "value" else () for c in table.columns]
    values = [
        background.average(column.metric, here) if here else None
        for column, here in zip(table.columns, rests, strict=True)
    ]
    names = ["model" if name == "model" else "" for name in spec.rows]
    rows: dict[int, Row] = {}
    for n, label in enumerate(background.labels):
        numbers = [None if v is None or np.isnan(v[n]) else float(v[n]) for v in values]
        if any(number is not None for number in numbers):
            entries = [TableValue(number, count=int(number is not None), expected=1) for number in numbers]
            header = tuple(label if name else "" for name in names)
            group = "published" if spec.group else ""
            rows[n] = Row(header, entries, group, background.sets[n])
    _keep_published(table, rows, spec, data, background, rests)
    _explain(table, rows, background, own, rests, "without intervals, ")


def add_published_summary(
    table: Table,
    spec: TableSpec,
    data: pd.DataFrame,
    background: Background,
    store: Store | None,
    taken: bool,
) -> None:
    """Keep those rows of published models that a summary gave which show where one's own stand, and explain them.

    `taken` says whether the summary takes published results at all.
    """
    if not _has_models(table, background):
        return
    if not taken:
        table.note("no published results here: the summary takes none")
        return
    place = {label: n for n, label in enumerate(background.labels)}
    rows = {
        next(place[text] for text in row.header if text in place): row for row in table.rows if row.published
    }
    table.rows = [row for row in table.rows if not row.published]
    if rows:
        _keep_published(table, rows, spec, data, background)
    else:
        table.note(f"published results have a part in these numbers: {_join_names(background)}")
    own = collect_own_facts(data, store)
    labels = tuple(dict.fromkeys(map(str, data["at.dataset"])))
    # only the summary knows on which data sets a number rests, unless its column names one
    rests = [tuple(name for name in labels if name in column.header) or labels for column in table.columns]
    _explain(table, rows, background, own, rests, "")


def _explain(
    table: Table,
    rows: Mapping[int, Row],
    background: Background,
    own: OwnFacts,
    rests: Sequence[Sequence[str]],
    lacking: str,
) -> None:
    """Add footnotes on what differs, on where the sets are from, and on what they don't state.

    `rests` are the data sets on which the numbers of each column rest.
    """
    kept = {id(row) for row in table.rows}
    has: dict[str, NDArray[np.bool_]] = {}
    for (_, name), numbers in background.numbers.items():
        has[name] = has.get(name, False) | ~np.isnan(numbers)
    for n, row in rows.items():
        if id(row) in kept:
            for entry, datasets in zip(row.entries, rests, strict=True):
                resting = [name for name in datasets if name in has and has[name][n]]
                text = describe_differences(background, n, resting, own) if entry.value is not None else ""
                entry.notes += [table.note(text)] if text else []
    if kept and not own.values:
        table.note(
            "how the rows that are not published were made is not recorded here: whether they compare is unknown"
        )
    shown = dict.fromkeys(row.published for row in table.rows if row.published)
    for name in shown or (() if rows else background.sources):
        unknown = describe_unknown(background, name, own)
        table.note(
            f"[{name}] published, not measured here: {lacking}in no test, never marked as best. "
            f"Source: {background.sources[name]}" + (f". {unknown}" if unknown else "")
        )


def _keep_published(
    table: Table,
    rows: Mapping[int, Row],
    spec: TableSpec,
    data: pd.DataFrame,
    background: Background,
    rests: Sequence[Sequence[str]] = (),
) -> None:
    """Append those of the published rows (by their model's place) that show where one's own rows stand.

    They are chosen by the column that the table is sorted by, else by the first one that has published numbers,
    in which each of one's own numbers gets a footnote on its standing. `rests` are the data sets of each column: a
    mean over some of them stands nowhere among means over all.
    """
    place = _choose_column(table, rows, spec)
    if place is None:
        table.note(f"no published results here: {_join_names(background)} has none of these numbers")
        return
    column, models = table.columns[place], list(rows)
    others = np.array([_number(rows[n].entries[place]) for n in models])
    better = column.higher_is_better is not False
    own = [row for row in table.rows if not row.published]
    nearest = NEAREST if spec.published_rows is None else spec.published_rows
    if nearest == "all":
        order = np.argsort(np.where(np.isnan(others), np.inf, -others if better else others), kind="stable")
        chosen = [int(n) for n in order]
    else:
        around = choose_around([_number(row.entries[place]) for row in own], others, nearest, better)
        same = _find_same(models, data, background)
        chosen = sorted(
            {*around, *same}, key=lambda n: (np.isnan(others[n]), -others[n] if better else others[n])
        )
    shown = " / ".join(filter(None, table.show_header(column)))
    if column.higher_is_better is None:
        table.note(
            f"{shown}: not stated whether more is better, so none is said to be better than published ones"
        )
        own = []
    needed = set(rests[place]) if rests else set()
    measured = _datasets_by_record(data, column.metric) if len(needed) > 1 else None
    for row in own:
        value = row.entries[place].value
        lacking = (
            needed - {measured.get(id) for id in row.entries[place].records}
            if measured is not None
            else set()
        )
        if value is not None and lacking:
            text = f"not compared with published means: without {', '.join(sorted(lacking))}"
            row.entries[place].notes.append(table.note(f"{shown}: {text}"))
        elif value is not None and value == value:
            text = _describe_standing(value, others, [background.labels[n] for n in models], column)
            row.entries[place].notes.append(table.note(f"{shown}: {text}"))
    table.rows += [rows[models[n]] for n in chosen]
    if len(chosen) < len(models):
        table.note(
            f"of {len(models):,} published models: by {shown}, the {nearest} above and the {nearest} below each row, "
            "the best, the quartiles and the worst, and those that were run here, too"
        )


def _has_models(table: Table, background: Background) -> bool:
    """Note the sets that can't be read, and return whether there are published models at all."""
    for problem in background.problems:
        table.note(problem)
    return bool(background.labels)


def _find_obstacle(spec: TableSpec) -> str:
    """Return why a layout has no place for published models, or nothing."""
    if "model" not in spec.rows:
        return "the table's rows are not models"
    if "dataset" in spec.rows or "metric" in spec.rows:
        return "the table's rows are data sets or metrics, too"
    other = [
        n for n in spec.columns if n != "dataset" and n not in COMMON and not n.startswith("tag.dataset.")
    ]
    return f"its columns differ in '{other[0]}', of which published results say nothing" if other else ""


def _datasets_by_column(data: pd.DataFrame, names: Sequence[str]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return the data sets on which the numbers of each column rest."""
    from harness.leaderboard.frame import find_coordinate

    columns = [find_coordinate(data, name) for name in names]
    keys = [[_to_text(v) for v in data[c]] if c else [""] * len(data) for c in columns]
    headers = list(zip(*keys, strict=True)) if keys else [()] * len(data)
    found: dict[tuple[str, ...], dict[str, None]] = {}
    for header, dataset in zip(headers, data.get("at.dataset", ()), strict=True):
        found.setdefault(header, {})[str(dataset)] = None
    return {header: tuple(labels) for header, labels in found.items()}


def _datasets_by_record(data: pd.DataFrame, metric: str) -> dict[str, str]:
    """Return the data set of each record that has the metric."""
    if f"metric.{metric}" not in data:
        return {}
    there = (data["status"] == "ok") & data[f"metric.{metric}"].notna()
    return dict(zip(data["id"][there].map(str), data["at.dataset"][there].map(str), strict=True))


def _to_text(value: object) -> str:
    return "" if value is None or value != value else str(value)


def _choose_column(table: Table, rows: Mapping[int, Row], spec: TableSpec) -> int | None:
    """Return the place of the column that published rows are chosen by; None if they have no number."""
    usable = [
        n
        for n, column in enumerate(table.columns)
        if column.kind == "value" and any(row.entries[n].value is not None for row in rows.values())
    ]
    name = (spec.sort or "").removeprefix("-")
    for n in usable:
        column = table.columns[n]
        if (
            name in ("/".join(column.header), column.header[-1] if column.header else "", column.metric)
            and name
        ):
            return n
    return usable[0] if usable else None


def _find_same(models: Sequence[int], data: pd.DataFrame, background: Background) -> list[int]:
    """Return the places of the published models that were also run here."""
    written: Mapping[str, Sequence[str]] = (data.attrs.get("references") or {}).get("model") or {}
    labels = set(map(str, data["at.model"])) if "at.model" in data else set()
    own = {text for label in labels for text in (label, *written.get(label, ()))}
    return [place for place, n in enumerate(models) if background.written[n] and background.written[n] in own]


def _describe_standing(
    value: float, others: NDArray[np.float64], labels: Sequence[str], column: Column
) -> str:
    """Return between which published models a number stands, and what share of them it is better than."""
    known = np.flatnonzero(~np.isnan(others))
    found = find_standing(value, others[known], column.higher_is_better is not False)

    def name(n: int) -> str:
        return f"{labels[known[n]]} ({format_number(float(others[known[n]]), column)})"

    if found.above is None and found.below is None:
        between = "as good as all of them"
    elif found.above is None:
        between = f"above {name(found.below)}, and below none" if found.below is not None else ""
    elif found.below is None:
        between = f"below {name(found.above)}, and above none"
    else:
        between = f"between {name(found.above)} and {name(found.below)}"
    equal = f", as good as {found.equal:,}" if found.equal else ""
    return f"{between}, better than {100 * found.share:.1f} %{equal} of {found.count:,} published"


def _join_names(background: Background) -> str:
    return ", ".join(f"[{name}]" for name in background.sources)


def _number(entry: TableValue) -> float:
    return float("nan") if entry.value is None else entry.value
