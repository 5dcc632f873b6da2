"""Write other programs' results into a store as records, with a plan that lays out their tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.contract.cells import canonical_json
from harness.contract.declared import ask
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.errors import (
    DataError,
    HarnessError,
    OptionError,
    PluginBroken,
    StoreError,
    SuiteError,
    interrupts,
    reason_of,
)
from harness.exchange.contract import ImportedPart, ImportedResult, Importer
from harness.exchange.predictions_contract import PredictionsImporter
from harness.exchange.predictions_request import PredictionsRequest
from harness.exchange.result_checks import find_fault
from harness.records import provenance
from harness.records.record import Record
from harness.records.store import Store

SHOWN = 10
"""How many unreadable files get a line each."""


@dataclass(frozen=True)
class Imported:
    """How many records were written, and how many already stood in the store with equal numbers."""

    suite: str
    written: int
    same: int
    remarks: list[str] = field(default_factory=list)
    """What was assumed or left out for predictions, and which metrics failed."""


def import_from(
    program: str,
    paths: Sequence[Path],
    store: Store,
    suite: str | None = None,
    predictions: PredictionsRequest | None = None,
) -> Imported:
    """Import the files of a program, which an importer of that name can read; see `import_results`.

    `suite` is by default the importer's name, and `predictions` says more of files of predictions. Raises
    PluginNotFound, PluginBroken or OptionError if there is no such importer.
    """
    part = Resolver().resolve("importers", parse_short(program), "import")
    if part.problem or part.missing:
        raise PluginBroken(str(part.problem or part.missing))
    place = part.plugin if suite is None else suite
    return import_results(part.plugin, part.object, paths, store, place, predictions)


def import_results(
    name: str,
    importer: Importer | PredictionsImporter,
    paths: Sequence[Path],
    store: Store,
    suite: str,
    predictions: PredictionsRequest | None = None,
) -> Imported:
    """Read files (or folders of them) with the importer of that name and write a record per result.

    Nothing is written unless every file can be read. Raises DataError for files that the importer can't
    read or reads wrongly, StoreError if two results of one evaluation have different numbers, SuiteError if
    the suite holds records of this harness, PluginBroken if the importer itself fails.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", suite):
        raise SuiteError(
            f"--suite {suite!r}: expected letters, digits, '.', '_' and '-', beginning with a letter or a "
            "digit, at most 100 of them"
        )
    if ask(importer, "gives_predictions"):
        return _import_predictions(name, importer, paths, store, suite, predictions)
    if predictions is not None and (given := predictions.first_given()):
        raise OptionError(
            f"{given}: is for predictions per sample, and importer '{name}' reads finished numbers"
        )
    if not (isinstance(importer, Importer) and isinstance(importer.suffix, str)):
        raise PluginBroken(f"importer '{name}' states no `suffix` of its files, such as '.json'")
    results = [found for path in paths for found in _read_results(name, importer, path)]
    if not results:
        raise DataError(f"{', '.join(str(p) for p in paths)}: no *{importer.suffix} file there")
    before = store.manifest(suite)
    for cell in before["cells"] if before else []:
        known = store.read(cell["id"])
        if known is None or not known.provenance.get("imported"):
            raise SuiteError(
                f"{store.path}: suite '{suite}' holds other records: import under another --suite NAME"
            )
    new: dict[str, Record] = {}
    planned: dict[str, Record] = {}
    same = 0
    for file, result in results:
        record = _build_record(name, file, result, suite)
        planned[record.id] = record
        known = new.get(record.id) or store.read(record.id)
        if known is None:
            new[record.id] = record
        elif _equal_numbers(known.metrics, record.metrics):
            same += 1
        elif _equal_numbers(known.metrics, record.metrics, result.settings):
            new[record.id] = record  # an older version of the importer took settings for metrics
        else:
            raise StoreError(
                f"{file.name}: {_describe(result)} has other numbers than "
                f"{known.provenance['imported']['file']}, imported before{_compare_settings(record, known)}; "
                "nothing was written"
            )
    for record in new.values():
        store.write(record)
    cells = {canonical_json(c["at"]): c for c in (before["cells"] if before else [])}
    # Equal records join the plan, too: another suite may have brought them, or a kill may have come before this.
    for record in planned.values():
        cell = {"id": record.id, "at": record.coordinates, "tags": record.tags}
        cells[canonical_json(record.coordinates)] = cell
    store.write_manifest(_lay_out_suite(store, suite, name, list(cells.values())), list(cells.values()))
    return Imported(suite, len(new), same)


def _import_predictions(
    name: str,
    importer: Any,
    paths: Sequence[Path],
    store: Store,
    suite: str,
    request: PredictionsRequest | None,
) -> Imported:
    """Import predictions with an importer of these, and say what became of the files."""
    from harness.exchange.predictions_importing import import_predictions

    files = import_predictions(name, importer, paths, store, suite, request)
    told = dict.fromkeys(
        text for one in files for text in (*one.record.remarks, *one.record.failures.values())
    )
    new = sum(one.new for one in files)
    return Imported(suite, new, len(files) - new, list(told))


