"""Write other programs' results into a store as records, with a plan that lays out their tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.contract.cells import canonical_json
from harness.contract.declared import ask
from harness.errors import DataError, OptionError, StoreError, SuiteError
from harness.exchange.contract import ImportedPart, ImportedResult, Importer
from harness.exchange.earlier_imports import (
    have_equal_numbers,
    is_corrected,
    state_replaced,
    tell_difference,
)
from harness.exchange.imported_tables import lay_out_suite
from harness.exchange.predictions_recognising import find_predictions_importer
from harness.exchange.predictions_request import PredictionsRequest
from harness.exchange.reading import FileRead, read_files
from harness.exchange.recognising import NamedImporter, check_importer, open_importer
from harness.records import provenance
from harness.records.record import Record
from harness.records.redaction import redact
from harness.records.store import Store


@dataclass(frozen=True)
class Imported:
    """How many records were written, and how many already stood in the store with equal numbers.

    `replaced` of the written ones took the place of an earlier import's, which had other numbers.
    `suites` hold them, `suite` being the first; `metrics` are the names of their numbers. `left_out` says in a line
    each, with file and line, what could not be read; `passed` counts files in folders that no importer recognises.
    """

    suite: str
    written: int
    same: int
    suites: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    passed: int = 0
    remarks: list[str] = field(default_factory=list)
    """What was assumed of numbers, or left out for predictions per sample, and which of their metrics failed."""
    replaced: int = 0


@dataclass(frozen=True)
class Origin:
    """Where files are from, as the user says: an address or repository, a commit, a date; they outrank the files' own."""

    source: str | None = None
    commit: str | None = None
    date: str | None = None


def import_files(
    paths: Sequence[Path],
    store: Store,
    suite: str | None = None,
    program: str | None = None,
    origin: Origin | None = None,
    predictions: PredictionsRequest | None = None,
    replacing: bool = False,
) -> Imported:
    """Import files (or folders of them), each by the importer that recognises it, or all by that of `program`.

    `suite` is by default the importer's name. `predictions` says more of files of predictions per sample, which are
    imported without any others. If `replacing`, results take the place of those that an earlier import had of the
    same evaluations with other numbers. Raises what `import_results` raises, and PluginNotFound, PluginBroken or
    OptionError if there is no such importer.
    """
    named = None if program is None else open_importer(program)
    if (by := find_predictions_importer(paths, named)) is not None:
        asked = replace(predictions or PredictionsRequest(), **vars(origin or Origin()), replacing=replacing)
        return file_predictions(by, paths, store, by.name if suite is None else suite, asked)
    if predictions is not None and (given := predictions.first_given()):
        raise OptionError(f"{given}: is for predictions per sample, and these files hold finished numbers")
    found, passed = read_files(paths, named, store.path)
    groups: dict[str, list[FileRead]] = {}
    for read in found:
        groups.setdefault(read.by.name if suite is None else suite, []).append(read)
    return _file_results(groups, store, origin or Origin(), passed, replacing)


def import_results(
    name: str, importer: Importer, paths: Sequence[Path], store: Store, suite: str
) -> Imported:
    """Read files (or folders of them) with the importer of that name and write a record per result.

    Nothing is written unless every file can be read; rows in one that can't are left out and named. Raises
    DataError for files that the importer can't read or reads wrongly, StoreError if two results of one evaluation
    have different numbers, SuiteError if the suite holds records of this harness, PluginBroken if the importer fails.
    """
    named = check_importer(name, importer)
    if ask(importer, "gives_predictions"):
        return file_predictions(named, paths, store, suite, PredictionsRequest())
    _check_suite(suite)
    return _file_results({suite: read_files(paths, named, store.path)[0]}, store, Origin(), 0)


