"""A metric along a coordinate or tag, such as severity or shots: one line per model and method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import HarnessError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store


class Curves:
    """Lines over `x`, averaged over what neither `lines` nor `panels` distinguishes.

    Args:
        x: coordinate or tag on the horizontal axis.
        metric: by default the records' first one.
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
        panels: coordinate or tag with one panel per value; at most 12 are drawn.
        log: make the horizontal axis logarithmic if all its values are positive numbers.
        level: confidence of the intervals, in (0, 1).
    """

    def __init__(
        self,
        x: str = "shots",
        metric: str | None = None,
        lines: list[str] | None = None,
        panels: str | None = None,
        log: bool = False,
        level: float = 0.95,
    ) -> None:
        self.x, self.metric, self.lines = x, metric, lines
        self.panels, self.log, self.level = panels, log, level

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the lines with interval bands."""
        from harness_plots.points import (
            choose_scale,
            describe_intervals,
            find_column,
            find_metric,
            group_points,
            select_measured,
        )

        metric = find_metric(data, self.metric)
        scale, words = choose_scale(data, metric)
        x = find_column(data, self.x)
        kept = select_measured(data, metric)
        kept = kept[kept[x].notna()]
        if kept.empty:
            raise HarnessError(f"no record that is ok has both '{self.x}' and '{metric}'")
        series = self._series_columns(kept, x)
        panel = find_column(data, self.panels) if self.panels else None
        values = list(dict.fromkeys(kept[panel])) if panel else [None]
        drawn = []
        from harness_plots.series_and_panels import add_legend, add_panels, series_mark, set_log_axis

        axes = add_panels(figure, [str(v) if panel else "" for v in values[:12]])
        order = list(dict.fromkeys(kept[series].itertuples(index=False, name=None)))
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in kept[x])
        ticks: list[Any] = sorted(set(kept[x])) if numeric else list(dict.fromkeys(map(str, kept[x])))
        handles: dict[int, Any] = {}
        for value, ax in zip(values, axes, strict=False):
            part = kept[kept[panel] == value] if panel else kept
            found = group_points(part, [*series, x], metric, store, self.level)
            drawn += found
            for number, key in enumerate(order):
                line = [p for p in found if p.key[:-1] == tuple(None if k != k else k for k in key)]
                if not line:
                    continue
                line.sort(key=lambda p: ticks.index(p.key[-1] if numeric else str(p.key[-1])))
                at = [float(p.key[-1]) if numeric else ticks.index(str(p.key[-1])) for p in line]
                look = series_mark(number)
                handles[number] = ax.plot(
                    at,
                    [p.value * scale for p in line],
                    color=look.color,
                    marker=look.marker,
                    linestyle=look.dashes,
                )[0]
                ax.fill_between(
                    at,
                    [(p.value if p.low is None else p.low) * scale for p in line],
                    [(p.value if p.high is None else p.high) * scale for p in line],
                    color=look.color,
                    alpha=0.15,
                    linewidth=0,
                )
            ax.set_xlabel(self.x)
            ax.set_ylabel(words)
            if numeric and self.log and ticks[0] > 0:
                set_log_axis(ax, "x")
            if len(ticks) <= 12:
                ax.set_xticks(
                    ticks if numeric else range(len(ticks)), [f"{t:g}" if numeric else t for t in ticks]
                )
                ax.minorticks_off()
        from harness_plots.points import format_key

        add_legend(figure, [handles[n] for n in handles], [format_key(order[n]) for n in handles])
        left = f" The first 12 of {len(values)} panels are shown." if len(values) > 12 else ""
        return f"{words} over {self.x}. {describe_intervals(drawn, self.level)}{left}"

    def _series_columns(self, kept: pd.DataFrame, x: str) -> list[str]:
        from harness_plots.points import find_series_columns

        return [n for n in find_series_columns(kept, self.lines) if n != x]
