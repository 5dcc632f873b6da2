"""What cells leave on a device: records, samples, reported losses, peak memory and seconds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from harness.contract.cells import Cell
from harness.records.record import Record
from harness.records.store import Store
from harness.running.worker import RunSettings, Worker
from harness.selftesting.same_draws import drawing_on_the_cpu

Kind = Literal["frozen", "fitted", "trained"]

Series = dict[tuple[str, str], list[tuple[int, float]]]
"""Values of a training by curve and column: steps (or positions) and values, in their order."""


@dataclass
class Outcome:
    """What one cell left."""

    cell: Cell
    record: Record
    samples: dict[str, list[Any]] = field(default_factory=dict)
    losses: Series = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """Whether the cell only evaluates, fits something and keeps no curve of it, or trains."""
        return "trained" if self.losses else "fitted" if self.cell.method is not None else "frozen"


@dataclass
class Side:
    """The outcomes of a part's cells on one device, by the cell's id, and the seconds of all."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0


RunCells = Callable[[Sequence[Cell], str, Path], Side]


def run_cells(cells: Sequence[Cell], device: str, place: Path, batch_size: int = 64) -> Side:
    """Run cells one after another with a store and a cache of their own below `place`."""
    reported: dict[str, Series] = defaultdict(lambda: defaultdict(list))

    def tell(event: str, **facts: Any) -> None:
        if event == "cell_curve":
            for column, value in facts["values"].items():
                reported[facts["cell"].id][facts["name"], column].append((facts["step"], float(value)))

    settings = RunSettings(
        place / "store", device, batch_size, workers=None, cache=place / "cache", fresh=True
    )
    worker, store, side = Worker(settings, tell), Store(place / "store"), Side()
    began = time.perf_counter()
    with drawing_on_the_cpu():
        for cell in cells:
            record = worker.run(cell)
            frame = store.samples(record.id) if "samples" in record.files else None
            samples = {} if frame is None else {str(k): list(v) for k, v in frame.to_dict("list").items()}
            losses = _read_curves(store, record) | reported[cell.id]
            side.outcomes[cell.id] = Outcome(cell, record, samples, losses)
    side.seconds = time.perf_counter() - began
    return side


def _read_curves(store: Store, record: Record) -> Series:
    """Return the curves that a record keeps: for trainings that report nothing while they run."""
    frame = store.curves(record.id) if "curves" in record.files else None
    found: Series = defaultdict(list)
    if frame is not None:
        columns = (frame[name].tolist() for name in ("curve", "column", "position", "value"))
        for curve, column, position, value in zip(*columns, strict=True):
            found[str(curve), str(column)].append((int(position), float(value)))
    return found
