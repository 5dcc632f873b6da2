"""What a run says of itself in its store while it runs, and the curves of its trainings."""

import math
import os
import signal
import subprocess
import sys

import pytest

from harness.discovery import registry
from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running import under_way
from harness.running.logs import CellLog, read_curves
from harness.running.runner import run

KILLED = """
import os, sys
from pathlib import Path
from harness.running.under_way import RunMarker

class Plan:
    class suite: name = "killed"
    counts = staticmethod(lambda: {"run": 1})

marker = RunMarker(Path(sys.argv[1]))
marker.run_started(Plan)
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_run_names_its_cells_while_they_run(tmp_path):
    store, seen = Store(tmp_path / "store"), []

    class Training:
        """A protocol that reports a loss, and looks at the store from outside while it trains."""

        needs_model = False

        def run(self, job):
            from harness.contract.running import Result

            for step in (1, 2):
                job.report("training", step, {"loss": 1 / step})
                job.advance(step, 2)
            seen.append(under_way.list_runs(store.path))
            return Result(metrics={"score": 1.0})

    class Nothing:
        splits = ("test",)

        def load(self, split):
            raise AssertionError

    registry.register("protocols", "watched", Training)
    registry.register("datasets", "nothing", Nothing)
    suite = parse_suite({"name": "live", "protocol": "watched", "datasets": ["nothing"], "seeds": [0, 1]})
    outcome = run(suite, store, installed_listeners=False)
    assert [r.status for r in outcome.records] == ["ok", "ok"], outcome.records[0].reason
    (first,), (second,) = seen
    assert (first.suite, first.done, first.total) == ("live", 0, 2)
    assert [c.id for c in first.cells] == [outcome.records[0].id]
    assert (second.done, [c.id for c in second.cells]) == (1, [outcome.records[1].id])
    assert under_way.list_runs(store.path) == []
    assert list((store.path / "running").iterdir()) == []


def test_a_killed_run_is_not_under_way(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    assert [run.suite for run in under_way.list_runs(tmp_path)] == ["killed"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert under_way.list_runs(tmp_path) == []
    assert len(list((tmp_path / "running").iterdir())) == 2


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"suite": 1, "started": "", "cells": []}',
        '{"suite": "s", "started": "", "cells": [{"id": "../x", "shown": "", "started": ""}]}',
    ],
)
def test_what_is_no_run_is_passed_over(tmp_path, content, monkeypatch):
    monkeypatch.setattr(under_way, "_is_alive", lambda path: True)
    folder = tmp_path / "running"
    folder.mkdir()
    (folder / "x.json").write_text(content)
    assert under_way.list_runs(tmp_path) == []


def test_curves_are_read_as_they_were_written(tmp_path):
    log = CellLog(tmp_path)
    for step in range(1, 1001):
        log.curve("training", step, {"loss": 1 / step, "rate": math.nan if step == 1 else 0.5})
    log.curve("validation", 10, {"top1": 0.25})
    with (tmp_path / "training.csv").open("a") as file:
        file.write("1001")  # a row that is being written
    curves = read_curves(tmp_path, points=100)
    assert curves["validation"] == {"top1": [[10.0], [0.25]]}
    steps, losses = curves["training"]["loss"]
    assert 100 <= len(steps) <= 102
    assert (steps[0], steps[-1]) == (1.0, 1000.0)
    assert losses == [1 / step for step in steps]
    assert curves["training"]["rate"][1][:2] == [None, 0.5]
    assert read_curves(tmp_path / "nothing") == {}
