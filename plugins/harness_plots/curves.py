"""A metric along a coordinate or tag, such as severity or shots: one line per model and method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import HarnessError, OptionError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_plots.line_panels import Line
    from harness_plots.points import Point

BANDS = {
    "range": "Lines: median over seeds; bands: minimum to maximum.",
    "interval": "Lines: mean over seeds; bands: {level:.0%} intervals over seeds.",
}


class Curves:
    """Lines over `x`, averaged over what neither `lines` nor `panels` distinguishes.

    Up to 8 lines are named at their ends; more get a small panel each.

    Args:
        x: coordinate or tag on the horizontal axis.
        metric: by default the records' first one.
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
        panels: coordinate or tag with one panel per value; at most 12 are drawn.
        log: make the horizontal axis logarithmic if all its values are positive numbers.
        level: confidence of the intervals, in (0, 1).
        band: of several seeds: `range` for the median with minimum and maximum, `interval` for the mean
            with its confidence interval, as tables have them.
        runs: also draw a thin line for each seed.
    """

    def __init__(
        self,
        x: str = "shots",
        metric: str | None = None,
        lines: list[str] | None = None,
        panels: str | None = None,
        log: bool = False,
        level: float = 0.95,
        band: Literal["range", "interval"] = "range",
        runs: bool = False,
    ) -> None:
        if band not in BANDS:
            raise OptionError(f"curves: band must be range or interval, got {band!r}")
        self.x, self.metric, self.lines = x, metric, lines
        self.panels, self.log, self.level = panels, log, level
        self.band, self.runs = band, runs

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the lines with their bands and names."""
        from harness_plots.axis_labels import choose_scale, inside_sentence, name_quantity
        from harness_plots.line_panels import LineAxes, LinePanel, draw_line_panels
        from harness_plots.points import (
            find_column,
            find_metric,
            find_series_columns,
            format_key,
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
        series = [n for n in find_series_columns(kept, self.lines) if n != x]
        panel = find_column(data, self.panels) if self.panels else None
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in kept[x])
        ticks: list[Any] = sorted(set(kept[x])) if numeric else list(dict.fromkeys(map(str, kept[x])))
        order: dict[tuple[Any, ...], int] = {}
        panels, drawn = [], []
        x_words = name_quantity(self.x)
        for value in list(dict.fromkeys(kept[panel])) if panel else [None]:
            part = kept[kept[panel] == value] if panel else kept
            found = group_points(part, [*series, x], metric, store, self.level)
            drawn += found
            lines: dict[tuple[Any, ...], list[tuple[float, Point]]] = {}
            for point in found:
                at = float(point.key[-1]) if numeric else float(ticks.index(str(point.key[-1])))
                lines.setdefault(point.key[:-1], []).append((at, point))
            made = {
                order.setdefault(key, len(order)): self._make_line(format_key(key), points, scale)
                for key, points in lines.items()
            }
            panels.append(LinePanel("" if value is None else str(value), x_words, words, made))
        places = [float(t) if numeric else float(n) for n, t in enumerate(ticks)]
        shown = [f"{t:g}" if numeric else str(t) for t in ticks]
        few = list(zip(places, shown, strict=True)) if len(ticks) <= 12 else []
        log = numeric and self.log and ticks[0] > 0
        layout = draw_line_panels(figure, panels, LineAxes(log, False, few, True, self.runs))
        return f"{words} over {inside_sentence(x_words)}. {self._describe_bands(drawn)}{layout}"

    def _make_line(self, name: str, points: list[tuple[float, Point]], scale: float) -> Line:
        from harness_plots.line_panels import Line

        points.sort(key=lambda pair: pair[0])
        x = np.array([at for at, _ in points])
        rows = []
        for _, point in points:
            if self.band == "range" and point.seeds > 1:
                means = [value for _, value in point.by_seed]
                rows.append((float(np.median(means)), min(means), max(means)))
            else:
                low, high = (point.value if end is None else end for end in (point.low, point.high))
                rows.append((point.value, low, high))
        y, low, high = np.array(rows).T * scale
        by_seed: dict[Any, list[tuple[float, float]]] = {}
        for at, point in points:
            for seed, value in point.by_seed:
                by_seed.setdefault(seed, []).append((at, value * scale))
        runs = [tuple(np.array(run).T) for run in by_seed.values()] if len(by_seed) > 1 else []
        return Line(name, x, y, low, high, runs)

    def _describe_bands(self, drawn: list[Point]) -> str:
        from harness_plots.points import describe_intervals

        if not any(point.seeds > 1 for point in drawn):
            return describe_intervals(drawn, self.level)
        thin = " Thin lines: single seeds." if self.runs else ""
        return BANDS[self.band].format(level=self.level) + thin
