"""What it costs to run cells in supervised worker processes, and what a second worker gains."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from harness.contract.cells import Cell
from harness.running.executors.chunks import make_chunks
from harness.running.executors.processes import Processes
from harness.running.worker import RunSettings


def run_in_pool(cells: Sequence[Cell], settings: RunSettings) -> int:
    """The least that spreads cells over a process: a pool of the standard library, without events or supervision."""
    toys = importlib.import_module("bench_toys")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, toys.start, (settings,)) as pool:
        chunks = make_chunks(cells, max(1, len(cells) // 16))
        return sum(len(records) for records in pool.map(toys.run, chunks))


def run_in_slot(cells: Sequence[Cell], settings: RunSettings) -> int:
    executor = Processes(1)
    try:
        return sum(1 for _ in executor.execute(cells, settings, lambda *_, **__: None))
    finally:
        executor.close()


def spent(work: Callable[[], int], expected: int) -> float:
    """Processor time of a call that returns `expected`, with that of the processes that it started and waited for."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)

    def total() -> float:
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, kinds))

    before = total()
    assert work() == expected
    return total() - before


def test_a_supervised_slot_costs_little_over_a_bare_pool(
    benchmark: Any, measuring: bool, toy_cells: Callable[..., list[Cell]], tmp_path: Path
) -> None:
    """The cost of the cells alone: that of a start is taken out, by a run of few cells."""
    many, few = toy_cells(1000 if measuring else 8), toy_cells(4)
    rounds = 5 if measuring else 1
    costs: dict[Any, list[float]] = {run_in_pool: [], run_in_slot: []}
    for n in range(rounds):
        for way in sorted(costs, key=lambda f: f.__name__, reverse=bool(n % 2)):
            for cells, sign in ((many, 1), (few, -1)):
                settings = RunSettings(tmp_path / f"{n}-{way.__name__}-{len(cells)}", device="cpu", threads=1)
                seconds = spent(partial(way, cells, settings), len(cells))
                costs[way].append(sign * seconds)
    by_way = {way: [a + b for a, b in zip(c[::2], c[1::2], strict=True)] for way, c in costs.items()}
    ratio = statistics.median(a / b for a, b in zip(by_way[run_in_slot], by_way[run_in_pool], strict=True))
    benchmark.extra_info["processor time per cell over a bare pool"] = ratio
    benchmark.extra_info["ms per cell"] = statistics.median(by_way[run_in_slot]) / len(many) * 1e3
    print(f"a slot costs {ratio:.2f} x a bare pool, {benchmark.extra_info['ms per cell']:.2f} ms a cell")
    benchmark.pedantic(lambda: None, rounds=1)
    if measuring:
        assert ratio <= 1.3


def test_two_workers_do_twice_as_much(
    benchmark: Any, measuring: bool, toy_cells: Callable[..., list[Cell]], tmp_path: Path
) -> None:
    took: dict[int, float] = {}
    for count in (1, 2):
        executor = Processes(count)
        settings = RunSettings(tmp_path / str(count), device="cpu", threads=1)
        try:
            warm = executor.execute(toy_cells(2 * count, 0.5), settings, lambda *_, **__: None)
            assert sum(1 for _ in warm) == 2 * count  # every worker has started
            cells = toy_cells(44 if measuring else 8, 0.25 if measuring else 0.01)
            began = time.perf_counter()
            assert sum(1 for _ in executor.execute(cells, settings, lambda *_, **__: None)) == len(cells)
            took[count] = time.perf_counter() - began
        finally:
            executor.close()
    benchmark.extra_info["one worker over two"] = took[1] / took[2]
    print(f"two workers do {took[1] / took[2]:.2f} x the work of one")
    benchmark.pedantic(lambda: None, rounds=1)
    if measuring:
        assert took[1] / took[2] >= 1.9
