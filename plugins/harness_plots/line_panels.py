"""Panels of lines: named at their ends, or, if there are many, a panel for each with the others in grey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.plotting.style import COLUMN_WIDTH, INK, MUTED, PAGE_WIDTH, PALETTE
from harness_plots.label_places import Array
from harness_plots.labels import NamedLine, drop_crowded_ticks, name_line_ends, wrap
from harness_plots.series_and_panels import add_panels, series_mark, set_log_axis

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 8
"""More lines than this get a panel each; there are as many colours."""

MOST_PANELS = 12


@dataclass
class Line:
    """A line over `x` with its band, the runs that it summarises, the ends of those that diverged, and marked points."""

    name: str
    x: Array
    y: Array
    low: Array
    high: Array
    runs: list[tuple[Array, Array]] = field(default_factory=list)
    crosses: list[tuple[float, float]] = field(default_factory=list)
    dots: list[tuple[float, float]] = field(default_factory=list)


@dataclass
class LinePanel:
    """One quantity or part of the data: its lines by their number among all series."""

    title: str
    x_label: str
    y_label: str
    lines: dict[int, Line]


@dataclass
class LineAxes:
    """How the axes of all panels look.

    `ticks` of the horizontal axis are (place, word), if there are few; `limits` the ends of both axes, else those of
    the data.
    """

    log_x: bool = False
    log_y: bool = False
    ticks: Sequence[tuple[float, str]] = ()
    markers: bool = False
    runs: bool = False
    limits: tuple[tuple[float, float], tuple[float, float]] | None = None


def summarise_runs(name: str, runs: Sequence[tuple[Array, Array]]) -> Line:
    """Return the median of runs with the range from their minimum to their maximum.

    Each run is interpolated between its own steps. The line goes on while at least half of the runs do.
    """
    steps = np.unique(np.concatenate([x for x, _ in runs]))
    values = np.array([np.interp(steps, x, y, left=np.nan, right=np.nan) for x, y in runs])
    kept = (~np.isnan(values)).sum(0) * 2 >= len(runs)
    if not kept.any():
        kept = (~np.isnan(values)).any(0)
    values = values[:, kept]
    if not values.size:
        empty = np.empty(0)
        return Line(name, empty, empty, empty, empty, list(runs))
    middle, low, high = np.nanmedian(values, 0), np.nanmin(values, 0), np.nanmax(values, 0)
    return Line(name, steps[kept], middle, low, high, list(runs))


def draw_line_panels(figure: Figure, panels: Sequence[LinePanel], look: LineAxes) -> str:
    """Draw at most 12 panels on the empty figure; return what the caption says of their layout."""
    shown = panels[:MOST_PANELS]
    left = f" The first {len(shown)} of {len(panels)} panels are shown." if len(panels) > len(shown) else ""
    if len({n for panel in shown for n in panel.lines}) > MOST_LINES:
        _draw_small_multiples(figure, shown, look)
        return f" Each small panel highlights one line; grey: the others.{left}"
    axes = add_panels(figure, [panel.title for panel in shown])
    labels: list[tuple[Axes, list[NamedLine]]] = []
    for n, (panel, ax) in enumerate(zip(shown, axes, strict=True)):
        named = []
        for number, line in panel.lines.items():
            mark = series_mark(number)
            marker = mark.marker if look.markers else ""
            _draw_line(
                ax, line, mark.color, marker, mark.dashes, look.runs, 0.18 if len(panel.lines) < 5 else 0.1
            )
            if len(line.x):
                named.append(NamedLine((float(line.x[-1]), float(line.y[-1])), line.name, mark.color))
        labels.append((ax, named))
        _set_axes(ax, look)
        ax.set_xlabel(panel.x_label)
        columns = ax.get_gridspec().ncols  # type: ignore[union-attr]
        if panel.y_label != panel.title and (n % columns == 0 or panel.y_label != shown[n - 1].y_label):
            ax.set_ylabel(panel.y_label)
    name_line_ends(figure, labels)
    drop_crowded_ticks(figure)
    return left


def _draw_small_multiples(figure: Figure, panels: Sequence[LinePanel], look: LineAxes) -> None:
    """Draw a block for each panel, in it a small axes for each line, all with the same axes."""
    most = max(len(panel.lines) for panel in panels)
    columns = 3 if most <= 9 else 4
    width = COLUMN_WIDTH + 0.4 if columns == 3 and len(panels) == 1 else PAGE_WIDTH
    letters = int(width / columns * 72 / 5.6) - 6
    rows = [-(-len(panel.lines) // columns) for panel in panels]
    figure.set_size_inches(width, sum(1.75 * r + 0.5 for r in rows))
    blocks: Any = figure.subfigures(len(panels), 1, height_ratios=rows, squeeze=False)
    for panel, block, count in zip(panels, blocks[:, 0], rows, strict=True):
        if panel.title and len(panels) > 1:
            block.suptitle(wrap(panel.title, 80), x=0.01, ha="left", fontsize=10, weight="bold")
        grid = block.subplots(count, columns, sharex=True, sharey=True, squeeze=False)
        for n, ax in enumerate(grid.flat):
            if n >= len(panel.lines):
                ax.set_visible(False)
                continue
            own = list(panel.lines)[n]
            for number, line in panel.lines.items():
                if number != own:
                    ax.plot(line.x, line.y, color=MUTED, alpha=0.35, linewidth=0.7)
            line = panel.lines[own]
            _draw_line(ax, line, PALETTE[0], "o" if look.markers else "", "-", look.runs)
            ax.set_title(wrap(line.name, letters), loc="left", fontsize=8.5)
            _set_axes(ax, look)
            ax.tick_params(labelbottom=n + columns >= len(panel.lines))
            if n + columns >= len(panel.lines):
                ax.set_xlabel(panel.x_label)
            if n % columns == 0:
                ax.set_ylabel(wrap(panel.y_label, 22))
    drop_crowded_ticks(figure)


def _draw_line(
    ax: Axes, line: Line, color: str, marker: str, dashes: Any, runs: bool, alpha: float = 0.18
) -> None:
    if runs:
        for x, y in line.runs:
            ax.plot(x, y, color=color, alpha=0.45, linewidth=0.6)
    ax.fill_between(line.x, line.low, line.high, color=color, alpha=alpha, linewidth=0)
    ax.plot(line.x, line.y, color=color, marker=marker, linestyle=dashes, markersize=4.5)
    for end in line.crosses:
        ax.plot(*[[place] for place in end], marker="x", markersize=7, color=color)
    for dot in line.dots:
        ax.plot(*[[place] for place in dot], marker="D", markersize=6, markeredgecolor=INK, color=color)


def _set_axes(ax: Axes, look: LineAxes) -> None:
    if look.limits:
        ax.set_xlim(look.limits[0])
        ax.set_ylim(look.limits[1])
    for which, log in (("x", look.log_x), ("y", look.log_y)):
        if log:
            set_log_axis(ax, which)
    if look.ticks:
        places, words = zip(*look.ticks, strict=True)
        ax.set_xticks(places, words)
        ax.xaxis.set_tick_params(which="minor", length=0)
        ax.minorticks_off()
