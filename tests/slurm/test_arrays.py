"""Packing of cells into jobs."""

from __future__ import annotations

from itertools import groupby
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contract.cells import Cell, Part
from harness.errors import HarnessError
from harness_slurm.arrays import FEW, MOST_TASKS, PARTS, choose_per_job, pack


def part(kind: str, name: str, plugin: object = None) -> Part:
    return Part(kind, name, "d", "1", name, {}, {}, f'"{name}"', plugin, lambda: None)


ALONE = part("protocols", "alone", SimpleNamespace())
AT_ONCE = part("protocols", "at-once", SimpleNamespace(seeds_at_once=lambda cell: 3))
DATA = part("datasets", "data")
MODELS = [part("models", f"m{n}") for n in range(4)]


def cell(model: int, seed: int, together: bool = False) -> Cell:
    return Cell("s", "", AT_ONCE if together else ALONE, MODELS[model], DATA, None, (), {}, seed)


CELLS = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 20), st.booleans()), unique=True, min_size=1, max_size=60
).map(lambda drawn: [cell(*each) for each in drawn])


@given(CELLS, st.integers(1, 10), st.one_of(st.none(), st.integers(1, 20)))
def test_every_cell_is_in_one_job_and_models_are_loaded_seldom(
    cells: list[Cell], jobs: int, per_job: int | None
) -> None:
    tasks = pack(cells, jobs, per_job)
    flat = [c for task in tasks for c in task]
    assert sorted(c.id for c in flat) == sorted(c.id for c in cells)
    models = [c.model.label for c in flat if c.model]
    assert len([*groupby(models)]) == len(set(models))
    size = choose_per_job(len(cells), jobs) if per_job is None else per_job
    assert all(len(task) <= max(size, 3) for task in tasks)


@given(st.integers(1, 5000), st.integers(1, 64))
def test_the_default_uses_all_jobs_and_few_starts(cells: int, jobs: int) -> None:
    size = choose_per_job(cells, jobs)
    starts = -(-cells // size)
    assert starts >= min(cells, jobs) // 2  # a share is rounded up, so that the last jobs may get nothing
    assert starts <= max(PARTS * jobs, jobs)
    assert size >= min(FEW, -(-cells // jobs))


def test_seeds_that_run_at_once_stay_together() -> None:
    cells = [cell(0, seed, together=True) for seed in range(6)]
    assert [[c.seed for c in task] for task in pack(cells, 8, per_job=1)] == [[0, 1, 2], [3, 4, 5]]


def test_more_jobs_than_an_array_takes() -> None:
    cells = [cell(0, seed) for seed in range(MOST_TASKS + 1)]
    with pytest.raises(
        HarnessError, match=r"1001 cells make 1001 jobs, more than the 1000 .* per_job of at least 2"
    ):
        pack(cells, 8, per_job=1)
    assert len(pack(cells, 8, per_job=2)) == 501
