"""Cells that are written as JSON and read by another process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.errors import HarnessError, PluginNotFound
from harness.planning.grouping import seed_groups
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.running.executors.written_cells import read_cells, write_cells

CONTENT: dict[str, Any] = {
    "name": "s",
    "protocol": {"plugin": "classification"},
    "models": [
        "tiny-vit",
        {"plugin": "tiny-resnet", "label": "net", "tags": {"made": "2024-05-01", "width": 1.5}},
    ],
    "datasets": [
        {"plugin": "scenes", "label": "plain"},
        {"plugin": "corrupted", "dataset": "scenes", "corruption": "fog"},
    ],
    "metrics": ["top1", {"plugin": "topk", "k": 3}],
    "seeds": [0, 1],
}


def planned(**changes: Any) -> list[Cell]:
    plan = make_plan(parse_suite({**CONTENT, **changes}))
    assert {p.state for p in plan} == {"run"}, [p.reason for p in plan]
    return [p.cell for p in plan]


def described(cell: Cell) -> list[Any]:
    nested = [[(p.identity, p.label) for p in part.nested] for part in cell.parts]
    return [cell.id, cell.shown, cell.coordinates, cell.tags, cell.remarks, *nested]


def test_cells_are_the_same_afterwards() -> None:
    cells = planned()
    content = json.loads(json.dumps(write_cells(cells)))
    back = read_cells(content)
    assert [described(c) for c in back] == [described(c) for c in cells]
    # what cells share, they share afterwards: grouping goes by that
    assert [[c.id for c in g] for g in seed_groups(back)] == [[c.id for c in g] for g in seed_groups(cells)]
    assert len(content["parts"]) == len({id(p) for c in cells for p in c.parts})


def test_another_process_reads_them(tmp_path: Path) -> None:
    cells = planned()
    (tmp_path / "cells.json").write_text(json.dumps(write_cells(cells)))
    code = (
        "import json, sys; from harness.running.executors.written_cells import read_cells;"
        "print(*[c.id for c in read_cells(json.load(open(sys.argv[1])))])"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "cells.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    assert done.stdout.split() == [c.id for c in cells]


def test_what_changed_meanwhile_fails_its_cells_alone() -> None:
    content = write_cells(planned())
    (entry,) = (p for p in content["parts"] if p["label"] == "topk")
    entry["options"]["k"] = 2  # resolved now, it has another identity than the one that was planned
    back = read_cells(content)
    assert all("changed after the run was planned" in str(c.metrics[1].problem) for c in back)
    assert not any(p.problem for c in back for p in c.parts if p.label != "topk")


def test_a_cell_whose_content_was_changed_is_refused() -> None:
    content = write_cells(planned())
    content["cells"][0]["seed"] = 7
    with pytest.raises(HarnessError, match=r"read as cell [0-9a-f]{20}, but written as [0-9a-f]{20}"):
        read_cells(content)


def test_a_plugin_that_is_not_installed_there() -> None:
    content = write_cells(planned())
    content["parts"][0]["plugin"] = "elsewhere/nowhere"
    with pytest.raises(PluginNotFound, match="nowhere"):
        read_cells(content)
