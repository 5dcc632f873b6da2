"""Labels of points and lines on a figure, placed after its layout is known, and keys of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness_plots.label_places import Array, find_leader, place_beside, spread_apart

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST = 60
"""Longer names are cut in the middle, since models often differ in their first and last letters."""

MOST_LABELS = 60
"""More labels than this in one axes are not tried: they could hardly be read, and take long to place."""

SIZE = 8.0
"""Size of labels in points."""


def shorten(text: object, length: int = LONGEST) -> str:
    """Return a name on one line of at most `length` characters."""
    line = " ".join(str(text).split())
    if len(line) <= length:
        return line
    tail = length // 3
    return f"{line[: length - tail - 1]}…{line[-tail:]}"


def wrap(text: object, width: int, length: int = LONGEST) -> str:
    """Return a name, shortened to `length` characters, in lines of at most `width`."""
    import textwrap

    # a dot between the parts of a name stays on the line of the first
    line = shorten(text, length).replace(" ·", "\u00a0·")
    return textwrap.fill(line, width, break_on_hyphens=False).replace("\u00a0·", " ·") or "–"


@dataclass
class NamedPoints:
    """The points of one axes that shall be named, in data coordinates.

    `names` are unique to what they name: a name has the same number everywhere. `marks` are half the
    markers' sizes in points. `lines` are M×2 points on lines that labels avoid if they can.
    """

    axes: Axes
    at: list[tuple[float, float]]
    names: list[str]
    colors: list[str]
    marks: list[float]
    weights: list[str] = field(default_factory=list)
    lines: list[Any] = field(default_factory=list)


def name_points(figure: Figure, panels: Sequence[NamedPoints]) -> str:
    """Write each point's name beside it, or, if there is no room, its number with a key below.

    Fixes the figure's layout. Returns a sentence for the caption if not all is named directly.
    """
    order = list(dict.fromkeys(name for panel in panels for name in panel.names))
    numbers = {name: str(n + 1) for n, name in enumerate(order)}
    if _write_labels(figure, panels, {name: wrap(name, 24) for name in order}):
        return ""
    add_key(figure, [f"{numbers[name]}  {shorten(name)}" for name in order])
    if _write_labels(figure, panels, numbers):
        return "Numbers: see the key below the figure."
    bold = {n for p in panels for n, w in zip(p.names, p.weights, strict=False) if w == "bold"}
    if bold and _write_labels(figure, panels, {name: numbers[name] for name in order if name in bold}):
        return f"Only those in bold have their numbers of the key: there is no room for all {len(order)}."
    return f"There is no room for the numbers of {len(order)} points: the key lists them in their order."


def _write_labels(figure: Figure, panels: Sequence[NamedPoints], words: dict[str, str]) -> bool:
    """Write the words of all that have some where they overlap nothing, or none; return whether they could be."""
    if any(sum(name in words for name in panel.names) > MOST_LABELS for panel in panels):
        return False
    figure.draw_without_rendering()
    placed = [_place_labels(panel, words) for panel in panels]
    if any(found is None for found in placed):
        return False
    figure.set_layout_engine("none")
    for panel, found in zip(panels, placed, strict=True):
        for n, centre, size, anchor in found or ():
            text = words[panel.names[n]]
            end = find_leader(anchor, centre, size)
            if end is not None:
                _draw_leader(figure, anchor, end, panel.colors[n])
            offset = (centre - anchor) * 72 / figure.dpi
            panel.axes.annotate(
                text, panel.at[n], tuple(offset), textcoords="offset points", ha="center", va="center",
                fontsize=SIZE, color=panel.colors[n], weight=panel.weights[n] if panel.weights else "normal",
                annotation_clip=False,
            ).set_in_layout(False)  # fmt: skip
    return True


def _place_labels(panel: NamedPoints, words: dict[str, str]) -> list[tuple[int, Array, Array, Array]] | None:
    """Return the point's number of each label, its centre, its size and its point in pixels."""
    axes = panel.axes
    shown = [n for n, name in enumerate(panel.names) if name in words]
    if not shown:
        return []
    weights = panel.weights or ["normal"] * len(panel.at)
    sizes = np.array([_measure(axes, words[panel.names[n]], weights[n]) for n in shown]) + 3.0
    at = np.asarray(axes.transData.transform(panel.at), dtype=float)
    half = np.asarray(panel.marks)[:, None] * axes.figure.dpi / 72
    lines = [axes.transData.transform(line) for line in panel.lines]
    soft = np.concatenate(lines) if lines else np.empty((0, 2))
    bounds = (axes.bbox.x0 + 2, axes.bbox.y0 + 2, axes.bbox.x1, axes.bbox.y1)
    centres = place_beside(at[shown], sizes, bounds, np.hstack([at - half, at + half]), soft)
    return None if centres is None else list(zip(shown, centres, sizes, at[shown], strict=True))


