"""Predictions of other programs as records: measured by the harness's metrics, beside its own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.contract.cells import Part, canonical_json
from harness.contract.remarks import remarks_of
from harness.contract.running import Result
from harness.contract.targets import require_labels
from harness.discovery.content import bytes_digest
from harness.discovery.parts import Resolver
from harness.discovery.plain_names import find_dataset
from harness.discovery.reference import parse_references
from harness.errors import (
    DataError,
    HarnessError,
    OptionError,
    PluginBroken,
    StoreError,
    SuiteError,
    Unavailable,
    interrupts,
    reason_of,
)
from harness.exchange.contract import Importer, suffixes
from harness.exchange.imported_cells import keep_imported
from harness.exchange.own_records import Neighbours, find_neighbours
from harness.exchange.predictions_contract import ImportedPredictions
from harness.exchange.predictions_matching import Matched, Truth, match_predictions
from harness.exchange.predictions_records import build_predictions_record, resolve_predictions_metrics
from harness.exchange.predictions_request import PredictionsRequest
from harness.inference.classes import Classes
from harness.inference.splits import find_test_split
from harness.records import provenance
from harness.records.record import Record, describe_part
from harness.records.redaction import redact
from harness.records.store import Store

PROTOCOL = "classification"
"""What the coordinate is called if the suite has no records of the harness on the data set."""


@dataclass(frozen=True)
class ImportedFile:
    """The record of one file, and whether it was not in the store before, or other predictions were in its place."""

    record: Record
    new: bool
    result: Result
    replaced: bool


@dataclass(frozen=True)
class _Data:
    """The data set of an import: its name, and with a plugin its part and the samples of its split."""

    label: str
    part: Part | None = None
    truth: Truth | None = None
    remarks: Sequence[str] = ()


def import_predictions(
    name: str,
    importer: Importer,
    files: Sequence[Path],
    store: Store,
    suite: str,
    request: PredictionsRequest | None = None,
) -> list[ImportedFile]:
    """Write a record for each file (or file in a folder) of predictions, and put it into the suite's plan.

    The records stand at the coordinates of the harness's own records on the data set, if the suite has some, so
    that tables pair them sample by sample. Nothing is written unless all files are sound. Raises
    DataError for a file that is not, StoreError if the same model had other predictions, OptionError for a metric
    that does not read predictions, SuiteError if a record of the harness itself has the model's name.
    """
    asked = request or PredictionsRequest()
    files = [file for path in files for file in _list_files(importer, path)]
    if asked.model is not None and len(files) > 1:
        raise OptionError(
            f"--model {asked.model}: is the name of one model, and {len(files)} files are given"
        )
    plan, resolver = store.manifest(suite), Resolver()
    data = _open_data(resolver, asked, suite)
    beside = find_neighbours(store, plan, data.label, asked.protocol)
    work = _Import(name, store, suite, plan, asked, data, beside, resolver)
    made = [work.measure(found, file) for file in files for found in _read(name, importer, file)]
    places: dict[str, str] = {}
    for one in made:
        file = one.record.provenance["imported"]["file"]
        other = places.setdefault(canonical_json(one.record.coordinates), file)
        if other is not file:
            model = one.record.coordinates["model"]
            raise DataError(
                f"{file}: is of model '{model}', as {other} is: import them one by one with --model"
            )
    for one in made:
        if one.new:
            store.write(one.record, one.result.samples, evidence=one.result.evidence or None)
    keep_imported(store, suite, [one.record for one in made])
    return made


@dataclass(frozen=True)
class _Import:
    """What all files of one import share."""

    importer: str
    store: Store
    suite: str
    plan: Mapping[str, Any] | None
    asked: PredictionsRequest
    data: _Data
    beside: Neighbours
    resolver: Resolver

    def measure(self, found: ImportedPredictions, file: Path) -> ImportedFile:
        """Return the record of a file's predictions, not yet written."""
        started, own = provenance.now(), None
        if self.data.truth is None:
            ids = None if found.ids is None else [str(i) for i in found.ids]
            own = self.beside.find_truth(self.store, ids)
        matched = match_predictions(found, file, self.data.truth or (own[0] if own else None))
        model = self.asked.model or file.stem
        at = {
            "experiment": self.suite,
            "protocol": self.asked.protocol or PROTOCOL,
            "model": model,
            "dataset": self.data.label,
            "method": "",
            "seed": self.asked.seed,
        } | self.beside.at
        known = self._find_known(at, file)
        remarks = [*self.data.remarks, *(f"{model}: {text}" for text in matched.remarks)]
        try:
            record, result = build_predictions_record(
                self.importer, at, self.suite, matched, self._resolve_metrics(known), remarks
            )
        except DataError as error:
            raise DataError(f"{file}: {error}") from None
        other = known is not None and known.provenance.get("evidence") != record.provenance["evidence"]
        if known is not None and other and not self.asked.replacing:
            raise StoreError(
                f"{file}: model '{model}' on '{self.data.label}' has other predictions than "
                f"{known.provenance['imported']['file']}, imported before: give one of them another --model, or "
                "--replace the earlier; nothing was written"
            )
        record.tags = self.beside.data_tags | {f"model.{k}": v for k, v in self.asked.tags.items()}
        self._describe(record, own, matched)
        record.provenance = {
            "started": started,
            "ended": provenance.now(),
            "imported": self._describe_origin(file),
            **{key: provenance.environment()[key] for key in ("harness", "libraries")},
            "plugins": {m["distribution"]: m["version"] for m in record.cell["metrics"]},
            **record.provenance,
        }
        return ImportedFile(record, known is None or known.id != record.id, result, other)

    def _find_known(self, at: Mapping[str, Any], file: Path) -> Record | None:
        """Return the record that was imported at these coordinates before. Raises SuiteError for an own one there."""
        place = canonical_json(at)
        cells = self.plan["cells"] if self.plan else ()
        cell = next((c for c in cells if canonical_json(c["at"]) == place), None)
        if cell is not None and not cell.get("imported"):
            raise SuiteError(
                f"{file}: suite '{self.suite}' has a model '{at['model']}' of its own on '{at['dataset']}': "
                "give the imported one another name with --model"
            )
        return self.store.read(cell["id"]) if cell else None

    def _resolve_metrics(self, known: Record | None) -> list[Part]:
        """Return the metrics asked for with those of an earlier import, else those of own records, else top1."""
        wanted = self.asked.metrics
        own = self.beside.records[0] if self.beside.records and not wanted else None
        parts = resolve_predictions_metrics(self.resolver, wanted, known or own)
        return parts or resolve_predictions_metrics(self.resolver, ["top1"], None)

    def _describe(self, record: Record, own: tuple[Truth, Record] | None, matched: Matched) -> None:
        """Let the record's data set and protocol be those of the plugin or of the harness's own record, where they are."""
        if self.data.part is not None:
            record.cell["dataset"] = describe_part(self.data.part)
        elif own is not None and matched.same_samples:
            record.cell["dataset"] = own[1].cell["dataset"]
        if self.beside.records:
            record.cell["protocol"] = self.beside.records[0].cell["protocol"]

    def _describe_origin(self, file: Path) -> dict[str, str]:
        facts = {
            "from": self.importer,
            "file": file.name,
            "digest": bytes_digest(file),
            "at": provenance.now(),
        }
        said = {name: getattr(self.asked, name) for name in ("made_by", "source", "commit", "date")}
        return facts | {name: str(redact(text)) for name, text in said.items() if text}


