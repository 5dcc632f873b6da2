"""Marks of series, panels, legends and logarithmic axes, as the plots of this package draw them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.plotting.style import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
LABEL = 40
"""Longer names are cut in the middle, since models often differ in their first and last letters."""


@dataclass(frozen=True)
class Mark:
    """Colour, marker and dashes of one series; no two of the first 40 are the same."""

    color: str
    marker: str
    dashes: Any


def series_mark(number: int) -> Mark:
    """Return the look of the series with that number."""
    return Mark(PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)], DASHES[number % len(DASHES)])


def shorten(text: object, length: int = LABEL) -> str:
    """Return a name on one line of at most `length` characters."""
    line = " ".join(str(text).split())
    if len(line) <= length:
        return line
    tail = length // 3
    return f"{line[: length - tail - 1]}…{line[-tail:]}"


def add_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str = "") -> None:
    """Add a legend below the axes, in as many columns as fit; of more than 24 entries it counts the rest."""
    from matplotlib.lines import Line2D

    handles, shown = list(handles), [shorten(label) for label in labels]
    if len(shown) > 24:
        rest = len(shown) - 23
        handles, shown = [*handles[:23], Line2D([], [], linestyle="none")], [*shown[:23], f"and {rest} more"]
    if not handles:
        return
    width = figure.get_figwidth() * 72 / 4.6  # characters of 8 pt that fit beside each other
    longest = max(len(s) for s in shown) + 6
    columns = max(1, min(len(shown), int(width // longest)))
    made = figure.legend(
        handles,
        [f"series {n}" for n in range(len(shown))],
        loc="outside lower center",
        ncols=columns,
        title=title or None,
        title_fontsize=8,
    )
    # set afterwards, since matplotlib omits labels that start with an underscore
    for text, label in zip(made.get_texts(), shown, strict=True):
        text.set_text(label)


def add_panels(figure: Figure, titles: Sequence[str], width: float = 3.0, height: float = 2.6) -> list[Axes]:
    """Add an axes for each title, in rows of up to three; set the figure's size in inches."""
    columns = 2 if len(titles) == 4 else min(len(titles), 3)
    rows = -(-len(titles) // columns)
    single = len(titles) == 1
    figure.set_size_inches(5.4 if single else width * columns, 3.6 if single else height * rows + 0.4)
    made = []
    for n, title in enumerate(titles):
        axes = figure.add_subplot(rows, columns, n + 1)
        if title:
            axes.set_title(shorten(title), loc="left")
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
