"""Names that appear when the pointer rests on a point: for plots of more points than labels have room."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

SHAPE = re.compile(r"<(use|path)\b([^<>]*?)/>")
"""How an SVG by matplotlib draws one point."""

_NAMES: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()
"""The names of each scatter's points, as long as it exists."""


def name_on_hover(points: PathCollection, names: Sequence[str]) -> None:
    """Give the points of a scatter (`Axes.scatter`) names, in their order, for the pages and files that show SVG.

    Raises ValueError unless there is one name for each point.
    """
    count = len(points.get_offsets())  # type: ignore[arg-type]
    if count != len(names):
        raise ValueError(f"{count} points, {len(names)} names")
    _NAMES[points] = list(names)
    points.set_gid(f"named-points-{id(points)}")


def add_hover_names(figure: Figure, svg: str) -> str:
    """Return the figure's SVG text with the points' names as titles, and the same ids on every run."""
    for number, (gid, names) in enumerate(_named_points(figure)):
        start = svg.find(f'<g id="{gid}">')
        if start < 0:  # invisible
            continue
        end = _find_end(svg, start)
        following = iter(names)

        def title(found: re.Match[str], following: Iterator[str] = following) -> str:
            return f"<{found[1]}{found[2]}><title>{escape(next(following))}</title></{found[1]}>"

        # the shape that all points share stands before them, in <defs>
        before, shared, points = svg[start:end].rpartition("</defs>")
        if len(SHAPE.findall(points)) == len(names):
            points = SHAPE.sub(title, points)
        head = (before + shared).replace(gid, f"named-points-{number}")
        svg = svg[:start] + (head + points.replace(gid, f"named-points-{number}")) + svg[end:]
    return svg


def _named_points(figure: Figure) -> list[tuple[str, list[str]]]:
    found: list[tuple[str, list[str]]] = []
    for axes in figure.axes:
        for artist in axes.collections:
            if artist in _NAMES:
                found.append((str(artist.get_gid()), _NAMES[artist]))
    return found


def _find_end(svg: str, start: int) -> int:
    """Return where the group that starts there ends."""
    depth = 0
    for tag in re.compile(r"<g\b|</g>").finditer(svg, start):
        depth += 1 if tag[0] != "</g>" else -1
        if depth == 0:
            return tag.end()
    return len(svg)
