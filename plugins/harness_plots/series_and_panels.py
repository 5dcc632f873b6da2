"""Marks of series, panels and logarithmic axes, as the plots of this package draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.plotting.style import COLUMN_WIDTH, PAGE_WIDTH, PALETTE
from harness_plots.labels import wrap

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))


@dataclass(frozen=True)
class Mark:
    """Colour, marker and dashes of one series; no two of the first 40 are the same."""

    color: str
    marker: str
    dashes: Any


def series_mark(number: int) -> Mark:
    """Return the look of the series with that number."""
    return Mark(PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)])


def add_panels(figure: Figure, titles: Sequence[str], height: float = 2.6, pad: float = 6) -> list[Axes]:
    """Add an axes for each title, in rows of up to three; set the figure's size in inches.

    `pad` is the room between axes and title in points.
    """
    count = len(titles)
    columns = count if count < 3 else 2 if count == 4 else 3
    rows = -(-count // columns)
    width = COLUMN_WIDTH if count == 1 else PAGE_WIDTH
    figure.set_size_inches(width, 3.8 if count == 1 else height * rows + 0.4)
    made = []
    for n, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns, n + 1)
        if title:
            axes.set_title(wrap(title, int(width / columns * 72 / 6.4)), loc="left", pad=pad)
        made.append(axes)
    return made


def set_log_axis(axes: Axes, which: str) -> None:
    """Make an axis (`x` or `y`) logarithmic, with labels like `10 M`, since formulas are switched off."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axes, f"set_{which}scale")("log")
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    narrow = low > 0 and high / low < 100
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if narrow else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: format_si(value)))
    axis.set_minor_formatter(NullFormatter())


def format_si(value: float) -> str:
    """Return a number with a unit prefix: 25600000 as `25.6 M`."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {unit}"
    return f"{value:.3g}"
