"""Which neighbouring cells may run as one: those that differ in their seed alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from harness.cell import Cell
from harness.parts import canonical


def seed_groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in their order, as groups of at most as many seeds as their protocol takes at once.

    A protocol without `seeds_at_once` gets every cell alone.
    """
    groups: list[list[Cell]] = []
    for _, neighbours in groupby(cells, key=_all_but_seed):
        same = list(neighbours)
        ask = getattr(same[0].protocol.object, "seeds_at_once", None)
        most = max(1, int(ask(same[0]))) if ask else 1
        groups += [same[n : n + most] for n in range(0, len(same), most)]
    return groups


def _all_but_seed(cell: Cell) -> tuple[object, ...]:
    parts = (cell.protocol, cell.model, cell.dataset, cell.method, *cell.metrics)
    rest = (canonical(cell.axes), cell.precision, cell.images, cell.limit)
    return (*(id(p) if p else 0 for p in parts), *rest, cell.suite, cell.experiment)
