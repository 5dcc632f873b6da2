"""From records to tables: grouping, aggregation over seeds, baselines, row order, footnotes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.averages import deviation, mean
from harness.leaderboard.default_layout import note_averages, with_tables
from harness.leaderboard.entries import METRIC, Column, Row, TableValue
from harness.leaderboard.frame import find_coordinate, match_coordinate
from harness.leaderboard.metric_finder import FindMetric, find_metrics, metric_references
from harness.leaderboard.sorting import sort_rows
from harness.leaderboard.table import Table, empty_table
from harness.leaderboard.titles import describe_number, title_coordinate
from harness.planning.suite import Suite, TableSpec

if TYPE_CHECKING:
    import pandas as pd

    from harness.published.background import Background

MOST_NUMBERS = 12
"""How many numbers of one metric a plain table shows."""


def build_tables(suite: Suite, data: pd.DataFrame, store: Any = None) -> list[Table]:
    """Return all leaderboards that the suite declares, or a plain one if it declares none."""
    from harness.leaderboard.summary_table import build_summary_table

    specs = with_tables(suite, data).tables
    tables = []
    find = find_metrics(suite)
    backgrounds: dict[tuple[str, ...], Background] = {}
    for spec in specs:
        if not spec.values and not spec.summary:
            spec = spec.model_copy(update={"values": _suite_metrics(suite, data)})
        spec, unsorted = _drop_absent_sort(suite, spec, data)
        part = select_records(data, spec)
        if len(part) or len(specs) == 1:  # a partial run has nothing for some tables
            names = tuple(suite.published if spec.published is None else spec.published)
            if spec.published_rows is None:
                spec = spec.model_copy(update={"published_rows": suite.published_rows})
            if names and names not in backgrounds:
                from harness.published.background import gather_background

                backgrounds[names] = gather_background(names, data, store, suite.name)
            tables.append(
                build_summary_table(spec, part, store, backgrounds.get(names))
                if spec.summary
                else build_table(spec, part, store, find, backgrounds.get(names))
            )
            if unsorted:
                tables[-1].note(f"not sorted by '{unsorted}', which these records do not have")
            if not len(part) and len(data):
                tables[-1].note("no cell of these records meets the table's `where`")
    if not tables and len(data):
        tables.append(_table_of_nothing(specs))
    return tables


def _drop_absent_sort(suite: Suite, spec: TableSpec, data: pd.DataFrame) -> tuple[TableSpec, str]:
    """If no record has the column to sort by, but the suite knows it, drop `sort` and return its name, too.

    A partial run may leave out the column; a name that the suite does not know is a typo, and stays.
    """
    from harness.leaderboard.checking import coordinate_labels

    name = (spec.sort or "").removeprefix("-")
    labels = coordinate_labels(suite) if name else {}
    for part in name.split("/"):
        for column in spec.columns:
            present = {_to_text(v) for v in data.get(f"at.{column}", ())}
            if part in labels.get(column, {}) and part not in present:
                return spec.model_copy(update={"sort": None}), name
    return spec, ""


def _table_of_nothing(specs: Sequence[TableSpec]) -> Table:
    """Return a table without numbers whose footnote says that no record belongs to any of these tables."""
    names = ", ".join(spec.name for spec in specs)
    table = Table(specs[0].name, specs[0].title or specs[0].name, tuple(specs[0].rows), (), [], [])
    table.note(f"no cell of these records meets the `where` of any table ({names})")
    return table


def _suite_metrics(suite: Suite, data: pd.DataFrame) -> list[str]:
    """Return the numbers of the suite's metrics that records have, or its first metric if they have none.

    Of a metric with several numbers these are all of them, unless they are many (one for each class).
    """
    named = [r.shown for r in metric_references(suite)]
    found = []
    for name in dict.fromkeys(named):
        keys = [c for c in data.columns if c.startswith(f"metric.{name}.")]
        if f"metric.{name}" in data.columns:
            found.append(name)
        elif len(keys) <= MOST_NUMBERS:
            found += [key.removeprefix("metric.") for key in keys]
    return found or named[:1]


def select_records(data: pd.DataFrame, spec: TableSpec) -> pd.DataFrame:
    """Return the rows that meet the table's `where`."""
    keep = np.ones(len(data), dtype=bool)
    # unknown names come last: a partial run may lack the axes of the other parts, and then has no row left
    for key in sorted(spec.where, key=lambda name: find_coordinate(data, name) is None):
        if not keep.any():
            break
        if key.startswith("tag.") and key not in data.columns:
            return data.iloc[:0]  # tags are free: these cells have none of that name
        coordinate_column(data, key, spec)  # raises for an unknown name
        keep &= match_coordinate(data, key, spec.where[key])
    return data[keep].reset_index(drop=True)