def file_predictions(
    by: NamedImporter, paths: Sequence[Path], store: Store, suite: str, request: PredictionsRequest
) -> Imported:
    """Import predictions with an importer of these, and say what became of the files."""
    from harness.exchange.predictions_importing import import_predictions

    _check_suite(suite)
    files = import_predictions(by.name, by.importer, paths, store, suite, request)
    records = [one.record for one in files]
    told = dict.fromkeys(text for r in records for text in (*r.remarks, *r.failures.values()))
    metrics = dict.fromkeys(name for r in records for name in r.metrics)
    new = sum(one.new for one in files)
    replaced = sum(one.replaced for one in files)
    return Imported(
        suite, new, len(files) - new, [suite], list(metrics), remarks=list(told), replaced=replaced
    )


def _check_suite(suite: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", suite):
        raise SuiteError(
            f"--suite {suite!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or a "
            "digit, at most 100 of them"
        )


def _file_results(
    groups: Mapping[str, Sequence[FileRead]],
    store: Store,
    origin: Origin,
    passed: int,
    replacing: bool = False,
) -> Imported:
    """Write the records and plans of suites; nothing if one of them can't be written."""
    known: dict[str, Record | None] = {}
    before = {suite: _read_plan(store, suite, known) for suite in groups}
    new: dict[str, tuple[Record, ImportedResult]] = {}
    seen: dict[str, Record] = {}
    replaced: list[str] = []
    planned: dict[str, dict[str, Record]] = {suite: {} for suite in groups}
    left_out: list[str] = []
    same = 0
    for suite, files in groups.items():
        for read in files:
            left_out += read.unread
            made, twice = _build_records(read, suite, origin)
            left_out += twice
            for record, result in made:
                if record.id not in known:
                    known[record.id] = store.read(record.id)
                old = seen.get(record.id, known[record.id])
                planned[suite][record.id] = record
                if old is None or is_corrected(old, record, result):
                    new[record.id] = (record, result)
                elif have_equal_numbers(old.metrics, record.metrics):
                    same += record.id not in seen  # a row that stands twice is not one from before
                elif replacing and record.id not in seen:
                    state_replaced(record, old)
                    new[record.id] = (record, result)
                    replaced.append(record.id)
                else:
                    raise StoreError(
                        f"{read.file.name}: {_describe(result)} has other numbers than "
                        f"{old.provenance['imported']['file']}, imported before"
                        f"{tell_difference(record, old, record.id not in seen)}; nothing was written"
                    )
                seen[record.id] = record
    store.write_all((record, result.samples) for record, result in new.values())
    for id in replaced:
        if not new[id][1].samples:
            store.file("samples", id, ".parquet").unlink(missing_ok=True)
    known |= {id: record for id, (record, _) in new.items()}
    for suite, records in planned.items():
        cells = {canonical_json(c["at"]): c for c in before[suite]}
        # Equal records join the plan, too: another suite may have brought them, or a kill came before this.
        for record in records.values():
            cell = {"id": record.id, "at": record.coordinates, "tags": record.tags}
            cells[canonical_json(record.coordinates)] = cell
        names = dict.fromkeys(read.by.name for read in groups[suite])
        entries = list(cells.values())
        store.write_manifest(lay_out_suite(suite, ", ".join(names), entries, known), entries)
    written = [record for records in planned.values() for record in records.values()]
    metrics = dict.fromkeys(name for record in written for name in record.metrics)
    remarks = dict.fromkeys(
        f"{r.coordinates['model']} on {r.coordinates['dataset']}: {text}"
        for r in written
        for text in r.remarks
    )
    suites = list(groups)
    return Imported(
        suites[0], len(new), same, suites, list(metrics), left_out, passed, list(remarks), len(replaced)
    )


def _read_plan(store: Store, suite: str, known: dict[str, Record | None]) -> list[dict[str, Any]]:
    """Return the cells of a suite of imported records, and read these. Raises SuiteError for another suite."""
    _check_suite(suite)
    manifest = store.manifest(suite)
    cells: list[dict[str, Any]] = manifest["cells"] if manifest else []
    for cell in cells:
        record = known[cell["id"]] = store.read(cell["id"])
        if record is None or not record.provenance.get("imported"):
            raise SuiteError(
                f"{store.path}: suite '{suite}' holds other records: import under another --suite NAME"
            )
    return cells


def _build_records(
    read: FileRead, suite: str, origin: Origin
) -> tuple[list[tuple[Record, ImportedResult]], list[str]]:
    """Return the records of a file, each evaluation once; and lines on those that contradict each other.

    Of two rows of one evaluation with different numbers neither is known to be right: both are left out.
    """
    made: dict[str, tuple[Record, ImportedResult]] = {}
    order: list[tuple[Record, ImportedResult]] = []
    against: dict[str, list[ImportedResult]] = {}
    now = provenance.now()
    for result in read.results:
        record = _build_record(read, result, suite, origin, now)
        first = made.setdefault(record.id, (record, result))
        if not have_equal_numbers(first[0].metrics, record.metrics):
            against.setdefault(record.id, [first[1]]).append(result)
        order.append((record, result))
    contradicting = {id for id, results in against.items() if all(r.line is not None for r in results)}
    lines = []
    for id in contradicting:
        places = [f"line {r.line}" for r in against[id]]
        rows = f"{', '.join(places[:-1])} and {places[-1]}"
        lines.append(f"{read.file}: {rows}: {_describe(against[id][0])} with different numbers")
    kept = [pair for pair in order if pair[0].id not in contradicting]
    if not kept:
        raise DataError(lines[0])
    return kept, lines


def _build_record(read: FileRead, result: ImportedResult, suite: str, origin: Origin, now: str) -> Record:
    name = read.by.name
    at = {
        "experiment": suite,
        "protocol": result.protocol.label,
        "model": result.model.label,
        "dataset": result.dataset.label,
        "method": "",
        **result.axes,
        "seed": result.seed,
    }
    identity = ["imported", name, {k: v for k, v in at.items() if k != "experiment"}]
    id = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:20]
    parts = {"protocol": result.protocol, "model": result.model, "dataset": result.dataset}
    cell: dict[str, Any] = {kind: _state_part(name, part) for kind, part in parts.items()}
    cell |= {"method": None, "metrics": [], "axes": dict(result.axes), "seed": result.seed}
    settings = redact(dict(result.settings))
    tags = {f"{kind}.{k}": v for kind, part in parts.items() for k, v in part.tags.items()}
    notes = redact(dict(result.notes))
    notes |= {"settings": settings} if settings else {}
    notes |= {"as written": dict(result.written)} if result.written else {}
    record = Record(
        id,
        "ok",
        suite,
        at,
        tags | {f"settings.{k}": v for k, v in settings.items()},
        cell,
        metrics=dict(result.metrics),
        directions=dict(result.directions),
        units=dict(result.units),
        binary=list(result.binary),
        count=result.count,
        notes=notes,
        provenance={"imported": _state_origin(read, result, origin, now)},
    )
    record.remark(result.remarks)
    return record


def _state_origin(read: FileRead, result: ImportedResult, origin: Origin, now: str) -> dict[str, Any]:
    """Return where a record is from: importer, source, commit and date where known, file, line, digest."""
    said = {k: v for k, v in vars(origin).items() if v is not None}
    known = {k: v for k, v in result.origin.items() if k in ("source", "commit", "date")}
    facts: dict[str, Any] = {"from": read.by.name, **redact(known | said), "file": read.file.name}
    facts |= {} if result.line is None else {"line": result.line}
    return {**facts, "digest": read.digest, "at": now}


def _state_part(name: str, part: ImportedPart) -> dict[str, Any]:
    options = redact(dict(part.options))
    facts = {"plugin": part.plugin, "distribution": name, "version": None, "options": options}
    return {**facts, "label": part.label, "tags": dict(part.tags), "identity": facts}


def _describe(result: ImportedResult) -> str:
    parts = (result.protocol, result.model, result.dataset)
    return " · ".join([*(part.label for part in parts), *(f"{k} {v}" for k, v in result.axes.items())])
