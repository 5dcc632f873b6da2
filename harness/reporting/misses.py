"""A suite's most confident wrong predictions as pictures, each with a link to its record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import chain, zip_longest
from typing import Any

SHOWN = 24
"""Pictures of one suite."""


@dataclass(frozen=True)
class Miss:
    """A sample that a model got wrong: its picture's number, its class, and what the model took it for."""

    id: str
    """Of the record."""
    sample: str
    picture: int
    target: str
    prediction: str


def choose_misses(excerpts: Mapping[str, Mapping[str, Any]], shown: int = SHOWN) -> list[Miss]:
    """Return misses from the excerpts of records by id: the surest of each record, then the second, …

    A sample that several models get wrong is taken once.
    """
    by_record = [_find_misses(id, excerpt) for id, excerpt in excerpts.items()]
    turns = chain.from_iterable(zip_longest(*by_record))
    chosen: dict[str, Miss] = {}
    for miss in turns:
        if miss is not None and len(chosen) < shown:
            chosen.setdefault(miss.sample, miss)
    return list(chosen.values())


def _find_misses(id: str, excerpt: Mapping[str, Any]) -> list[Miss]:
    columns, hits = excerpt.get("columns", ()), excerpt.get("hit")
    if hits is None or not {"id", "target", "prediction"} <= set(columns):
        return []
    names = excerpt.get("names", {})
    at = {name: columns.index(name) for name in ("id", "target", "prediction")}
    found = []
    for position, picture in excerpt.get("thumbs", ()):
        if not hits[position]:
            row = excerpt["rows"][position]
            target, prediction = (_class_name(row[at[name]], names) for name in ("target", "prediction"))
            found.append(Miss(id, str(row[at["id"]]), picture, target, prediction))
    return found


def _class_name(value: Any, names: Mapping[str, str]) -> str:
    return names.get(str(value), "none" if value is None else str(value))


def render_misses(
    misses: Sequence[Miss], pictures: Sequence[str], described: Mapping[str, str], anchor: str
) -> str:
    """Return the gallery, or nothing without misses. `described` tells model and data set of each record."""
    if not misses:
        return ""
    items = []
    for miss in misses:
        source = pictures[miss.picture]
        pixels = ' class="pixels"' if source.startswith("data:image/png") else ""
        where = described.get(miss.id, "")
        told = f"{where}: {miss.sample}" if where else miss.sample
        items.append(
            f'<li><a class="miss" href="#record-{escape(miss.id)}" title="{escape(told)}">'
            f'<img src="{source}" alt="" loading="lazy" width="72" height="72"{pixels}>'
            f'<span class="wrong"><span class="sr">taken for </span>{escape(miss.prediction)}</span>'
            f'<span class="right"><span class="sr">, truly </span>{escape(miss.target)}</span>'
            f'<span class="who">{escape(where)}</span></a></li>'
        )
    return (
        f'<details class="misses" id="{escape(anchor)}" open><summary><h3>Misses</h3></summary>'
        '<p class="caption">The most confident wrong predictions of each model in turn: <span class="wrong">what it '
        'was taken for</span>, <span class="right">what it is</span>. Open one for its record.</p>'
        f'<ul class="gallery">{"".join(items)}</ul></details>'
    )