def coordinate_column(data: pd.DataFrame, name: str, spec: TableSpec) -> str:
    """Return the frame's column of a coordinate or tag. Raises SuiteError with the nearest name."""
    if found := find_coordinate(data, name):
        return found
    known = [c.removeprefix("at.") for c in data.columns if c.startswith(("at.", "tag."))]
    raise SuiteError(
        f"table '{spec.name}': nothing to lay out by is called '{name}'{did_you_mean(name, [*known, METRIC])}"
    )


def value_column(data: pd.DataFrame, name: str, spec: TableSpec) -> str:
    """Return the frame's column of a metric or cost. Raises SuiteError with the nearest name."""
    for candidate in (f"metric.{name}", f"cost.{name}"):
        if candidate in data.columns:
            return candidate
    known = [c.partition(".")[2] for c in data.columns if c.startswith(("metric.", "cost."))]
    raise SuiteError(f"table '{spec.name}': no record has the value '{name}'{did_you_mean(name, known)}")


def _read_values(data: pd.DataFrame, name: str, spec: TableSpec) -> np.ndarray[Any, Any]:
    """Return every record's value or NaN. Raises SuiteError if ok records exist and none can have the value."""
    failures = "failures" in data and any(data["failures"])  # a failed metric may own the value
    absent = f"metric.{name}" not in data and f"cost.{name}" not in data
    if not (data["status"] == "ok").any() or (failures and absent):
        return np.full(len(data), np.nan)
    return np.asarray(data[value_column(data, name, spec)].to_numpy(dtype=float, na_value=np.nan))


def default_metric(data: pd.DataFrame) -> list[str]:
    """Return the first metric, for a table that names no values."""
    metrics = [
        c.removeprefix("metric.") for c in data.columns if c.startswith("metric.") and data[c].notna().any()
    ]
    return metrics[:1]


def build_table(
    spec: TableSpec,
    data: pd.DataFrame,
    store: Any = None,
    metrics: FindMetric | None = None,
    background: Background | None = None,
) -> Table:
    """Lay out the records as the specification says, with rows of published results if there is a background.

    Rows and columns are tuples of coordinates, in the plan's order. The records of one place are averaged,
    seed by seed; the interval states its kind.
    """
    from harness.leaderboard.best_and_ties import mark_best
    from harness.leaderboard.value_intervals import RecordFacts, add_intervals

    titles = data.attrs.get("titles", {})
    values = list(dict.fromkeys(spec.values)) or default_metric(data)
    row_names = tuple(n for n in spec.rows if n != METRIC)
    column_names = tuple(n for n in spec.columns if n != METRIC)
    metric_in_rows = METRIC in spec.rows
    row_keys = _header_keys(data, row_names, spec)
    column_keys = _header_keys(data, column_names, spec)
    rows = list(dict.fromkeys(row_keys))
    columns = list(dict.fromkeys(column_keys))
    shows_metric = len(values) > 1 or METRIC in (*spec.rows, *spec.columns)
    table = empty_table(spec, row_names + (("metric",) if metric_in_rows else ()), column_names)
    # looks up the members of a group instead of scanning the frame for each
    members: dict[tuple[Any, Any], list[int]] = {}
    for position, key in enumerate(zip(row_keys, column_keys, strict=True)):
        members.setdefault(key, []).append(position)
    facts = {v: _column_format(data, v, spec) for v in values}
    table.titles = {
        v: describe_number(v, Column((), v, **facts[v]), _first_present(data, f"unit.{v}"), titles)
        for v in values
    }
    table.name_titles = {n: title_coordinate(n, titles) for n in (*spec.rows, *spec.columns)}
    if values and not shows_metric and column_names:
        table.caption = f"{spec.caption} Numbers: {table.titles[values[0]]}.".strip()
    arrays = {v: _read_values(data, v, spec).tolist() for v in values}
    group = GroupAverager(data, spec.level)
    if metric_in_rows and values:
        better = facts[values[0]]["higher_is_better"]
        if any(f["higher_is_better"] != better for f in facts.values()):
            better = None
        table.columns = [
            Column(c or ("",), values[0], **{**facts[values[0]], "higher_is_better": better}) for c in columns
        ]
        for value in values:
            own = Column((value,), value, **facts[value])
            for r in rows:
                entries = [group.entry(members.get((r, c), []), value, arrays[value], table) for c in columns]
                for entry in entries:
                    entry.format = own
                table.rows.append(Row((*r, value), entries))
    else:
        layout = [(c, v) for c in columns for v in values]
        table.columns = [
            Column((*c, *((v,) if shows_metric or not c else ())), v, **facts[v]) for c, v in layout
        ]
        for r in rows:
            entries = [group.entry(members.get((r, c), []), v, arrays[v], table) for c, v in layout]
            table.rows.append(Row(r, entries))
    note_averages(table, data, [*row_names, *column_names])
    if spec.group:
        _group_rows(table, data, row_keys, spec)
    known = RecordFacts(data)
    add_intervals(table, known, store, spec, metrics)
    mark_best(table, known, store, spec)
    table.say_once()
    if spec.baseline is not None:
        from harness.leaderboard.baseline import add_deltas

        add_deltas(table, spec)
    if spec.ranking:
        from harness.leaderboard.ranking import add_ranking

        add_ranking(table, spec)
    if background is not None:  # after all that compares rows
        from harness.leaderboard.published_rows import add_published

        add_published(table, spec, data, background, store)
    sort_rows(table, spec)
    return table.transposed() if spec.transpose else table


