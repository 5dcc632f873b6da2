"""What the trackers share: one tracked run per cell, from its start to its record."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness import Cell, Plan, Record
from harness.records.redaction import redact
from harness.running.hooks import hookimpl

Facts = dict[str, str | int | float | bool]


class TrackedCell(ABC):
    """One cell in a tracker."""

    @abstractmethod
    def values(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a group (a training, say) at one of its steps."""

    @abstractmethod
    def image(self, group: str, step: int, path: Path) -> None:
        """A picture; its file may be replaced as soon as this returns."""

    @abstractmethod
    def end(self, status: str, reason: str | None) -> None:
        """Nothing more comes. `status` is that of the record, or `interrupted`."""


class Tracker(ABC):
    """Listens when it is asked for, and opens a `TrackedCell` for each cell that runs.

    Cells that a run only accounts for (done before, skipped) are not tracked. Options of plugins
    are passed on with everything left out that looks like a secret.
    """

    on_request = True
    package: ClassVar[str]
    """The package that must be there to be imported."""
    extra: ClassVar[str]
    """The extra of this distribution that installs it."""

    def __init__(self) -> None:
        self.suite = ""
        self.open: dict[str, TrackedCell] = {}

    @abstractmethod
    def begin(self, cell: Cell) -> TrackedCell:
        """Opens a cell in the tracker."""

    def unavailable(self) -> str | None:
        """What to install when the tracker's package is missing."""
        if importlib.util.find_spec(self.package) is not None:
            return None
        return f"needs the package '{self.package}': pip install 'vision-harness[{self.extra}]'"

    @hookimpl
    def run_started(self, plan: Plan) -> None:
        """Keeps the suite's name."""
        self.suite = plan.suite.name

    @hookimpl
    def cell_started(self, cell: Cell) -> None:
        """Opens the cell."""
        self._of(cell)

    def _of(self, cell: Cell) -> TrackedCell:
        if cell.id not in self.open:
            self.open[cell.id] = self.begin(cell)
        return self.open[cell.id]

    @hookimpl
    def cell_curve(self, cell: Cell, name: str, step: int, values: dict[str, float]) -> None:
        """Passes on a training's values."""
        self._of(cell).values(name, step, values)

    @hookimpl
    def cell_image(self, cell: Cell, name: str, step: int, path: Path) -> None:
        """Passes on a training's picture."""
        self._of(cell).image(name, step, path)

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Passes on metrics and cost, and closes the cell."""
        tracked = self.open.pop(cell.id, None)
        if tracked is None:
            return
        for group, values in (("metrics", record.metrics), ("cost", record.cost)):
            if values:
                tracked.values(group, 0, values)
        tracked.end(record.status, redact(record.reason))

    @hookimpl
    def run_finished(self) -> None:
        """Closes what an interrupt left open."""
        while self.open:
            self.open.popitem()[1].end("interrupted", None)


def facts_of(cell: Cell) -> Facts:
    """What a cell is, by dotted names: where it stands, and each part's plugin, version and options.

    Options that look like secrets are `***`, wherever they stand.
    """
    parts = {"protocol": cell.protocol, "model": cell.model, "dataset": cell.dataset, "method": cell.method}
    described = {
        f"{kind}_plugin": {
            "name": f"{part.distribution}/{part.plugin}",
            "version": part.version,
            "options": part.options,
        }
        for kind, part in parts.items()
        if part
    }
    settings = {"precision": cell.precision, "images": cell.images, "limit": cell.limit}
    whole = {"suite": cell.suite, "cell": cell.id, **cell.coordinates, **settings, **described}
    return _flat(redact(whole))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Facts:
    flat: Facts = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        elif value is not None and value != "":
            flat[f"{prefix}{key}"] = value if isinstance(value, str | int | float) else str(value)
    return flat
