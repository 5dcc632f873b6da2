"""What an importer plugin offers: the results in another program's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable


@dataclass(frozen=True)
class ImportedPart:
    """A model, data set or protocol that another program ran: its name there, its label in tables, its options."""

    plugin: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedResult:
    """One evaluation that another program made.

    `axes` and `seed` tell evaluations of one protocol, model and data set apart. `settings` were chosen
    and tell nothing apart: they become the record's tags. `directions` say of each metric whether larger
    is better; `units` name those that are a `fraction`; `notes` go into the record as they are.
    """

    protocol: ImportedPart
    model: ImportedPart
    dataset: ImportedPart
    metrics: Mapping[str, float]
    directions: Mapping[str, bool]
    units: Mapping[str, str] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Importer(Protocol):
    """Reads another program's results, by the entry-point group `harness.importers`.

    `harness import NAME FILE…` writes a record for each. A record's id hashes the importer's name and what
    was evaluated, so that it is the same for equal results and never the id of a cell that this harness runs.
    """

    suffix: ClassVar[str]
    """The suffix of the files to read in a folder that is given, such as `.json`."""
    example: ClassVar[str]
    """The text of a small file that can be read: the conformance kit starts from it."""

    def read(self, file: Path) -> Sequence[ImportedResult]:
        """Return a file's results, at least one. Raises DataError, starting with its path, for any other file."""
        ...
