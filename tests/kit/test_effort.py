"""How much the checks run: cells and processes are what a check costs, and what this counts."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from harness.discovery import registry
from harness.running.worker import Worker
from harness.testing import check, displays, other_process


def planted(module: str, name: str) -> Any:
    """A sound plugin of the folder of planted faults."""
    return getattr(import_module(module), name)


GRID = {"datasets": ["effort-squares"], "protocol": "effort-training"}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Counter[str]]:
    """What is run and started meanwhile."""
    counted: Counter[str] = Counter()
    run, popen, toys = Worker.run, other_process.subprocess.Popen, displays.run_toys

    def count_cell(self: Worker, *given: Any, **more: Any) -> Any:
        counted["cells"] += 1
        return run(self, *given, **more)

    class CountedProcess(popen):  # type: ignore[misc, valid-type]
        def __init__(self, *given: Any, **more: Any) -> None:
            counted["interpreters"] += given[0][0] == sys.executable  # besides git, for provenance
            super().__init__(*given, **more)

    def count_toys(*given: Any, **more: Any) -> Any:
        counted["toy runs"] += 1
        return toys(*given, **more)

    monkeypatch.setattr(Worker, "run", count_cell)
    monkeypatch.setattr(other_process.subprocess, "Popen", CountedProcess)
    monkeypatch.setattr(displays, "run_toys", count_toys)
    other_process.modules_imported_by.cache_clear()
    with (
        registry.register_temporarily("datasets", "effort-squares", planted("faulty_data", "Squares")),
        registry.register_temporarily("protocols", "effort-training", planted("faulty_runs", "Training")),
    ):
        yield counted


def test_a_sound_method_runs_once_undisturbed_and_once_with_a_kill(counts: Counter[str]) -> None:
    assert not [
        f for f in check("methods", planted("faulty_runs", "Walk")(), cell=GRID) if f.status == "fails"
    ]
    assert counts == {"cells": 3, "interpreters": 1}


def test_a_protocol_is_killed_twice(counts: Counter[str]) -> None:
    findings = {
        f.check: f.status for f in check("protocols", planted("faulty_runs", "Training")(), cell=GRID)
    }
    assert (findings["same seed"], findings["continues after a kill"]) == ("holds", "holds")
    assert counts["cells"] == 5
    assert counts["interpreters"] == 1


@pytest.mark.parametrize(("kind", "plugin"), [("summaries", "Best"), ("plots", "Dots")])
def test_the_toy_suite_is_run_once_for_all_checks(counts: Counter[str], kind: str, plugin: str) -> None:
    assert not [f for f in check(kind, planted("faulty_shows", plugin)()) if f.status == "fails"]
    assert counts["toy runs"] == 1
    assert counts["interpreters"] == 1
