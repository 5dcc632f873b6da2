"""Tables of summaries: numbers derived across records by a summary plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, SuiteError
from harness.leaderboard.frame import plain
from harness.leaderboard.table import Column, Entry, Row, Table
from harness.parts import Resolver
from harness.reference import parse
from harness.suite import TableSpec

if TYPE_CHECKING:
    import pandas as pd

NEEDED = ("model", "metric", "value")


def summary_table(spec: TableSpec, data: pd.DataFrame, store: Any = None) -> Table:
    """The table that a summary plugin makes of the ok records, laid out as the suite says.

    A summary that fails leaves an empty table with the reason below it: the others must be shown.
    """
    table = Table(
        spec.name,
        spec.title or spec.name,
        tuple(spec.rows),
        tuple(spec.columns),
        [],
        [],
        caption=spec.caption,
    )
    where = f"table '{spec.name}', summary"
    reference = parse(spec.summary, where)[0]
    part = Resolver().resolve("summaries", reference, where)
    try:
        if part.problem or part.missing:
            raise HarnessError(part.problem or part.missing or "")
        frame = plain(data[data["status"] == "ok"]).reset_index(drop=True)
        # notes and curves are not in the frame: a summary that reads them asks for the store
        long = part.object(frame, store) if getattr(part.object, "needs_store", False) else part.object(frame)
    except HarnessError as error:
        table.note(f"not available: {error}")
        return table
    except Exception as error:  # a plugin's summary may fail in any way
        table.note(
            f"not available: {part.plugin} of {part.distribution} failed: {type(error).__name__}: {error}"
        )
        return table
    for column in NEEDED:
        if column not in long.columns:
            raise SuiteError(f"{where}: '{part.plugin}' gives no column '{column}'")
    if not len(long):
        table.note("no ok record to summarise")
    if spec.values:
        long = long[long["metric"].isin(spec.values)]
    percent = spec.percent and getattr(part.object, "unit", None) == "fraction"
    laid = _laid_out(table, spec, long, percent, getattr(part.object, "higher_is_better", None))
    # which records a number rests on the summary alone knows: what they remark stands below all of them
    for text in dict.fromkeys(
        text for texts in data.loc[data["status"] == "ok", "remarks"] for text in texts
    ):
        laid.note(text)
    return laid


def _laid_out(table: Table, spec: TableSpec, long: pd.DataFrame, percent: bool, better: bool | None) -> Table:
    for name in (*spec.rows, *spec.columns):
        if name not in long.columns:
            raise SuiteError(
                f"table '{spec.name}': the summary has no column '{name}'; it has {', '.join(long.columns)}"
            )
    row_keys = [tuple(map(str, k)) for k in long[spec.rows].itertuples(index=False)]
    column_keys = [tuple(map(str, k)) for k in long[spec.columns].itertuples(index=False)]
    entries: dict[tuple[Any, Any], Entry] = {}
    metrics: dict[tuple[str, ...], str] = {}
    decimals = 1 if spec.decimals is None else spec.decimals
    for record, row, column in zip(long.to_dict("records"), row_keys, column_keys, strict=True):
        entry = Entry(_number(record["value"]), _number(record.get("low")), _number(record.get("high")))
        entry.count = entry.expected = int(_number(record.get("count")) or 1)
        if isinstance(note := record.get("note"), str) and note:
            entry.notes.append(table.note(note))
        metrics[column] = str(record["metric"])
        entry.format = _format(record.get("unit"), column, metrics[column], spec.percent, decimals)
        entries[row, column] = entry
    table.columns = [
        Column(c, m, percent=percent, decimals=decimals, higher_is_better=better) for c, m in metrics.items()
    ]
    for key in dict.fromkeys(row_keys):
        table.rows.append(Row(key, [entries.get((key, c), Entry()) for c in metrics]))
    _lift_common_notes(table)
    return table.transposed() if spec.transpose else table


def _format(unit: Any, header: tuple[str, ...], metric: str, percent: bool, decimals: int) -> Column | None:
    """How a value with a unit of its own is shown; None where it is shown as the summary's others."""
    if unit == "fraction":  # as many digits as the others have
        return Column(header, metric, percent=percent, decimals=max(0, decimals - 2 * percent))
    if unit == "count":
        return Column(header, metric, decimals=0)
    return Column(header, metric, "cost") if unit == "cost" else None


def _lift_common_notes(table: Table) -> None:
    """What is noted at every number is said once, in the caption."""
    entries = [e for r in table.rows for e in r.entries if e.value is not None]
    if len(entries) < 2:
        return
    common = set.intersection(*(set(e.notes) for e in entries))
    if not common:
        return
    kept = [n for n in range(len(table.footnotes)) if n not in common]
    said = "; ".join(table.footnotes[n] for n in sorted(common))
    table.caption = f"{table.caption} {said[:1].upper()}{said[1:]}.".strip()
    for row in table.rows:
        for entry in row.entries:
            entry.notes = [kept.index(n) for n in entry.notes if n in kept]
    table.footnotes = [table.footnotes[n] for n in kept]


def _number(value: Any) -> float | None:
    return None if value is None or value != value else float(value)
