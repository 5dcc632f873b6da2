"""Rows of a plain table that each hold one metric of an evaluation, put together as one result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from harness import ImportedResult, UnreadRow


def merge_metrics(rows: Iterable[ImportedResult | UnreadRow]) -> Iterator[ImportedResult | UnreadRow]:
    """Yield a result for each evaluation, with the metrics of all its rows, and what can't be read.

    A metric that rows give different numbers is left out. Settings that differ between rows are named with the metric.
    """
    groups: dict[tuple[Any, ...], list[ImportedResult]] = {}
    for row in rows:
        if isinstance(row, UnreadRow):
            yield row
            continue
        parts = (row.protocol.label, row.model.label, row.dataset.label, row.seed)
        groups.setdefault((*parts, *map(repr, row.axes.items())), []).append(row)
    for group in groups.values():
        yield from _merge(group)


def _merge(group: list[ImportedResult]) -> Iterator[ImportedResult | UnreadRow]:
    """Yield the result of one evaluation, and a line for each metric of which it has several numbers."""
    by_metric: dict[str, list[ImportedResult]] = {}
    for row in group:
        for metric in row.metrics:
            by_metric.setdefault(metric, []).append(row)
    kept: dict[str, ImportedResult] = {}
    for metric, rows in by_metric.items():
        if len({repr(row.metrics[metric]) for row in rows}) == 1:
            kept[metric] = rows[0]
            continue
        lines = [f"line {row.line}" for row in rows]
        what = f"{rows[0].model.label} on {rows[0].dataset.label}"
        yield UnreadRow(
            f"{what}: {metric} has other numbers in {' and '.join(lines[1:])}, and all are left out",
            rows[0].line,
        )
    if not kept:
        return
    shared = {k: v for k, v in group[0].settings.items() if all(r.settings.get(k) == v for r in group)}
    own = {
        f"{key} of {metric}": value
        for metric, row in kept.items()
        for key, value in row.settings.items()
        if key not in shared
    }
    yield replace(
        group[0],
        metrics={metric: row.metrics[metric] for metric, row in kept.items()},
        directions={metric: row.directions[metric] for metric, row in kept.items()},
        units={metric: row.units[metric] for metric, row in kept.items() if metric in row.units},
        written={metric: row.written[metric] for metric, row in kept.items() if metric in row.written},
        settings=shared | own,
        line=min((row.line for row in kept.values() if row.line is not None), default=None),
        remarks=list(dict.fromkeys(text for row in kept.values() for text in row.remarks)),
    )