class GroupAverager:
    """Averages groups of records; holds each record's seed, status and id."""

    def __init__(self, data: pd.DataFrame, level: float) -> None:
        self.ids = data["id"].to_list()
        self.status = data["status"].to_list()
        self.reasons = data["reason"].to_list() if "reason" in data else [None] * len(data)
        self.remarks = data["remarks"].to_list() if "remarks" in data else [()] * len(data)
        self.failures = data["failures"].to_list() if "failures" in data else [()] * len(data)
        self.has_texts = any(self.remarks) or any(self.failures)  # false for most suites
        self.seeds = data["at.seed"].to_list() if "at.seed" in data else [0] * len(data)
        self.level = level

    def entry(self, members: Sequence[int], name: str, values: Sequence[float], table: Table) -> TableValue:
        """Average a group's values within each seed, then over seeds; return the mean and the seeds' spread."""
        # one record may appear under two names, and counts once
        members = list({self.ids[m]: m for m in members}.values())
        good = [m for m in members if self.status[m] == "ok" and values[m] == values[m]]
        entry = TableValue(count=len(good), expected=len(members), records=[self.ids[m] for m in members])
        if good:
            by_seed: dict[Any, list[float]] = {}
            for m in good:
                by_seed.setdefault(self.seeds[m], []).append(values[m])
            means = [mean(v) for v in by_seed.values()]
            entry.value = mean(means)
            if len(means) > 1:
                entry.spread = deviation(means)
        if self.has_texts:
            measured = [m for m in members if self.status[m] == "ok"]
            texts = [text for m in measured for text in self.remarks[m]]
            texts += [text for m in measured for text in _explain_failures(self.failures[m], name, m in good)]
            entry.notes += [table.note(text) for text in dict.fromkeys(texts)]
        bad = [m for m in members if self.status[m] != "ok"]
        for m in bad[:3]:
            entry.notes.append(table.note(self._status_text(m)))
        if good and len(good) < len(members):
            kept = "are ok" if len(good) + len(bad) == len(members) else "have a number"
            entry.notes.append(table.note(f"mean over the {len(good)} of {len(members)} records that {kept}"))
        return entry

    def _status_text(self, member: int) -> str:
        status = self.status[member]
        if status == "missing":
            return "not run yet"
        reason = self.reasons[member]
        return f"{status}: {reason}" if isinstance(reason, str) and reason else str(status)


def _explain_failures(failures: Sequence[tuple[str, str]], name: str, measured: bool) -> list[str]:
    """Return why a record lacks a number, or what the number lacks.

    If no failure names that metric, any of them may be the reason that the number is missing.
    """
    own = [
        text
        for of, text in failures
        if of == name or name.startswith(f"{of}.") or of.startswith((f"{name}.", f"{name} "))
    ]
    return own if own or measured else [text for _, text in failures]


def _header_keys(data: pd.DataFrame, names: Sequence[str], spec: TableSpec) -> list[tuple[str, ...]]:
    if not names:
        return [()] * len(data)
    columns = [[_to_text(v) for v in data[coordinate_column(data, n, spec)].to_list()] for n in names]
    return list(zip(*columns, strict=True))


def _to_text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _column_format(data: pd.DataFrame, name: str, spec: TableSpec) -> dict[str, Any]:
    if f"metric.{name}" not in data.columns and f"cost.{name}" in data.columns:
        better = None if name == "parameters" else name.endswith("_per_second")
        return {"kind": "cost", "percent": False, "decimals": 3, "higher_is_better": better}
    unit = _first_present(data, f"unit.{name}")
    percent = spec.percent and unit == "fraction"
    better = _first_present(data, f"better.{name}")
    decimals = spec.decimals if spec.decimals is not None else (1 if percent else 3)
    return {"percent": percent, "decimals": decimals, "higher_is_better": better is None or bool(better)}


def _first_present(data: pd.DataFrame, column: str) -> Any:
    if column not in data:
        return None
    present = data[column].dropna()
    return present.iloc[0] if len(present) else None


def _group_rows(
    table: Table, data: pd.DataFrame, row_keys: Sequence[tuple[str, ...]], spec: TableSpec
) -> None:
    groups = dict(
        zip(
            row_keys, (_to_text(v) for v in data[coordinate_column(data, str(spec.group), spec)]), strict=True
        )
    )
    for row in table.rows:
        row.group = groups.get(row.header, groups.get(row.header[:-1], ""))
    order = list(dict.fromkeys(r.group for r in table.rows))
    table.rows.sort(key=lambda r: order.index(r.group))
