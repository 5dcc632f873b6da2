"""Records of imported predictions: their cells, what identifies them, and metrics that are added to them later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from harness.contract.cells import Cell, Part, canonical_json
from harness.contract.evidence import Predictions
from harness.contract.running import Result
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references, parse_short
from harness.errors import HarnessError, OptionError, PluginBroken, StoreError, Unavailable
from harness.exchange.imported_cells import keep_imported, make_imported_job
from harness.exchange.predictions_matching import Matched
from harness.exchange.predictions_measuring import NO_SCORES, measure_predictions
from harness.planning.evidence_matching import find_evidence_classes, match_evidence_classes, name_apart
from harness.records import provenance
from harness.records.record import Record
from harness.records.store import Store, warn_once
from harness.running.record_building import build_record


def build_predictions_record(
    importer: str,
    at: Mapping[str, Any],
    suite: str,
    matched: Matched,
    metrics: Sequence[Part],
    remarks: Sequence[str],
) -> tuple[Record, Result]:
    """Return the record of imported predictions at its coordinates, without provenance, and its result.

    Its id hashes what was predicted, the names of model and data set, and the metrics: never that of a cell that
    the harness runs. Raises DataError if no metric can be computed.
    """
    cell = _build_cell(importer, at, suite, digest_predictions(matched), metrics)
    job = make_imported_job(cell)
    for text in remarks:
        job.remark(text)
    result = measure_predictions(job, matched)
    record = build_record(cell, job, result)
    record.remark(job.remarks)
    record.coordinates = dict(at)
    for setting in ("precision", "images", "limit"):  # which another program did not say
        record.cell.pop(setting, None)
    record.provenance = {"evidence": cell.evidence_id}
    return record, result


def resolve_predictions_metrics(
    resolver: Resolver, wanted: Sequence[str], earlier: Record | None, strict: bool = True
) -> list[Part]:
    """Return the metrics of an earlier record, and those of the references that are wanted.

    Raises OptionError, PluginBroken, PluginNotFound or Unavailable for a wanted one that can't be computed from
    predictions, unless not `strict`; those of the record that can't be are left out.
    """
    parts: dict[str, Part] = {}
    for described in (earlier.cell.get("metrics") or ()) if earlier is not None else ():
        for reference in parse_references(_to_entry(described), "metric"):
            part = resolver.resolve("metrics", reference, "metric")
            if explain_unusable_metric(part) is None:
                parts[part.label] = part
    for text in wanted:
        part = resolver.resolve("metrics", parse_short(text), f"--metric {text}")
        if (problem := explain_unusable_metric(part)) is None:
            parts[part.label] = part
        elif strict:
            raise problem
    return list(parts.values())


def explain_unusable_metric(part: Part) -> HarnessError | None:
    """Return why a metric can't be computed from predictions, or None."""
    if part.missing:
        return Unavailable(f"metric '{part.label}': {part.missing}")
    if part.problem or part.object is None:
        return PluginBroken(f"metric '{part.label}': {part.problem}")
    wanted = find_evidence_classes(part.object)
    if wanted is not None and not match_evidence_classes((Predictions,), wanted):
        reads, gives = name_apart(wanted, (Predictions,))
        return OptionError(f"metric '{part.label}' reads {reads}: imported predictions give {gives}")
    return None


def add_imported_metrics(store: Store, suite: str, references: Sequence[str]) -> list[Record]:
    """Compute metrics for the imported predictions of a suite from what was kept of them, and write their records.

    Those that have the metrics are left alone. What can't be computed is warned of, since the suite's own cells
    must not suffer.
    """
    plan = store.manifest(suite)
    resolver, made = Resolver(), list[Record]()
    for cell in plan["cells"] if plan else ():
        record = store.read(cell["id"]) if cell.get("imported") else None
        if record is None or "evidence" not in record.provenance:
            continue  # finished numbers of another program
        try:
            parts = resolve_predictions_metrics(resolver, references, record, strict=False)
            if {p.label for p in parts} == {p["label"] for p in record.cell["metrics"]}:
                continue
            made.append(_measure_again(store, record, cell["at"], parts))
        except HarnessError as error:
            warn_once(f"{record.coordinates['model']}: metrics can't be added: {error}")
    if made:
        keep_imported(store, suite, made)
    return made


def _measure_again(store: Store, record: Record, at: Mapping[str, Any], parts: Sequence[Part]) -> Record:
    importer = record.cell["model"]["distribution"]
    matched = _read_matched(store, record)
    said = [text for text in record.remarks if not text.endswith(NO_SCORES)]
    again, result = build_predictions_record(importer, at, record.suite, matched, parts, said)
    for kind in ("dataset", "protocol"):
        again.cell[kind] = record.cell[kind]
    again.tags = dict(record.tags)
    again.provenance = {**record.provenance, "measured": {"ended": provenance.now(), "from": record.id}}
    store.write(again, result.samples, evidence=result.evidence or None)
    return again


def _read_matched(store: Store, record: Record) -> Matched:
    """Return the predictions of a record from its evidence, else from its samples. Raises StoreError if it has neither."""
    facts, names = record.notes["classes"], tuple(record.notes.get("class_names") or ())
    count = int(facts["count"])
    found = store.find_evidence(record.provenance["evidence"])
    if found is not None and not found[0].missing:
        kept: Predictions = found[0].read((Predictions,))[""]
        logits = np.asarray(kept.logits)
        names = tuple(kept.class_names)
        return Matched(
            list(kept.ids), kept.targets, kept.predicted, logits, count, names, how=facts["matched"]
        )
    samples = store.samples(record.id)
    if samples is None or record.notes["scores"]:
        raise StoreError("its logits were not kept: import the file again with --metric")
    columns = [samples[name].to_numpy(dtype=np.int64) for name in ("target", "prediction")]
    ids = [str(i) for i in samples["id"]]
    return Matched(ids, columns[0], columns[1], None, count, names, how=facts["matched"])


def _to_entry(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suite's entry for a metric as a record describes it."""
    label = {} if part["label"] == part["plugin"] else {"label": part["label"]}
    return {"plugin": part["plugin"], "options": dict(part.get("options") or {}), **label}


def _build_cell(
    importer: str, at: Mapping[str, Any], suite: str, predicted: str, metrics: Sequence[Part]
) -> Cell:
    """Return the cell of an import. What was predicted, in the order of its samples, is the model's identity."""

    def part(kind: str, label: str, **facts: str) -> Part:
        identity = canonical_json({"plugin": label, "imported": importer, **facts})
        return Part(kind, label, importer, "", label, {}, {}, identity, object=None, make=lambda: None)

    return Cell(
        suite=suite,
        experiment=str(at["experiment"]),
        protocol=part("protocols", str(at["protocol"])),
        model=part("models", str(at["model"]), predictions=predicted),
        dataset=part("datasets", str(at["dataset"])),
        method=None,
        metrics=tuple(metrics),
        axes={},
        seed=int(at["seed"]),
    )


def digest_predictions(matched: Matched) -> str:
    """Return a digest of samples, targets and what was predicted, whatever the file or the order of its rows."""
    digest = hashlib.sha256(orjson.dumps([matched.ids, list(matched.class_names), matched.classes]))
    for array in (matched.targets, matched.labels if matched.logits is None else matched.logits):
        digest.update(str(array.dtype).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:20]
