"""The time that is left of a run, from cells of unequal cost and one-time work."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from statistics import fmean, median

from harness.contract.cells import Cell


class TimeLeft:
    """An estimate that learns from each finished cell.

    A cell is expected to take the median of finished ones like it: those that differ in their seed alone, else
    in the data set, the axes, the method, and so on. One-time work (see `harness.long_work`) is taken out of
    these medians, and expected once for each model that no cell has used yet.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._kin = {cell.id: tuple(_list_kin(cell)) for cell in cells}
        self._left = Counter(self._kin.values())
        self._models = Counter(_name_model(cell) for cell in cells)
        self._seconds: dict[Hashable, list[float]] = defaultdict(list)
        self._once: dict[str, float] = defaultdict(float)
        self._spent = 0.0

    def finish(self, cell: Cell, seconds: float, one_time: float = 0.0) -> None:
        """Take a finished cell into account: its seconds, and how many of them were one-time work."""
        kin = self.leave_out(cell)
        if kin is None:
            return
        self._spent += seconds
        self._once[_name_model(cell)] += one_time
        for key in kin:
            self._seconds[key].append(max(0.0, seconds - one_time))

    def leave_out(self, cell: Cell) -> tuple[Hashable, ...] | None:
        """Take a cell out without learning from its time; return what it shares with others, None if it is no longer in."""
        kin = self._kin.pop(cell.id, None)
        if kin is not None:
            self._left[kin] -= 1
            self._models[_name_model(cell)] -= 1
        return kin

    def estimate(self, elapsed: float, most_at_once: int = 1) -> float | None:
        """Return the seconds left after `elapsed`, or None while nothing is finished.

        As many cells are taken to run at once as have so far, at most `most_at_once`.
        """
        if not self._kin:
            return 0.0
        if not self._seconds:
            return None
        expected = sum(count * self._expect(kin) for kin, count in self._left.items() if count)
        unused = [model for model, count in self._models.items() if count and model not in self._once]
        expected += len(unused) * fmean(self._once.values())
        at_once = min(max(self._spent / max(elapsed, 1e-9), 1.0), float(most_at_once))
        return expected / at_once

    def _expect(self, kin: tuple[Hashable, ...]) -> float:
        return median(next(self._seconds[key] for key in kin if key in self._seconds))


def _name_model(cell: Cell) -> str:
    return cell.model.identity if cell.model else ""


def _list_kin(cell: Cell) -> Iterator[Hashable]:
    """Yield what a cell shares with others, from those that are most like it to all."""
    at = cell.coordinates
    names = [name for name in at if name != "seed"]
    for left_out in ((), ("dataset",), ("dataset", *cell.axes), ("dataset", "model", *cell.axes)):
        yield tuple((name, str(at[name])) for name in names if name not in left_out)
    yield at["experiment"]
    yield None
