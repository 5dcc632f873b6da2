"""The table that the public API returns: a layout that can be written in several formats."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.leaderboard.formats import render
from harness.leaderboard.layout import Layout

if TYPE_CHECKING:
    from harness.planning.suite import TableSpec


@dataclass
class Table(Layout):
    """A leaderboard, ready to be written in any format."""

    def render(self, format: str = "terminal") -> str:
        """Return the table as text: `terminal`, `markdown`, `csv`, `json`, `latex` or `html`.

        Raises HarnessError for another format.
        """
        return render(self, format)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        size = f"{len(self.rows)} × {len(self.columns)} values"
        return f"<Table '{self.name}': {self.title}: {size}; print() or .render() shows it>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return self.render("html")


def empty_table(spec: TableSpec, row_names: Iterable[str], column_names: Iterable[str]) -> Table:
    """Return a table with the specification's title, caption and level, and no numbers yet."""
    title = spec.title or spec.name
    names = tuple(row_names), tuple(column_names)
    return Table(spec.name, title, *names, [], [], caption=spec.caption, level=spec.level)
