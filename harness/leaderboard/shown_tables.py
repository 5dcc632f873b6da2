"""A list of tables that shows itself: as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

from harness.leaderboard.table import Table


class ShownTables(list[Table]):
    """Tables, of which an interpreter or a notebook shows the content, as it does for a single one."""

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return "\n".join(table._repr_html_() for table in self)
