"""Tables of summaries: numbers that a summary plugin derives from many records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Part
from harness.contract.declared import ask
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.errors import HarnessError, SuiteError, did_you_mean, interrupts, nearest, reason_of
from harness.leaderboard.entries import METRIC, Column, Row, TableValue, has_width
from harness.leaderboard.frame import shorten_columns
from harness.leaderboard.published_rows import add_published_summary
from harness.leaderboard.remark_finder import RemarkFinder
from harness.leaderboard.sorting import sort_rows
from harness.leaderboard.table import Table, empty_table
from harness.leaderboard.titles import describe_number, title_coordinate
from harness.leaderboard.value_intervals import extend_caption
from harness.planning.patterns import matches
from harness.planning.suite import TableSpec
from harness.published.frames import add_published_rows

if TYPE_CHECKING:
    import pandas as pd

    from harness.published.background import Background

NEEDED = ("model", "metric", "value")


def build_summary_table(
    spec: TableSpec, data: pd.DataFrame, store: Any = None, background: Background | None = None
) -> Table:
    """Lay out what a summary plugin computes from the ok records, and from published ones if it takes them.

    If the plugin fails, the table stays empty with the reason below it, so that the other tables appear.
    """
    table = empty_table(spec, spec.rows, spec.columns)
    where = f"table '{spec.name}', summary"
    reference = parse_references(spec.summary, where)[0]
    part = Resolver().resolve("summaries", reference, where)
    try:
        if part.problem or part.missing:
            raise HarnessError(part.problem or part.missing or "")
        frame = shorten_columns(data[data["status"] == "ok"]).reset_index(drop=True)
        takes = background is not None and ask(part.object, "takes_published")
        if background is not None and takes:
            frame = add_published_rows(frame, background)
        # notes and curves are not in the frame: a summary that reads them asks for the store
        long = part.object(frame, store) if ask(part.object, "needs_store") else part.object(frame)
        _check_frame(long, part)
    except BaseException as error:  # a plugin's summary may fail in any way
        if interrupts(error):
            raise
        failed = f"{part.plugin} of {part.distribution} failed: {reason_of(error)}"
        table.note(f"not available: {error if isinstance(error, HarnessError) else failed}")
        return table
    if not len(long):
        table.note("no ok record to summarise")
    long = _select_values(table, spec, long)
    percent = spec.percent and ask(part.object, "unit") == "fraction"
    finder = RemarkFinder(data, [str(c) for c in long.columns if c not in ("metric", "value")])
    published = dict(zip(background.labels, background.sets, strict=True)) if background and takes else None
    _lay_out(table, spec, long, percent, ask(part.object, "higher_is_better"), finder, published)
    titles = data.attrs.get("titles", {}) | (ask(part.object, "titles") or {})
    _title(table, spec, titles, "%" if ask(part.object, "unit") == "percent" else None)
    bare = [e for e in table.entries if e.value is not None and e.low is None]
    if bare:
        some = "" if len(bare) == sum(e.value is not None for e in table.entries) else " for some numbers"
        extend_caption(table, f"No interval{some or 's'}: the summary '{part.plugin}' gives none.")
    table.say_once()
    for text in finder.unplaced_remarks():  # only the summary knows which numbers rest on them
        table.note(text)
    _note_failures(table, data)
    if background is not None:
        add_published_summary(table, spec, data, background, store, bool(takes))
    sort_rows(table, spec)
    return table.transposed() if spec.transpose else table


def _check_frame(long: Any, part: Part) -> None:
    """Raise HarnessError unless a summary returned a frame with the needed columns."""
    blame = f"summary '{part.plugin}' of {part.distribution} gives"
    if not hasattr(long, "columns"):
        raise HarnessError(f"{blame} a {type(long).__name__}: expected a DataFrame")
    if absent := [column for column in NEEDED if column not in long.columns]:
        raise HarnessError(f"{blame} no column '{absent[0]}'")


def _note_failures(table: Table, data: pd.DataFrame) -> None:
    """Add footnotes on metrics that failed in the records: numbers of the table may be missing."""
    texts = [text for failures in data.get("failures", ()) for _, text in failures]
    for text in dict.fromkeys(texts):
        table.note(f"in {texts.count(text)} of {len(data)} records {text}")


def _select_values(table: Table, spec: TableSpec, long: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the values that the table names, exactly or by a pattern.

    Raises SuiteError for a near miss of a name that the summary has, or if it has none of them. Some values
    exist in some runs only: a footnote lists the missing ones.
    """
    if not spec.values or not len(long):
        return long
    present = list(dict.fromkeys(map(str, long["metric"])))
    asked = {name: [m for m in present if matches(name, m)] for name in spec.values}
    found = {m for names in asked.values() for m in names}
    for name, names in asked.items():
        near = nearest(name, [m for m in present if m not in found])
        if not names and (near is not None or not found):
            known = [near] if near is not None else present
            raise SuiteError(
                f"table '{spec.name}': the summary gives no value '{name}'{did_you_mean(name, known)}"
            )
        if not names:
            table.note(f"no value '{name}' in these records")
    return long[long["metric"].isin(found)]


