"""A metric by model and data set, as dots with intervals, which are easier to compare than bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store

MAX_ROWS = 40
"""Largest number of rows that is legible on a page."""


class Bars:
    """One row per `rows` (model and method), one panel per `by`, each mark with its interval.

    Args:
        metric: by default the records' first one.
        rows: coordinates or tags that distinguish rows; by default model and method, if they vary.
        by: coordinate or tag that distinguishes the panels; none: a single panel.
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
        """Draw the panels, with the same rows in each."""
        from harness.plotting.style import COLUMN_WIDTH, PAGE_WIDTH, PALETTE
        from harness_plots.axis_labels import choose_scale
        from harness_plots.labels import drop_crowded_ticks, wrap
        from harness_plots.points import (
            describe_intervals,
            find_column,
            find_metric,
            find_series_columns,
            format_key,
            group_points,
            select_measured,
        )

        metric = find_metric(data, self.metric)
        scale, words = choose_scale(data, metric)
        kept = select_measured(data, metric)
        names = find_series_columns(kept, self.rows)
        by = find_column(data, self.by) if self.by else None
        found = group_points(kept, [*names, by] if by else names, metric, store, self.level)
        keys = list(dict.fromkeys(p.key[: len(names)] for p in found))
        kinds = list(dict.fromkeys(p.key[-1] for p in found)) if by else [None]
        shown = keys[:MAX_ROWS]
        columns = min(len(kinds), 4)
        lines = -(-len(kinds) // columns)
        width = COLUMN_WIDTH if columns <= 2 else PAGE_WIDTH
        labels = [wrap(format_key(key), 30) for key in shown]
        row_height = 0.13 + 0.14 * max(label.count("\n") + 1 for label in labels)
        figure.set_size_inches(width, lines * (1.0 + row_height * len(shown)))
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for n, ax in enumerate(grid.flat):
            if n >= len(kinds):
                ax.set_visible(False)
                continue
            if len(kinds) > 1:
                ax.set_title(wrap(kinds[n], int(width / (columns + 1) * 72 / 6.4)), loc="left")
            for point in found:
                row = keys.index(point.key[: len(names)])
                if row >= MAX_ROWS or (by and point.key[-1] != kinds[n]):
                    continue
                if point.low is not None and point.high is not None:
                    ax.hlines(
                        row, point.low * scale, point.high * scale, color=PALETTE[0], alpha=0.5, linewidth=2
                    )
                ax.plot([point.value * scale], [row], "o", color=PALETTE[0])
            ax.set_yticks(range(len(shown)), labels)
            ax.set_ylim(len(shown) - 0.4, -0.6)
            if n + columns >= len(kinds):
                ax.tick_params(labelbottom=True)
                ax.set_xlabel(words)
        drop_crowded_ticks(figure)
        rest = f" The first {MAX_ROWS} of {len(keys)} rows are shown." if len(keys) > MAX_ROWS else ""
        return f"{words}. {describe_intervals(found, self.level)}{rest}"
