"""The style of plots: colours that the colour-blind can tell apart, and marks that need no colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a4c93", "#7f7f7f")
"""Okabe and Ito's colours without black and yellow (too pale for lines), and two that fit them."""

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#fefefe"
"""Colours of text and axes, secondary text, grid lines, and the background of labels; a page may replace them."""

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


@contextmanager
def plot_style(salt: str = "vision-harness", text_as_paths: bool = True) -> Iterator[None]:
    """Apply the harness's style inside the block; names are never read as formulas.

    `salt` fixes the ids inside an SVG. With `text_as_paths` an SVG looks the same everywhere; otherwise its
    text stays text, which a page can search and restyle.
    """
    import warnings

    import matplotlib as mpl

    settings: Any = {
        "text.parse_math": False,
        "text.usetex": False,
        "svg.hashsalt": salt,
        "svg.fonttype": "path" if text_as_paths else "none",
        "font.family": ["DejaVu Sans", "sans-serif"],
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.titleweight": "bold",
        "axes.labelsize": 9,
        "axes.edgecolor": MUTED,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.formatter.use_mathtext": False,
        "axes.unicode_minus": True,
        "grid.color": GRID,
        "grid.linewidth": 0.6,
        "text.color": INK,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "lines.linewidth": 1.6,
        "lines.markersize": 5,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "savefig.facecolor": "none",
        "figure.constrained_layout.use": True,
    }
    with mpl.rc_context(settings), warnings.catch_warnings():
        # matplotlib's fonts lack emoji and rare scripts; a box in their place is fine
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Matplotlib currently does not support")
        yield


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
