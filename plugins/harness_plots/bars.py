"""Metrics by model and data set, as dots with intervals, which are easier to compare than bars."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from harness import HarnessError, OptionError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_plots.points import Point

MAX_ROWS = 40
"""Largest number of rows that is legible on a page."""


class Bars:
    """One row per `rows` (model and method), one panel per `by`, each mark with its interval.

    Args:
        metric: by default the records' first one.
        metrics: several of one unit instead, by names or patterns with `*` and `?`: a panel for each, titled by it.
        rows: coordinates or tags that distinguish rows; by default model and method, if they vary.
        by: coordinate or tag that distinguishes the panels; none: a single panel.
        level: confidence of the intervals, in (0, 1).
    """

    def __init__(
        self,
        metric: str | None = None,
        metrics: list[str] | None = None,
        rows: list[str] | None = None,
        by: str | None = "dataset",
        level: float = 0.95,
    ) -> None:
        if metric is not None and metrics is not None:
            raise OptionError("bars: give either metric or metrics")
        self.metric, self.metrics, self.rows, self.by, self.level = metric, metrics, rows, by, level

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the panels, with the same rows in each."""
        from harness.plotting.style import COLUMN_WIDTH, PAGE_WIDTH, PALETTE
        from harness_plots.labels import drop_crowded_ticks, wrap
        from harness_plots.points import describe_intervals, format_key

        panels, scale, words = self._find_panels(data, store)
        found = [point for points in panels.values() for point in points]
        keys = list(dict.fromkeys(point.key for point in found))
        shown = keys[:MAX_ROWS]
        columns = min(len(panels), 3 if self.metrics else 4)
        lines = -(-len(panels) // columns)
        width = COLUMN_WIDTH if columns <= 2 else PAGE_WIDTH
        labels = [wrap(format_key(key), 30) for key in shown]
        titles = [wrap(panel, int(width / (columns + 1) * 72 / 6.4)) for panel in panels]
        row_height = 0.13 + 0.14 * max(label.count("\n") + 1 for label in labels)
        title_height = 0.14 * max(title.count("\n") for title in titles)
        figure.set_size_inches(width, lines * (1.0 + title_height + row_height * len(shown)))
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        for ax in grid.flat[len(panels) :]:
            ax.set_visible(False)
        for n, (ax, points) in enumerate(zip(grid.flat, panels.values())):
            if len(panels) > 1 or self.metrics:
                ax.set_title(titles[n], loc="left")
            for point in points:
                row = keys.index(point.key)
                if row >= MAX_ROWS:
                    continue
                if point.low is not None and point.high is not None:
                    ax.hlines(
                        row, point.low * scale, point.high * scale, color=PALETTE[0], alpha=0.5, linewidth=2
                    )
                ax.plot([point.value * scale], [row], "o", color=PALETTE[0])
            ax.set_yticks(range(len(shown)), labels)
            ax.set_ylim(len(shown) - 0.4, -0.6)
            if n + columns >= len(panels):
                ax.tick_params(labelbottom=True)
                ax.set_xlabel(words)
        drop_crowded_ticks(figure)
        rest = f" The first {MAX_ROWS} of {len(keys)} rows are shown." if len(keys) > MAX_ROWS else ""
        what = "Panels: metrics, in percent" if self.metrics and scale > 1 else words
        return f"{what}. {describe_intervals(found, self.level)}{rest}"

    def _find_panels(self, data: pd.DataFrame, store: Store) -> tuple[dict[str, list[Point]], float, str]:
        """Return the points of each panel by its title, with the keys of their rows; factor and label of the axis."""
        from harness_plots.axis_labels import choose_scale, name_quantity
        from harness_plots.points import (
            find_column,
            find_metric,
            find_series_columns,
            format_key,
            group_points,
            match_metrics,
            select_measured,
        )

        metrics = match_metrics(data, self.metrics) if self.metrics else [find_metric(data, self.metric)]
        looks = [choose_scale(data, metric) for metric in metrics]
        if len({scale for scale, _ in looks}) > 1:
            raise HarnessError(f"metrics of different units can't share an axis: {', '.join(metrics)}")
        (scale, words), titles = looks[0], data.attrs.get("titles", {})
        measured = {metric: select_measured(data, metric) for metric in metrics}
        kept = data[data["id"].isin({id for rows in measured.values() for id in rows["id"]})]
        names = find_series_columns(kept, self.rows)
        by = find_column(data, self.by) if self.by else None
        panels: dict[str, list[Point]] = {}
        for metric, rows in measured.items():
            title = titles.get(metric) or name_quantity(metric)
            several = by is not None and kept[by].nunique() > 1
            for point in group_points(rows, [*names, by] if by else names, metric, store, self.level):
                key, kind = (point.key[:-1], format_key(point.key[-1:])) if by else (point.key, "")
                panel = title if self.metrics and not several else kind
                panel = f"{title}, {kind}" if self.metrics and several else panel
                panels.setdefault(panel, []).append(replace(point, key=key))
        if self.metrics:
            words = "Percent" if scale > 1 else "Value"
        return panels, scale, words
