"""The table object that the public API returns: a layout that writes itself."""

from __future__ import annotations

from dataclasses import dataclass

from harness.leaderboard.formats import render
from harness.leaderboard.layout import Layout


@dataclass
class Table(Layout):
    """A leaderboard, ready to be written in any format."""

    def render(self, format: str = "terminal") -> str:
        """The table as text: `terminal`, `markdown`, `csv`, `json`, `latex` or `html`.

        Raises HarnessError for another format.
        """
        return render(self, format)

    def __str__(self) -> str:
        return self.render()

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return self.render("html")
