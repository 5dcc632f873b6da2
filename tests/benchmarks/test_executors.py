"""What it costs to run cells in supervised worker processes, and what a second worker gains."""

from __future__ import annotations

import importlib
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.discovery import registry
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.running.executors.chunks import make_chunks
from harness.running.executors.processes import Processes
from harness.running.worker import RunSettings

CODE = """
import time
import numpy as np
from harness import Result, Sample

class S:
    ids, targets = ["a"], np.array([0])
    def __len__(self): return 1
    def __getitem__(self, n): return Sample(self.ids[n])

class D:
    splits = ("test",)
    def load(self, split): return S()

class Toy:
    needs_model = False
    def __init__(self, sleeps: float = 0.0): self.sleeps = sleeps
    def run(self, job):
        job.advance(1, 1)
        time.sleep(self.sleeps)
        return Result({"x": float(job.cell.seed)}, count=1)

worker = None

def start(settings):
    global worker
    from harness.running.worker import Worker
    worker = Worker(settings)

def run(cells):
    return [worker.run(cell).to_json() for cell in cells]
"""


@pytest.fixture
def toy_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Cell]]]:
    """`toy_cells(count, sleeps)`: cells of an installed distribution, which other processes have, too."""
    info = tmp_path / "site" / "bench_toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-toys\nVersion: 1.0\n")
    points = "[harness.datasets]\nbench-d = bench_toys:D\n[harness.protocols]\nbench-p = bench_toys:Toy\n"
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "site" / "bench_toys.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    registry.refresh()

    def make(count: int, sleeps: float = 0.0) -> list[Cell]:
        content = {
            "name": "bench",
            "protocol": {"plugin": "bench-p", "sleeps": sleeps},
            "datasets": ["bench-d"],
            "metrics": [],
            "seeds": list(range(count)),
        }
        return [p.cell for p in make_plan(parse_suite(content))]

    yield make
    sys.modules.pop("bench_toys", None)


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
