"""A metric by model and data set, as dots with intervals, which are easier to compare than bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store

MAX_ROWS = 40
"""Largest number of rows that is legible on a page."""


class Bars:
    """One row per `rows` (model and method), one mark per `by`, each with its interval.

    Args:
        metric: by default the records' first one.
        rows: coordinates or tags that distinguish rows; by default model and method, if they vary.
        by: coordinate or tag that distinguishes the marks of a row; none: a single mark.
        level: confidence of the intervals, in (0, 1).
    """

    def __init__(
        self,
        metric: str | None = None,
        rows: list[str] | None = None,
        by: str | None = "dataset",
        level: float = 0.95,
    ) -> None:
        self.metric, self.rows, self.by, self.level = metric, rows, by, level

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the marks, those of one row next to each other."""
        from harness.plotting.style import GRID
        from harness_plots.points import (
            choose_scale,
            describe_intervals,
            find_column,
            find_metric,
            find_series_columns,
            format_key,
            group_points,
            select_measured,
        )
        from harness_plots.series_and_panels import add_legend, series_mark, shorten

        metric = find_metric(data, self.metric)
        scale, words = choose_scale(data, metric)
        kept = select_measured(data, metric)
        names = find_series_columns(kept, self.rows)
        by = find_column(data, self.by) if self.by else None
        found = group_points(kept, [*names, by] if by else names, metric, store, self.level)
        keys = list(dict.fromkeys(p.key[: len(names)] for p in found))
        kinds = list(dict.fromkeys(p.key[-1] for p in found)) if by else [None]
        shown = keys[:MAX_ROWS]
        figure.set_size_inches(5.8, 1.3 + 0.24 * len(shown) + 0.07 * len(shown) * min(len(kinds), 6))
        ax = figure.add_subplot()
        handles: dict[int, Any] = {}
        for point in found:
            row = keys.index(point.key[: len(names)])
            if row >= MAX_ROWS:
                continue
            kind = kinds.index(point.key[-1]) if by else 0
            at = row + (0.0 if len(kinds) == 1 else 0.6 * (kind / (len(kinds) - 1) - 0.5))
            look = series_mark(kind)
            if point.low is not None and point.high is not None:
                ax.hlines(at, point.low * scale, point.high * scale, color=look.color, linewidth=1.4)
            drawn = ax.plot([point.value * scale], [at], look.marker, color=look.color)[0]
            handles.setdefault(kind, drawn)
        ax.set_yticks(range(len(shown)), [shorten(format_key(k), 34) for k in shown])
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.grid(False, axis="y")
        for edge in range(1, len(shown)):
            ax.axhline(edge - 0.5, color=GRID, linewidth=0.6, zorder=0)
        ax.set_xlabel(words)
        if by and len(kinds) > 1:
            add_legend(
                figure, [handles[n] for n in sorted(handles)], [str(kinds[n]) for n in sorted(handles)]
            )
        rest = f" The first {MAX_ROWS} of {len(keys)} rows are shown." if len(keys) > MAX_ROWS else ""
        return f"{words}. {describe_intervals(found, self.level)}{rest}"
