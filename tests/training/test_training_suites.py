"""The shipped suite files of training: they can be planned, and rank by five seeds where they claim to."""

from __future__ import annotations

from pathlib import Path

import pytest

import harness
from harness.planning.suite import load_suite_file
from tests.data.test_tiny_imagenet import build

SUITES = ["training", "training-layers", "training-tiny-imagenet", "training-cifar"]


@pytest.mark.parametrize("name", SUITES)
def test_shipped_suites_can_be_planned(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DATA_ROOT", str(tmp_path))
    build(tmp_path)
    plan = harness.plan(name, store=tmp_path / "store")
    assert plan.cells
    assert not [p.reason for p in plan.cells if p.state == "broken"]
    if name in ("training", "training-layers"):
        assert {p.state for p in plan.cells} == {"run"}, {p.reason for p in plan.cells}
        assert {p.cell.seed for p in plan.cells} == set(range(5))


@pytest.mark.parametrize("name", SUITES)
def test_tables_and_plots_select_what_the_suite_runs(name: str) -> None:
    """A value that no cell has would leave a table empty."""
    suite = load_suite_file(name)
    plan = harness.plan(name)
    seen: dict[str, set[object]] = {}
    for planned in plan.cells:
        for key, value in planned.cell.coordinates.items():
            seen.setdefault(key, set()).add(value)
    for part in [*suite.tables, *suite.plots]:
        for key, wanted in part.where.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            assert set(values) <= seen[key], (part.name, key, set(values) - seen[key])
