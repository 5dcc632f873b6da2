"""A metric along a coordinate or tag, such as severity or shots: one line per model and method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import HarnessError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store


class Curves:
    """Lines over `x`, averaged over what neither `lines` nor `panels` tells apart.

    Args:
        x: coordinate or tag on the horizontal axis.
        metric: by default the first that the records have.
        lines: coordinates or tags whose values tell lines apart; by default model and method, if they vary.
        panels: coordinate or tag with one panel for each of its values; at most 12 are drawn.
        log: whether the horizontal axis is logarithmic, where all its values are numbers above 0.
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
        """Draws the lines with interval bands."""
        from harness_plots.points import column_of, interval_words, measured, metric_of, percent, points

        metric = metric_of(data, self.metric)
        scale, words = percent(data, metric)
        x = column_of(data, self.x)
        kept = measured(data, metric)
        kept = kept[kept[x].notna()]
        if kept.empty:
            raise HarnessError(f"no record that is ok has both '{self.x}' and '{metric}'")
        series = self._series(kept, x)
        panel = column_of(data, self.panels) if self.panels else None
        values = list(dict.fromkeys(kept[panel])) if panel else [None]
        drawn = []
        from harness.plots.style import add_legend, add_panels, series_mark, set_log_axis

        axes = add_panels(figure, [str(v) if panel else "" for v in values[:12]])
        order = list(dict.fromkeys(kept[series].itertuples(index=False, name=None)))
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in kept[x])
        ticks: list[Any] = sorted(set(kept[x])) if numeric else list(dict.fromkeys(map(str, kept[x])))
        handles: dict[int, Any] = {}
        for value, ax in zip(values, axes, strict=False):
            part = kept[kept[panel] == value] if panel else kept
            found = points(part, [*series, x], metric, store, self.level)
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
        from harness_plots.points import label_of

        add_legend(figure, [handles[n] for n in handles], [label_of(order[n]) for n in handles])
        left = f" The first 12 of {len(values)} panels are shown." if len(values) > 12 else ""
        return f"{words} over {self.x}. {interval_words(drawn, self.level)}{left}"

    def _series(self, kept: pd.DataFrame, x: str) -> list[str]:
        from harness_plots.points import series_names

        return [n for n in series_names(kept, self.lines) if n != x]
