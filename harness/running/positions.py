"""Positions of cells in a run, by the order in which they start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from harness.contract.cells import Cell


class Positions:
    """Passes events on; a cell that starts gets its position, and keeps it if it starts again."""

    def __init__(self, tell: Callable[..., None], total: int) -> None:
        self._tell, self._total = tell, total
        self._places: dict[str, int] = {}

    def __call__(self, event: str, *, cell: Cell, **facts: Any) -> None:
        """Pass on an event of a cell."""
        if event == "cell_started":
            place = self._places.setdefault(cell.id, len(self._places) + 1)
            facts = {"position": place, "total": self._total}
        self._tell(event, cell=cell, **facts)