def _lay_out(
    table: Table,
    spec: TableSpec,
    long: pd.DataFrame,
    percent: bool,
    better: bool | None,
    finder: RemarkFinder,
    published: Mapping[str, str] | None = None,
) -> None:
    for name in (*spec.rows, *spec.columns):
        if name not in long.columns:
            raise SuiteError(
                f"table '{spec.name}': the summary has no column '{name}'{did_you_mean(name, long.columns)}"
            )
    row_keys = [tuple(map(str, k)) for k in long[spec.rows].itertuples(index=False)]
    column_keys = [tuple(map(str, k)) for k in long[spec.columns].itertuples(index=False)]
    entries: dict[tuple[Any, Any], TableValue] = {}
    metrics: dict[tuple[str, ...], str] = {}
    placed: dict[tuple[Any, Any], dict[str, Any]] = {}
    decimals = 1 if spec.decimals is None else spec.decimals
    records: list[Any] = long.to_dict("records")
    for record, row, column in zip(records, row_keys, column_keys, strict=True):
        value, low, high = (_float_or_none(record.get(name)) for name in ("value", "low", "high"))
        entry = TableValue(value)
        if value is not None and low is not None and high is not None and has_width(low, high, value):
            entry.low, entry.high = low, high
        entry.count = entry.expected = int(_float_or_none(record.get("count")) or 1)
        if isinstance(note := record.get("note"), str) and note:
            entry.notes.append(table.note(note))
        if published is None or str(record["model"]) not in published:
            entry.notes += finder.find_footnotes(record, table)
        if (row, column) in placed:
            entry.notes.append(table.note(_overlap_note(placed[row, column], record)))
        placed[row, column] = record
        metrics.setdefault(column, str(record["metric"]))
        entry.format = _unit_format(record.get("unit"), column, metrics[column], spec.percent, decimals)
        entries[row, column] = entry
    order = _order_metrics(list(metrics), spec.columns, spec.values)
    table.columns = [
        Column(c, metrics[c], percent=percent, decimals=decimals, higher_is_better=better) for c in order
    ]
    for key in _order_metrics(list(dict.fromkeys(row_keys)), spec.rows, spec.values):
        of = next((published[text] for text in key if text in published), "") if published else ""
        table.rows.append(Row(key, [entries.get((key, c), TableValue()) for c in order], published=of))


def _title(table: Table, spec: TableSpec, titles: Mapping[str, str], unit: str | None) -> None:
    """Add titles of the summary's numbers and of coordinates; a single number's goes to the caption."""
    formats: dict[str, Column] = {}
    places = [n for n, name in enumerate(spec.rows) if name == METRIC]
    for row in table.rows:
        for entry, column in zip(row.entries, table.columns, strict=True):
            if entry.value is not None:
                metric = row.header[places[0]] if places else column.metric
                own = entry.format
                # a value with its own unit has no stated direction
                formats.setdefault(metric, replace(own, higher_is_better=None) if own else column)
    table.titles = {
        name: describe_number(name, of, unit if of.higher_is_better is not None else None, titles)
        for name, of in formats.items()
    }
    table.name_titles = {n: title_coordinate(n, titles) for n in (*spec.rows, *spec.columns)}
    if len(formats) == 1 and METRIC not in (*spec.rows, *spec.columns):
        table.caption = f"{table.caption} Numbers: {next(iter(table.titles.values()))}.".strip()


def _overlap_note(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return the footnote of a place that shows the last of several numbers."""
    facts = ("value", "low", "high", "count", "note", "unit")
    names = [n for n in one if n not in facts and str(one[n]) != str(other[n])]
    by = f": lay out by {' and '.join(names)} too" if names else ""
    return f"the last of several numbers that fall on this place{by}"


def _order_metrics(
    keys: list[tuple[str, ...]], names: Sequence[str], values: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the headers with metrics in the order of the table's `values`, all else unchanged."""
    if "metric" not in names or not values:
        return keys
    place = list(names).index("metric")
    outer = {key[:place]: n for n, key in reversed(list(enumerate(keys)))}
    wanted = {m: next(n for n, v in enumerate(values) if matches(v, m)) for m in {k[place] for k in keys}}
    return sorted(keys, key=lambda key: (outer[key[:place]], wanted[key[place]]))


def _unit_format(
    unit: Any, header: tuple[str, ...], metric: str, percent: bool, decimals: int
) -> Column | None:
    """Return the format of a value with its own unit, or None if it shares the summary's."""
    if unit == "fraction":  # as many digits as the others have
        return Column(header, metric, percent=percent, decimals=max(0, decimals - 2 * percent))
    if unit == "count":
        return Column(header, metric, decimals=0)
    return Column(header, metric, "cost") if unit == "cost" else None


def _float_or_none(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
