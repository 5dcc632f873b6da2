"""The style of plots: colours that the colour-blind can tell apart, and matplotlib's settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a4c93", "#7f7f7f")
"""Okabe and Ito's colours without black and yellow (too pale for lines), and two that fit them."""

INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d8dee4", "#fefefe"
"""Colours of text and axes, secondary text, grid lines, and the background of labels; a page may replace them."""


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
