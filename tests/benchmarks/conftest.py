"""Whether times are asserted, and how two ways of doing the same work are compared."""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.discovery import registry
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.running import devices


@pytest.fixture
def measuring(request: pytest.FixtureRequest) -> bool:
    """True under `--benchmark-enable`: sizes are full and times are asserted."""
    return bool(request.config.getoption("--benchmark-enable"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch on one thread, so that a ratio does not depend on the cores that are free."""
    with devices.one_thread():
        yield


def seconds(work: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def processor(work: Callable[[], Any]) -> float:
    """Processor time of one call: on one thread the same as wall time, less what others took."""
    start = time.process_time()
    work()
    return time.process_time() - start


def alternated(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> float:
    """Median over rounds of time(first) / time(second), each round starting with the other one."""
    first(), second()
    ratios = []
    for n in range(rounds):
        if n % 2:
            b, a = processor(second), processor(first)
        else:
            a, b = processor(first), processor(second)
        ratios.append(a / b)
    return statistics.median(ratios)


@pytest.fixture
def ratio() -> Callable[..., float]:
    """`ratio(first, second, rounds)`: see `alternated`."""
    return alternated


@pytest.fixture
def least() -> Callable[..., float]:
    """`least(work, rounds)`: the shortest wall time of several calls."""
    return lambda work, rounds=5: min(seconds(work) for _ in range(rounds))


@pytest.fixture(autouse=True)
def own_plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Plugins that a benchmark registers go with it."""
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    yield
    monkeypatch.undo()
    registry.refresh()


TOYS = """
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
    return [record.to_json() for cell in cells for record in worker.run_group([cell])]
"""


@pytest.fixture
def toy_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[Cell]]]:
    """`toy_cells(count, sleeps)`: cells of an installed distribution, which other processes have, too."""
    info = tmp_path / "site" / "bench_toys-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bench-toys\nVersion: 1.0\n")
    points = "[harness.datasets]\nbench-d = bench_toys:D\n[harness.protocols]\nbench-p = bench_toys:Toy\n"
    (info / "entry_points.txt").write_text(points)
    (tmp_path / "site" / "bench_toys.py").write_text(TOYS)
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
