"""Base of the trackers: one tracked run per cell, from its start to its record."""

from __future__ import annotations

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness import Cell, Plan, Record, redact
from harness.running.hooks import hookimpl

Facts = dict[str, str | int | float | bool]


class TrackedCell(ABC):
    """One cell in a tracker."""

    @abstractmethod
    def log_values(self, group: str, step: int, values: Mapping[str, float]) -> None:
        """Log a group's values (of a training, for example) at one of its steps."""

    @abstractmethod
    def log_image(self, group: str, step: int, path: Path) -> None:
        """Log a picture; its file may be replaced as soon as this returns."""

    @abstractmethod
    def end(self, status: str, reason: str | None) -> None:
        """End the cell with its record's status, or `interrupted`."""


class Tracker(ABC):
    """A listener, active on request, that opens a `TrackedCell` for each cell that runs.

    Cells that don't run (done before, skipped) are not tracked. Plugin options that look like
    secrets are redacted.
    """

    on_request = True
    package: ClassVar[str]
    """The package that must be importable."""
    extra: ClassVar[str]
    """The extra of this distribution that installs the package."""

    def __init__(self) -> None:
        self.suite = ""
        self.open: dict[str, TrackedCell] = {}

    @abstractmethod
    def begin(self, cell: Cell) -> TrackedCell:
        """Start tracking a cell."""

    def unavailable(self) -> str | None:
        """Return what to install if the tracker's package is missing, else None."""
        if importlib.util.find_spec(self.package) is not None:
            return None
        return f"needs the package '{self.package}': pip install 'vision-harness[{self.extra}]'"

    @hookimpl
    def run_started(self, plan: Plan) -> None:
        """Keep the suite's name."""
        self.suite = plan.suite.name

    @hookimpl
    def cell_started(self, cell: Cell) -> None:
        """Open the cell."""
        self._open(cell)

    def _open(self, cell: Cell) -> TrackedCell:
        if cell.id not in self.open:
            self.open[cell.id] = self.begin(cell)
        return self.open[cell.id]

    @hookimpl
    def cell_curve(self, cell: Cell, name: str, step: int, values: dict[str, float]) -> None:
        """Log a training's values."""
        self._open(cell).log_values(name, step, values)

    @hookimpl
    def cell_image(self, cell: Cell, name: str, step: int, path: Path) -> None:
        """Log a training's picture."""
        self._open(cell).log_image(name, step, path)

    @hookimpl
    def cell_finished(self, cell: Cell, record: Record) -> None:
        """Log metrics and cost, and close the cell."""
        tracked = self.open.pop(cell.id, None)
        if tracked is None:
            return
        for group, values in (("metrics", record.metrics), ("cost", record.cost)):
            if values:
                tracked.log_values(group, 0, values)
        tracked.end(record.status, redact(record.reason))

    @hookimpl
    def run_finished(self) -> None:
        """Close the cells that an interrupt left open."""
        while self.open:
            self.open.popitem()[1].end("interrupted", None)


def describe_cell(cell: Cell) -> Facts:
    """Describe a cell by dotted names: its coordinates, and each part's plugin, version and options.

    Options that look like secrets become `***` at any depth.
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
    return _flatten(redact(whole))


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Facts:
    flat: Facts = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif value is not None and value != "":
            flat[f"{prefix}{key}"] = value if isinstance(value, str | int | float) else str(value)
    return flat
