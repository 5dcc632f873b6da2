"""The cells of one run, as their dispatcher keeps them."""

from __future__ import annotations

import heapq
import itertools
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence

from harness.contract.cells import Cell
from harness.contract.declared import ask
from harness.records.store import Store
from harness.running.claims import FIRST_PAUSE, LONGEST_PAUSE


class Work:
    """Cells to hand out, cells that other runs are at, and all that have no record yet."""

    def __init__(
        self,
        chunks: Sequence[list[Cell]],
        store: Store,
        tell: Callable[..., None],
        since: int,
        cell_timeout: float | None,
    ) -> None:
        self.queue = deque(chunks)
        self.cells = {cell.id: cell for chunk in chunks for cell in chunk}
        self.left = dict(self.cells)
        self.store, self.tell, self.since, self.cell_timeout = store, tell, since, cell_timeout
        self.tries: Counter[str] = Counter()
        self.warmed: set[tuple[int, str]] = set()
        self.later: list[tuple[float, int, Cell]] = []
        """A heap of cells that others are at: when to look again, a tie-breaker, the cell."""
        self._pauses: dict[str, float] = {}
        self._order = itertools.count()

    def next_chunk(self) -> list[Cell]:
        """Return the next cells to run; none if there are none now."""
        return self.queue.popleft() if self.queue else []

    def elsewhere(self) -> Iterator[Cell]:
        """Yield the cells that others are at."""
        return (cell for _, _, cell in self.later)

    def may_warm(self, cell: Cell, slot: int) -> bool:
        """Return whether a cell's protocol lets a slot help that has not done so yet."""
        return (slot, cell.id) not in self.warmed and ask(cell.protocol.object, "warm") is not None

    def postpone(self, cell: Cell, holder: str) -> None:
        """Look again later at a cell that another run is at, and say so once."""
        if cell.id not in self._pauses:
            self.tell("cell_elsewhere", cell=cell, holder=holder)
        pause = min(2 * self._pauses.get(cell.id, FIRST_PAUSE / 2), LONGEST_PAUSE)
        self._pauses[cell.id] = pause
        heapq.heappush(self.later, (time.monotonic() + pause, next(self._order), cell))

    def return_postponed(self, now: float) -> None:
        """Queue the cells that are to be looked at again, behind all others."""
        while self.later and self.later[0][0] <= now:
            self.queue.append([heapq.heappop(self.later)[2]])
