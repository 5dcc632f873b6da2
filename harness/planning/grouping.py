"""Grouping of neighbouring cells that differ only in their seed, so that they may run as one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import groupby

from harness.contract.cells import Cell, canonical_json
from harness.contract.declared import ask
from harness.discovery.parts import blame

log = logging.getLogger("harness")


def seed_groups(cells: Sequence[Cell]) -> list[list[Cell]]:
    """Return the cells in order, in groups of at most as many seeds as their protocol takes at once.

    A protocol without `seeds_at_once` gets every cell alone.
    """
    groups: list[list[Cell]] = []
    for _, neighbours in groupby(cells, key=_all_but_seed):
        same = list(neighbours)
        most = _seeds_at_once(same[0])
        groups += [same[n : n + most] for n in range(0, len(same), most)]
    return groups


def _seeds_at_once(cell: Cell) -> int:
    seeds_at_once = ask(cell.protocol.object, "seeds_at_once")
    if seeds_at_once is None:
        return 1
    try:
        return max(1, int(seeds_at_once(cell)))
    except Exception as error:  # a protocol that can't say it still runs single seeds
        log.warning("%s", blame(cell.protocol, "failed at seeds_at_once, so its seeds run one by one", error))
        return 1


def _all_but_seed(cell: Cell) -> tuple[object, ...]:
    parts = (cell.protocol, cell.model, cell.dataset, cell.method, *cell.metrics)
    rest = (canonical_json(cell.axes), cell.precision, cell.images, cell.limit)
    return (*map(id, parts), *rest, cell.suite, cell.experiment)
