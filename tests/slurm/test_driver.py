"""What the watching command decides on its own, without a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.contract.cells import Cell
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.running.worker import RunSettings
from harness_slurm import driver as driver_module
from harness_slurm.driver import Driver
from harness_slurm.event_files import BEGUN, ENDED
from harness_slurm.notes import Folder, Note
from harness_slurm.submission import Allotment, Request
from harness_slurm.tasks import Array, Task


@pytest.fixture
def cells() -> list[Cell]:
    content = {"name": "s", "protocol": "classification", "models": ["tiny-vit"], "datasets": ["scenes"]}
    return [p.cell for p in make_plan(parse_suite({**content, "metrics": ["top1"], "seeds": [0, 1]}))]


@pytest.mark.parametrize("remote", ["memory://x", None])
def test_a_cell_that_another_machine_is_at_rests_between_two_jobs(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str | None
) -> None:
    now = [1000.0]
    monkeypatch.setattr(driver_module.time, "monotonic", lambda: now[0])
    told: list[tuple[str, Any]] = []

    def tell(event: str, *, cell: Cell, **facts: Any) -> None:
        told.append((event, facts.get("holder")))

    settings = RunSettings(tmp_path, remote=remote)
    watching = Driver(cells, settings, tell, Allotment(2, None, Request()))
    note = Note("harness-s-0", [[cell.id for cell in cells]])
    folder = Folder(tmp_path / "slurm" / note.name)
    folder.path.mkdir(parents=True)
    task = Task(Array(folder, note), 0, {cell.id: cell for cell in cells})
    where = {"holder": "process 7 on host b"}
    task.account.add([(BEGUN, "", {}), ("cell_elsewhere", cells[0].id, where), (ENDED, "", {})])
    assert list(watching._take_back(task, cancelled=True)) == []
    watching._find_elsewhere()
    resting = {cells[0].id} if remote else set()
    assert watching.left.keys() - watching.elsewhere == {cell.id for cell in cells} - resting
    assert told == ([("cell_elsewhere", "process 7 on host b")] if remote else [])
    now[0] += driver_module.REST
    watching._find_elsewhere()
    assert watching.elsewhere == set()