def _list_files(importer: Importer, path: Path) -> list[Path]:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if not path.is_dir():
        return [path]
    ends = suffixes(importer)
    found = sorted(f for f in path.iterdir() if f.is_file() and f.name.lower().endswith(ends))
    if not found:
        raise DataError(f"{path}: no file of predictions in it: expected {', '.join(ends)}")
    return found


def _read(name: str, importer: Importer, file: Path) -> Sequence[ImportedPredictions]:
    """Return what a file holds. Raises PluginBroken if the importer itself fails."""
    try:
        found: list[Any] = list(importer.read(file))
    except BaseException as error:  # an importer may raise anything
        if isinstance(error, HarnessError) or interrupts(error):
            raise
        raise PluginBroken(f"{file}: importer '{name}' failed: {reason_of(error)}") from error
    if not all(isinstance(one, ImportedPredictions) for one in found):
        raise PluginBroken(f"{file}: importer '{name}' read {found!r:.80}: expected ImportedPredictions")
    return found


def _open_data(resolver: Resolver, asked: PredictionsRequest, suite: str) -> _Data:
    """Return the data set that has the samples, or its mere name."""
    if asked.targets is None:
        if asked.split is not None:
            raise OptionError(f"--split {asked.split}: is of a data set, which --targets names")
        return _Data(asked.dataset or suite)
    where = f"--targets {asked.targets}"
    reference = parse_references(find_dataset(asked.targets).entry, where)[0]
    part = resolver.resolve("datasets", reference, where)
    if part.missing:
        raise Unavailable(f"{where}: {part.missing}")
    if part.problem or part.object is None:
        raise PluginBroken(f"{where}: {part.problem}")
    label = asked.dataset or part.label
    found = find_test_split(part.object.splits, asked.split)
    if found.name is None:
        raise DataError(f"{where}: {found.refusal}")
    split = part.object.load(found.name)
    require_labels(split.targets, where)
    if len(split.targets) and min(split.targets) < 0:
        raise DataError(f"{where}: its split '{found.name}' has no labels")
    ids, classes = [str(i) for i in split.ids], Classes.of(split, part.object)
    truth = Truth(ids, split.targets, classes, f"data set '{label}'")
    said = [text for text in (found.remark, *remarks_of(split)) if text]
    return _Data(label, replace(part, label=label), truth, [f"{label}: {text}" for text in said])