def _measure(axes: Axes, text: str, weight: str = "normal") -> tuple[float, float]:
    """Return width and height of a label in pixels."""
    drawn = axes.text(0, 0, text, fontsize=SIZE, weight=weight)
    extent = drawn.get_window_extent()
    drawn.remove()
    return extent.width, extent.height


def _draw_leader(figure: Figure, start: Array, end: Array, color: str, dashed: bool = False) -> None:
    """Draw a thin line between two places in pixels, kept in inches, so that it fits any resolution."""
    from matplotlib.lines import Line2D

    (x0, y0), (x1, y1) = start / figure.dpi, end / figure.dpi
    line = Line2D(
        [x0, x1], [y0, y1], transform=figure.dpi_scale_trans, color=color, linewidth=0.7, alpha=0.7,
        linestyle=(0, (1, 1.5)) if dashed else "-", solid_capstyle="butt",
    )  # fmt: skip
    line.set_in_layout(False)
    figure.add_artist(line)


@dataclass
class NamedLine:
    """The last point of a line in data coordinates, and what to write there."""

    at: tuple[float, float]
    name: str
    color: str


def name_line_ends(figure: Figure, panels: Sequence[tuple[Axes, Sequence[NamedLine]]]) -> None:
    """Write the names of lines right of their axes, at the height of their ends, and fix the layout."""
    written = []
    for axes, lines in panels:
        for line in lines:
            text = axes.annotate(
                wrap(line.name, 20), (1.0, line.at[1]), (9, 0), xycoords=axes.get_yaxis_transform(),
                textcoords="offset points", va="center", fontsize=SIZE, color=line.color, annotation_clip=False,
            )  # fmt: skip
            text.set_in_layout(True)
            written.append(text)
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    following = iter(written)
    for axes, lines in panels:
        texts = [next(following) for _ in lines]
        ends = np.array([axes.transData.transform(line.at) for line in lines]).reshape(-1, 2)
        heights = [text.get_window_extent().height + 3.0 for text in texts]
        box = axes.bbox
        if not len(ends):
            continue
        wanted = np.clip(ends[:, 1], box.y0, box.y1)
        for line, text, end, height in zip(
            lines, texts, ends, spread_apart(wanted, heights, box.y0 - 4, box.y1 + 6), strict=True
        ):
            text.xy = (1.0, 0.5)
            text.xycoords = axes.transAxes
            middle = (box.y0 + box.y1) / 2
            text.set_position((9, (height - middle) * 72 / figure.dpi))
            left = np.array([box.x1 + 9 * figure.dpi / 72 - 2, height])
            start = np.array([min(end[0], box.x1) + 4, np.clip(end[1], box.y0, box.y1)])
            if left[0] - start[0] > 3:
                _draw_leader(figure, start, left, line.color, dashed=True)


def add_key(figure: Figure, lines: Sequence[str], handles: Sequence[Any] | None = None) -> None:
    """Add a key below the axes, in as many columns as fit; without handles, of texts alone.

    The figure grows by the key's height.
    """
    from matplotlib.lines import Line2D

    if not lines:
        return
    longest = max(len(line) for line in lines) + (0 if handles is None else 5)
    columns = max(1, min(len(lines), int(figure.get_figwidth() * 72 / (longest * 5.0 + 16))))
    figure.set_figheight(figure.get_figheight() + 0.17 * -(-len(lines) // columns))
    made = figure.legend(
        [Line2D([], [], linestyle="none")] * len(lines) if handles is None else handles,
        [f"entry {n}" for n in range(len(lines))],
        loc="outside lower center",
        ncols=columns,
        fontsize=SIZE,
        handlelength=0 if handles is None else 2,
        handletextpad=0 if handles is None else 0.8,
    )
    # set afterwards, since matplotlib omits labels that start with an underscore
    for text, line in zip(made.get_texts(), lines, strict=True):
        text.set_text(line)


def drop_crowded_ticks(figure: Figure) -> None:
    """Remove the words of ticks that would touch the one before, and fix the layout if it is not yet."""
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    for axes in figure.axes:
        for axis, which in ((axes.xaxis, 0), (axes.yaxis, 1)):
            shown = [t for t in axis.get_ticklabels() if t.get_visible() and t.get_text()]
            ends = [
                (e.extents[which], e.extents[which + 2], t) for t in shown for e in [t.get_window_extent()]
            ]
            last = -np.inf
            for start, end, text in sorted(ends, key=lambda e: e[0]):
                if start < last + 2:
                    text.set_visible(False)
                else:
                    last = end
