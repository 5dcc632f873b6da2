"""Several runs at once, on one store or on one each: the work is shared, and the table is that of one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.records.store import Store

CODE = """
import os, time
from pathlib import Path
import numpy as np
from harness import Result, Sample

class S:
    ids, targets = ["a"], np.array([0])
    def __len__(self): return 1
    def __getitem__(self, n): return Sample(self.ids[n])

class D:
    splits = ("test",)
    def load(self, split): return S()

class P:
    needs_model = False
    def run(self, job):
        with open(os.environ["CELLS_LOG"], "a") as log:
            log.write(f"{job.cell.id} {os.getpid()}\\n")
        time.sleep(0.1)
        drawn = np.random.default_rng(job.seed_for("x", job.cell.seed)).random()
        return Result({"drawn": drawn}, count=1)
"""

SUITE = """\
name = "shared"
protocol = "sh-p"
datasets = ["sh-d"]
metrics = []
seeds = [{seeds}]
tables = [{{ name = "t", rows = ["dataset"], values = ["drawn"] }}]
"""

CELLS = 40


class Runs:
    """Commands with the toy plugins installed; `cells` counts how often each cell was run."""

    def __init__(self, folder: Path) -> None:
        info = folder / "site" / "shared_toys-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shared-toys\nVersion: 1.0\n")
        points = "[harness.datasets]\nsh-d = shared_toys:D\n[harness.protocols]\nsh-p = shared_toys:P\n"
        (info / "entry_points.txt").write_text(points)
        (folder / "site" / "shared_toys.py").write_text(CODE)
        self.suite, self.log = folder / "shared.toml", folder / "cells.log"
        self.suite.write_text(SUITE.format(seeds=", ".join(map(str, range(CELLS)))))
        path = os.pathsep.join([str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])])
        self.env = {**os.environ, "PYTHONPATH": path, "CELLS_LOG": str(self.log), "OMP_NUM_THREADS": "1"}

    def start(self, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "harness", *map(str, arguments)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=self.env, stdout=pipe, stderr=pipe, text=True)

    def run(self, store: Path, *more: object) -> subprocess.Popen[str]:
        return self.start("run", self.suite, "--store", store, "--format", "csv", *more)

    def table(self, store: Path) -> str:
        shown = self.start("table", "shared", "--store", store, "--format", "csv")
        text, err = shown.communicate()
        assert shown.returncode == 0, err
        return text.strip()

    def cells(self) -> Counter[str]:
        return Counter(line.split()[0] for line in self.log.read_text().splitlines())

    def workers(self) -> set[str]:
        return {line.split()[1] for line in self.log.read_text().splitlines()} if self.log.exists() else set()


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


def wait_until(condition: object, what: str) -> None:
    end = time.monotonic() + 300
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.02)


@pytest.mark.parametrize("executor", ["inline", "processes:2"])
def test_two_runs_share_the_work(runs: Runs, tmp_path: Path, executor: str) -> None:
    """Each cell once, each run with its part, both with all records; no lease is left."""
    store = tmp_path / "store"
    both = [runs.run(store, "--executor", executor) for _ in range(2)]
    shown = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], shown
    assert set(runs.cells().values()) == {1}
    assert len(runs.cells()) == CELLS == len(Store(store).done())
    assert shown[0][0].strip() == shown[1][0].strip() == runs.table(store)
    assert list((store / "leases").glob("*")) == []


def test_a_killed_run_costs_the_other_one_cell(runs: Runs, tmp_path: Path) -> None:
    """On the same host its lease is known to be void at once, not after minutes."""
    store = tmp_path / "store"
    first = runs.run(store, "--executor", "inline")
    second = runs.run(store, "--executor", "inline")
    wait_until(lambda: len(runs.workers()) == 2, "both runs")
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate()
    assert second.returncode == 0, err
    counts = runs.cells()
    assert len(counts) == CELLS
    assert sum(counts.values()) <= CELLS + 1
    assert out.strip() == runs.table(store)


def test_four_nodes_merge_into_the_table_of_one(runs: Runs, tmp_path: Path) -> None:
    """Four stores of a quarter each, as nodes without a common disk leave them."""
    whole = runs.run(tmp_path / "whole", "--quiet")
    _, err = whole.communicate()
    assert whole.returncode == 0, err
    nodes = [tmp_path / f"node{n}" for n in range(4)]
    for n, node in enumerate(nodes):
        seeds = ",".join(map(str, range(n, CELLS, 4)))
        process = runs.run(node, "--quiet", "--seeds", seeds)
        _, err = process.communicate()
        assert process.returncode == 0, err
        assert len(Store(node).done()) == CELLS // 4
    merged = runs.start("merge", tmp_path / "merged", *nodes)
    _, err = merged.communicate()
    assert merged.returncode == 0, err
    assert runs.table(tmp_path / "merged") == runs.table(tmp_path / "whole")
