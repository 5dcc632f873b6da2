"""What is expected of an executor: every cell once, with its record on disk, and events told on the way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.testing import cells, general, runs
from harness.testing.outcome import Check, NotChecked, expect, must


class ExecutorSubject:
    """An executor to be checked, in a grid of installed plugins, which other processes can run too."""

    def __init__(self, plugin: Any, cell: Mapping[str, Any] | None = None) -> None:
        self.plugin, self.cell = plugin, cell

    def content(self) -> Mapping[str, Any]:
        """The grid: the one given, or the first installed protocol's smallest that can run here."""
        if self.cell is not None:
            return self.cell
        for _, grid in cells.grids():
            if any(p.state == "run" for p in cells.Trial(grid).planned()):
                return grid
        raise NotChecked(
            "no installed protocol states a smallest grid that can run here: the fixture `cell` gives one"
        )


def check_executes(subject: ExecutorSubject) -> None:
    """It gives every cell once with its record, which is on disk by then, and tells of their start."""
    from harness.records.store import Store
    from harness.running.worker import RunSettings

    with runs.folder() as place:
        settings = RunSettings(
            Path(place) / "store", device="cpu", batch_size=16, cache=Path(place) / "cache"
        )
        todo = cells.Trial(subject.content()).cells((0, 1, 2))
        told: list[str] = []
        given: list[str] = []
        with must("the executor to run cells", "It is all that it does."):
            for cell, record in subject.plugin.execute(todo, settings, lambda event, **_: told.append(event)):
                on_disk = Store(settings.store).read(cell.id)
                expect(
                    record.id == cell.id and on_disk is not None and on_disk.status == record.status,
                    "each cell with its own record, which is on disk when it is given",
                    f"cell {cell.id} with record {record.id}, {'not ' if on_disk is None else ''}on disk",
                    "A kill right after it would lose what was told to be done.",
                )
                expect(record.status == "ok", "cells that end ok", record.reason, "They do in this process.")
                given.append(cell.id)
    expect(
        sorted(given) == sorted(c.id for c in todo),
        f"each of {len(todo)} cells once",
        f"{len(given)} cells, {len(set(given))} different ones",
        "A cell left out is missing in the table, and nobody is told.",
    )
    expect(
        told.count("cell_started") == len(todo),
        "the event cell_started for each cell",
        f"{told.count('cell_started')} for {len(todo)}",
        "The progress display and trackers rest on it.",
    )


CHECKS: tuple[Check, ...] = (*general.CHECKS, check_executes)
