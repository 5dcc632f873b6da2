"""The shipped suite files."""

from __future__ import annotations

import pytest

import harness
import harness.api


@pytest.mark.parametrize("name", ["gan", "gan-images", "gan-cyclegan"])
def test_shipped_suites_can_be_planned(name: str) -> None:
    plan = harness.api.plan(name)
    assert not [p.reason for p in plan.cells if p.state == "broken"]
    if name == "gan":
        assert {p.state for p in plan.cells} <= {"run", "done"}
        assert len({p.cell.seed for p in plan.cells}) >= 5
