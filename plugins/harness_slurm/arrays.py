"""Packing of cells into the tasks of job arrays."""

from __future__ import annotations

from collections.abc import Sequence

from harness.contract.cells import Cell
from harness.errors import HarnessError
from harness.planning.grouping import seed_groups

FEW = 8
"""Cells that a job gets by default if there are enough of them for all jobs: its start takes seconds."""

PARTS = 4
"""Tasks per job that may run at once by default: the jobs that are done first take more of them."""

MOST_TASKS = 1000
"""Tasks in an array at most, which is what Slurm itself allows unless a site changes it."""


def choose_per_job(cells: int, jobs: int) -> int:
    """Return how many cells a job gets by default: an equal share for few cells, else `FEW` or more.

    >>> [choose_per_job(cells, jobs=8) for cells in (8, 24, 100, 1000)]
    [1, 3, 8, 32]
    """
    share = -(-cells // jobs)
    return max(-(-cells // (PARTS * jobs)), min(FEW, share), 1)


def pack(cells: Sequence[Cell], jobs: int, per_job: int | None) -> list[list[Cell]]:
    """Return the cells of each task: sorted by model, about `per_job` each, seeds that run at once together.

    Raises HarnessError if that makes more tasks than an array may have.
    """
    size = choose_per_job(len(cells), jobs) if per_job is None else per_job
    order: dict[str, int] = {}
    for cell in cells:
        order.setdefault(_model(cell), len(order))
    tasks: list[list[Cell]] = []
    for group in seed_groups(sorted(cells, key=lambda cell: order[_model(cell)])):
        if tasks and len(tasks[-1]) + len(group) <= size:
            tasks[-1] += group
        else:
            tasks.append(list(group))
    if len(tasks) > MOST_TASKS:
        raise HarnessError(
            f"executor slurm: {len(cells)} cells make {len(tasks)} jobs, more than the {MOST_TASKS} of an array: "
            f"give a per_job of at least {-(-len(cells) // MOST_TASKS)}"
        )
    return tasks


def _model(cell: Cell) -> str:
    return cell.model.identity if cell.model else ""
