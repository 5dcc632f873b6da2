"""A metric by model and data set, as dots with intervals: easier to compare than bars of length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store

MOST = 40
"""Rows that are still legible on a page."""


class Bars:
    """One row per `rows` (model and method), one mark per `by`, each with its interval.

    Args:
        metric: by default the first that the records have.
        rows: coordinates or tags whose values tell rows apart; by default model and method, if they vary.
        by: coordinate or tag whose values are the marks of a row; none: a single mark.
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
        """Draws the marks, marks of one row beside each other."""
        from harness.plots.style import GRID, add_legend, series_mark, shorten
        from harness_plots.points import (
            column_of,
            interval_words,
            label_of,
            measured,
            metric_of,
            percent,
            points,
            series_names,
        )

        metric = metric_of(data, self.metric)
        scale, words = percent(data, metric)
        kept = measured(data, metric)
        names = series_names(kept, self.rows)
        by = column_of(data, self.by) if self.by else None
        found = points(kept, [*names, by] if by else names, metric, store, self.level)
        keys = list(dict.fromkeys(p.key[: len(names)] for p in found))
        kinds = list(dict.fromkeys(p.key[-1] for p in found)) if by else [None]
        shown = keys[:MOST]
        figure.set_size_inches(5.8, 1.3 + 0.24 * len(shown) + 0.07 * len(shown) * min(len(kinds), 6))
        ax = figure.add_subplot()
        handles: dict[int, Any] = {}
        for point in found:
            row = keys.index(point.key[: len(names)])
            if row >= MOST:
                continue
            kind = kinds.index(point.key[-1]) if by else 0
            at = row + (0.0 if len(kinds) == 1 else 0.6 * (kind / (len(kinds) - 1) - 0.5))
            look = series_mark(kind)
            if point.low is not None and point.high is not None:
                ax.hlines(at, point.low * scale, point.high * scale, color=look.color, linewidth=1.4)
            drawn = ax.plot([point.value * scale], [at], look.marker, color=look.color)[0]
            handles.setdefault(kind, drawn)
        ax.set_yticks(range(len(shown)), [shorten(label_of(k), 34) for k in shown])
        ax.set_ylim(len(shown) - 0.4, -0.6)
        ax.grid(False, axis="y")
        for edge in range(1, len(shown)):
            ax.axhline(edge - 0.5, color=GRID, linewidth=0.6, zorder=0)
        ax.set_xlabel(words)
        if by and len(kinds) > 1:
            add_legend(
                figure, [handles[n] for n in sorted(handles)], [str(kinds[n]) for n in sorted(handles)]
            )
        rest = f" The first {MOST} of {len(keys)} rows are shown." if len(keys) > MOST else ""
        return f"{words}. {interval_words(found, self.level)}{rest}"
