"""What people call numbers and coordinates in the headers of tables: a title, the unit, and the direction."""

from __future__ import annotations

from collections.abc import Mapping

from harness.leaderboard.entries import Column

COORDINATES = {"dataset": "Data set"}
COSTS = {
    "seconds": "Time (s)",
    "parameters": "Parameters",
    "trainable_parameters": "Trainable parameters",
    "samples_per_second": "Samples per second",
    "peak_memory": "Peak GPU memory (B)",
    "peak_memory_reserved": "Reserved GPU memory (B)",
    "peak_process_memory": "Peak memory of the process (B)",
}
"""Titles of what the core measures for every cell."""


def title_coordinate(name: str, titles: Mapping[str, str]) -> str:
    """Return the title of a coordinate, an axis or a tag: its stated one, else its name as words.

    >>> title_coordinate("shots", {}), title_coordinate("tag.dataset.severity", {})
    ('Shots', 'Severity')
    """
    if stated := titles.get(name) or COORDINATES.get(name):
        return stated
    words = name.rpartition(".")[2].replace("_", " ")
    return words[:1].upper() + words[1:]


def title_number(name: str, titles: Mapping[str, str]) -> str:
    """Return the title of a metric or cost: its stated one, else its metric's with the rest of the key, else the key.

    >>> title_number("top1.base", {"top1": "Top-1 accuracy"}), title_number("modes worst", {"modes": "Modes"})
    ('Top-1 accuracy, base', 'Modes worst')
    """
    if stated := titles.get(name) or COSTS.get(name):
        return stated
    for mark, joiner in ((".", ", "), (" ", " ")):
        metric, found, rest = name.partition(mark)
        if found and metric in titles:
            return f"{titles[metric]}{joiner}{rest}"
    return name


def describe_number(name: str, format: Column, unit: str | None, titles: Mapping[str, str]) -> str:
    """Return a header: the title with unit and direction, such as `Top-1 accuracy (%) ↑`.

    `unit` is the metric's own; fractions that are shown in percent are in %. A direction that nobody has
    stated has no arrow.
    """
    title = title_number(name, titles)
    shown = "%" if format.percent else unit if unit != "fraction" else None
    arrow = {True: "↑", False: "↓", None: ""}[format.higher_is_better]
    return " ".join(filter(None, (title, f"({shown})" if shown and "(" not in title else "", arrow)))
