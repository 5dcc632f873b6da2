"""What a job decides by itself: which cells it need not run, and when it is enough."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from harness.contract.cells import Cell
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.record import make_blank
from harness.records.store import Store
from harness.running.worker import RunSettings
from harness_slurm.event_files import BEGUN, RECORDED, STARTED, STOPPED, EventReader, EventWriter
from harness_slurm.job import Progress, count_deaths, fail_deadly, read_settings, skip_done


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    content = {"name": "s", "protocol": "classification", "models": ["tiny-vit"], "datasets": ["scenes"]}
    plan = make_plan(parse_suite({**content, "metrics": ["top1"], "seeds": [0, 1, 2, 3]}))
    return [p.cell for p in plan]


@pytest.fixture
def progress(cells: list[Cell], tmp_path: Path) -> Progress:
    made = Progress(EventWriter(tmp_path / "events"))
    made.open = {cell.id: cell for cell in cells}
    return made


def announced(folder: Path) -> list[str]:
    return [cell for name, cell, _ in EventReader(folder / "events").read() if name == RECORDED]


def test_settings_as_they_are_written(tmp_path: Path) -> None:
    import json

    settings = RunSettings(tmp_path, "cuda", 32, None, tmp_path / "cache", fresh=True, cell_timeout=12.5)
    assert read_settings(json.loads(json.dumps(asdict(settings), default=str))) == settings
    bare = RunSettings(tmp_path)
    assert read_settings(json.loads(json.dumps(asdict(bare), default=str))) == bare


def test_cells_that_are_done_are_not_run_again(progress: Progress, cells: list[Cell], tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    whole, failed, partly = (make_blank(c, s) for c, s in zip(cells, ("ok", "failed", "ok"), strict=False))
    partly.failures = {"top1": "deliberate"}
    for record in (whole, failed, partly):
        store.write(record)
    skip_done(progress, RunSettings(store.path), store.read_clock())
    assert announced(tmp_path) == [cells[0].id]
    assert list(progress.open) == [c.id for c in cells[1:]]


def test_a_fresh_run_goes_by_what_it_made_itself(
    progress: Progress, cells: list[Cell], tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    store.write(make_blank(cells[0], "ok"))
    since = store.date(cells[0].id)
    assert since is not None
    skip_done(progress, RunSettings(store.path, fresh=True), since)
    assert announced(tmp_path) == []
    skip_done(progress, RunSettings(store.path, fresh=True), since - 1)
    assert announced(tmp_path) == [cells[0].id]


def test_a_cell_that_took_its_node_down_twice_is_not_started_again(
    progress: Progress, cells: list[Cell], tmp_path: Path
) -> None:
    settings = RunSettings(tmp_path / "store")
    fail_deadly(progress, settings, {cells[0].id: 1, cells[1].id: 2}, 0)
    record = Store(settings.store).read(cells[1].id)
    assert record is not None
    assert record.status == "failed"
    assert "was started 2 times and died with it each time" in str(record.reason)
    assert announced(tmp_path) == [cells[1].id]


def test_starts_that_died_are_counted_from_their_events(tmp_path: Path) -> None:
    path = tmp_path / "events"
    assert count_deaths(path) == {}
    for start in range(2):
        writer = EventWriter(path)
        writer.add(BEGUN)
        writer.add(STARTED, "a")
        writer.add(RECORDED, "a")
        writer.add(STARTED, "b")
        writer.close()
        assert count_deaths(path) == {"b": start + 1}
    writer = EventWriter(path)
    writer.add(BEGUN)
    writer.add(STARTED, "c")
    writer.add(STOPPED)  # preempted
    writer.close()
    assert count_deaths(path) == {"b": 2}


def test_when_it_is_enough(progress: Progress, cells: list[Cell]) -> None:
    assert not progress.enough()
    progress.notice()
    assert not progress.enough()  # one cell begins in any case
    progress.tell("cell_started", cell=cells[0], position=1, total=4)
    assert progress.enough()


def test_cells_that_others_are_at_are_not_waited_for(progress: Progress, cells: list[Cell]) -> None:
    progress.tell("cell_started", cell=cells[0], position=1, total=4)
    for cell in cells[1:]:
        progress.tell("cell_elsewhere", cell=cell, holder="process 7 on host b")
    assert not progress.enough()
    progress.record(cells[0])
    assert progress.enough()
    progress.tell("cell_started", cell=cells[1], position=2, total=4)  # the others have left it undone
    assert not progress.enough()


def test_what_other_machines_are_at_is_watched_for_a_while(
    progress: Progress, cells: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A silent holder's lease in a bucket goes over only to whoever has watched it."""
    now = [100.0]
    monkeypatch.setattr("harness_slurm.job.time.monotonic", lambda: now[0])
    progress.patience = 60.0
    for cell in cells:
        progress.tell("cell_elsewhere", cell=cell, holder="process 7 on host b")
    assert not progress.enough()
    now[0] += 59
    assert not progress.enough()
    progress.tell("cell_started", cell=cells[0])
    now[0] += 59
    assert not progress.enough()
    progress.record(cells[0])
    assert not progress.enough()
    now[0] += 60
    assert progress.enough()
    now[0] -= 60
    progress.notice()
    assert progress.enough()
