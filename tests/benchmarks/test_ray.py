"""What it costs to run cells in actors of Ray instead of processes, and what a second actor gains."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.running.executors.processes import Processes
from harness.running.worker import RunSettings

pytest.importorskip("ray", reason="ray is not installed: pip install 'vision-harness[ray]'")


@pytest.fixture(autouse=True)
def own_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray without tokens, and without a word to its makers."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")


def family() -> dict[int, float]:
    """Processor seconds of this process and of those that it and they have started, by process id."""
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(folder.name)] = int(fields[1])
            spent[int(folder.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return {pid: spent[pid] for pid in found}


def execute(executor: Any, cells: Sequence[Cell], settings: RunSettings) -> float:
    """Run cells; return the seconds that it took."""
    began = time.perf_counter()
    assert sum(1 for _ in executor.execute(cells, settings, lambda *_, **__: None)) == len(cells)
    return time.perf_counter() - began


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc to read processor time from")
def test_an_actor_costs_little_over_a_process(
    benchmark: Any, measuring: bool, toy_cells: Callable[..., list[Cell]], tmp_path: Path
) -> None:
    """The processor time of all processes, Ray's idle daemons included; workers have started before."""
    from harness_ray.executor import Ray

    many = 1000 if measuring else 8
    warm, cells = toy_cells(20), toy_cells(many)
    costs: dict[str, list[float]] = {"processes": [], "ray": []}
    for name, executor in (("processes", Processes(1)), ("ray", Ray(1, cpus=1))):
        try:
            for _ in range(3 if measuring else 1):
                # the same settings keep the worker; `fresh` runs the cells again
                settings = RunSettings(tmp_path / name, device="cpu", threads=1, fresh=True)
                execute(executor, warm, settings)
                before = family()
                execute(executor, cells, settings)
                after = family()
                costs[name].append(sum(after[pid] - before.get(pid, 0.0) for pid in after))
        finally:
            executor.close()
    ms = {name: min(values) / many * 1e3 for name, values in costs.items()}
    benchmark.extra_info |= {f"ms per cell, {name}": value for name, value in ms.items()}
    print(f"processor time per cell: processes {ms['processes']:.2f} ms, ray {ms['ray']:.2f} ms, "
          f"{ms['ray'] / ms['processes']:.2f} x")  # fmt: skip
    benchmark.pedantic(lambda: None, rounds=1)
    if measuring:
        assert ms["ray"] / ms["processes"] <= 1.3


def test_two_actors_do_twice_as_much(
    benchmark: Any, measuring: bool, toy_cells: Callable[..., list[Cell]], tmp_path: Path
) -> None:
    from harness_ray.executor import Ray

    took: dict[int, float] = {}
    for count in (1, 2):
        executor = Ray(count)
        settings = RunSettings(tmp_path / str(count), device="cpu", threads=1)
        try:
            execute(executor, toy_cells(4 * count, 1.0 if measuring else 0.1), settings)  # all have started
            cells = toy_cells(44 if measuring else 8, 0.25 if measuring else 0.01)
            took[count] = execute(executor, cells, settings)
        finally:
            executor.close()
    print(f"two actors do {took[1] / took[2]:.2f} x the work of one")
    benchmark.extra_info["one actor over two"] = took[1] / took[2]
    benchmark.pedantic(lambda: None, rounds=1)
    if measuring:
        assert took[1] / took[2] >= 1.9
