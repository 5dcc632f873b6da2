"""What an importer plugin offers: the results in another program's files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from harness.exchange.predictions_contract import ImportedPredictions


@dataclass(frozen=True)
class ImportedPart:
    """A model, data set or protocol that another program ran: its name there, its label in tables, its options.

    `tags` become the record's, as a suite's entries have them (`dataset.severity`), to lay out tables by.
    """

    plugin: str
    label: str
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImportedResult:
    """One evaluation that another program made.

    `axes` and `seed` tell evaluations of one protocol, model and data set apart. `settings` were chosen
    and tell nothing apart: they become the record's tags. `directions` say of each metric whether larger
    is better; `units` name those that are a `fraction`; `notes` go into the record as they are.

    `written` holds a metric's text in the file, by its name, where that is a number in decimals: tables then
    show as many digits as the file does. A fraction may be written in percent. `line` is where in the file it
    stands. `origin` is what the file itself tells of where it is from: `source`, `commit` and `date`.

    `samples` are columns of equal length, `id` among them: a metric's name for its value in each sample
    (paired tests need it, and its mean must be the metric), `target`, `prediction`. `binary` names metrics that
    are means of zeros and ones over `count` samples: only those get an interval for proportions. `remarks` say
    what was assumed.
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
    written: Mapping[str, str] = field(default_factory=dict)
    line: int | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    samples: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    count: int | None = None
    binary: Sequence[str] = ()
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class UnreadRow:
    """A part of a file that can't be read, and why; the rest of the file is imported."""

    reason: str
    line: int | None = None


@runtime_checkable
class Importer(Protocol):
    """Reads another program's results, by the entry-point group `harness.importers`.

    `harness import FILE…` asks the importers' `recognise` whose a file is, and writes a record for each result. A
    record's id hashes the importer's name and what was evaluated, so that it is the same for equal results and never
    the id of a cell that this harness runs.
    """

    suffix: ClassVar[str | tuple[str, ...]]
    """How names of the files to read in a folder end, such as `.json`, or several such ends."""
    example: ClassVar[str]
    """The text of a small file that can be read: the conformance kit starts from it."""

    def read(self, file: Path) -> Iterable[ImportedResult | UnreadRow | ImportedPredictions]:
        """Return a file's results, at least one, and what of it can't be read; or predictions alone.

        Raises DataError, starting with its path, for any other file.
        """
        ...


def suffixes(importer: Importer) -> tuple[str, ...]:
    """Return how the names of an importer's files end; empty if it doesn't say so in texts."""
    stated: object = importer.suffix
    found = (stated,) if isinstance(stated, str) else stated
    if not isinstance(found, tuple | list) or not all(isinstance(end, str) for end in found):
        return ()
    return tuple(found)
