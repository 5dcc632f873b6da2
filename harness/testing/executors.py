"""The check of an executor: every cell once, with its record on disk, and events on the way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.declared import ask
from harness.running.worker import RunSettings
from harness.testing.cell_runs import temporary_folder
from harness.testing.grids import PlannedGrid, explain_grid_refusal, installed_grids
from harness.testing.verdicts import NotChecked, expect, must, require_available


@dataclass
class ExecutorSubject:
    """An executor under test, and a grid of installed plugins, which other processes can run too."""

    plugin: Any
    cell: Mapping[str, Any] | None = None


@contextmanager
def _closing(plugin: Any) -> Iterator[None]:
    """Have the executor end what it has started, as a run does at its end."""
    try:
        yield
    finally:
        if (close := ask(plugin, "close")) is not None:
            with must("`close` to end what the executor has started", "It is called at the end of a run."):
                close()


def check_executes(subject: ExecutorSubject) -> None:
    """It returns every cell once with its record, which is on disk by then, and reports their start."""
    from harness.records.store import Store

    require_available(subject.plugin)
    grids = (grid for _, grid in installed_grids() if explain_grid_refusal(grid) is None)
    content = subject.cell if subject.cell is not None else next(grids, None)
    if content is None:
        raise NotChecked(
            "no installed protocol states a smallest grid that can run here: define the fixture `cell`"
        )
    with temporary_folder() as place, _closing(subject.plugin):
        settings = RunSettings(
            Path(place) / "store", device="cpu", batch_size=16, cache=Path(place) / "cache"
        )
        todo = PlannedGrid(content).pick_cells((0, 1, 2))
        events: list[str] = []
        done: list[str] = []
        with must("the executor to run cells", "It does nothing else."):
            for cell, record in subject.plugin.execute(
                todo, settings, lambda event, **_: events.append(event)
            ):
                on_disk = Store(settings.store).read(cell.id)
                expect(
                    record.id == cell.id and on_disk is not None and on_disk.status == record.status,
                    "each cell with its own record, which is on disk when it is returned",
                    f"cell {cell.id} with record {record.id}, {'not ' if on_disk is None else ''}on disk",
                    "A kill right after it would lose what was reported as done.",
                )
                expect(record.status == "ok", "cells that end ok", record.reason, "They do in this process.")
                done.append(cell.id)
    expect(
        sorted(done) == sorted(c.id for c in todo),
        f"each of {len(todo)} cells once",
        f"{len(done)} cells, {len(set(done))} different ones",
        "A cell left out is missing in the table, without any message.",
    )
    started = events.count("cell_started")
    expected = "the event cell_started for each cell"
    expect(
        started == len(todo), expected, f"{started} for {len(todo)}", "Progress display and trackers need it."
    )