def _read_results(name: str, importer: Importer, path: Path) -> list[tuple[Path, ImportedResult]]:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    problems: list[str] = []
    found: list[tuple[Path, ImportedResult]] = []
    inside = sorted(filter(Path.is_file, path.glob(f"*{importer.suffix}"))) if path.is_dir() else [path]
    for file in inside:
        try:
            found += [(file, result) for result in _read_file(name, importer, file)]
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = [f"… and {len(problems) - SHOWN} more files"] if len(problems) > SHOWN else []
        raise DataError("\n".join([*problems[:SHOWN], *more]))
    return found


def _read_file(name: str, importer: Importer, file: Path) -> Sequence[ImportedResult]:
    """Return the results of a file. Raises DataError if there are none, or if one can't become a record."""
    try:
        results = list(importer.read(file))
    except BaseException as error:  # an importer may raise anything
        if isinstance(error, HarnessError) or interrupts(error):
            raise
        raise PluginBroken(f"{file}: importer '{name}' failed: {reason_of(error)}") from error
    if not results:
        raise DataError(f"{file}: importer '{name}' found no results in it")
    for result in results:
        if fault := find_fault(result):
            raise DataError(f"{file}: importer '{name}' read {fault}")
    return results


def _build_record(name: str, file: Path, result: ImportedResult, suite: str) -> Record:
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
    cell: dict[str, Any] = {
        "protocol": _state_part(name, result.protocol),
        "model": _state_part(name, result.model),
        "dataset": _state_part(name, result.dataset),
        "method": None,
        "metrics": [],
        "axes": dict(result.axes),
        "seed": result.seed,
    }
    return Record(
        id,
        "ok",
        suite,
        at,
        {f"settings.{k}": v for k, v in result.settings.items()},
        cell,
        metrics=dict(result.metrics),
        directions=dict(result.directions),
        units=dict(result.units),
        notes=dict(result.notes) | ({"settings": dict(result.settings)} if result.settings else {}),
        provenance={"imported": {"from": name, "file": file.name, "at": provenance.now()}},
    )


def _state_part(name: str, part: ImportedPart) -> dict[str, Any]:
    facts = {"plugin": part.plugin, "distribution": name, "version": None, "options": dict(part.options)}
    return {**facts, "label": part.label, "tags": {}, "identity": facts}


def _lay_out_suite(store: Store, suite: str, name: str, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a suite with one table per protocol and main metric of the imported records."""
    having: dict[tuple[str, str], list[str]] = {}
    spread: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        record, at = store.read(cell["id"]), cell["at"]
        protocol = at["protocol"]
        for key, value in at.items():
            spread.setdefault(protocol, {}).setdefault(key, set()).add(canonical_json(value))
        for metric in record.metrics if record else {}:
            datasets = having.setdefault((protocol, metric), [])
            if at["dataset"] not in datasets:
                datasets.append(at["dataset"])
    tables = []
    for (protocol, metric), datasets in having.items():
        if (protocol, "top1") in having and metric in ("top5", "mean_per_class"):
            continue
        varied = [
            k for k, v in spread[protocol].items() if len(v) > 1 and k not in ("model", "dataset", "seed")
        ]
        tables.append(
            {
                "name": f"{protocol}-{metric}",
                "title": f"{protocol}, {metric} (imported from {name})",
                "rows": ["model", *varied],
                "columns": ["dataset"],
                "values": [metric],
                "where": {"protocol": protocol, "dataset": datasets},
            }
        )
    return {"name": suite, "title": f"Imported from {name}", "tables": tables}


def _compare_settings(one: Record, other: Record) -> str:
    """Return how the settings of two results of one evaluation differ, and the cure; "" if they don't."""
    here, there = one.notes.get("settings", {}), other.notes.get("settings", {})
    differ = [k for k in dict.fromkeys([*here, *there]) if here.get(k) != there.get(k)]
    if not differ:
        return ""
    shown = ", ".join(f"{k} {here.get(k)} here, {there.get(k)} there" for k in differ)
    return f" ({shown}: import one of them into a store of its own)"


def _equal_numbers(a: Mapping[str, float], b: Mapping[str, float], leave_out: Container[str] = ()) -> bool:
    """Return whether two sets of metrics, the first but for some, are equal, with a NaN equal to a NaN."""
    a = {k: v for k, v in a.items() if k not in leave_out}
    return a.keys() == b.keys() and all(a[k] == b[k] or (a[k] != a[k] and b[k] != b[k]) for k in a)


def _describe(result: ImportedResult) -> str:
    parts = (result.protocol, result.model, result.dataset)
    return " · ".join([*(part.label for part in parts), *(f"{k} {v}" for k, v in result.axes.items())])
