"""Metrics after the fact: a cell's numbers from evidence that an earlier run of it kept, without its model."""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

from harness.contract.cells import Cell
from harness.contract.declared import ask
from harness.contract.remarks import relabel_remarks
from harness.contract.running import Job, Result
from harness.errors import StoreError, interrupts, reason_of
from harness.inference.evaluate import measure_evidence, measure_resamples, measure_samples
from harness.records import provenance
from harness.records.parquet_columns import read_parquet
from harness.records.record import Record
from harness.records.redaction import redact
from harness.records.store import Store, warn_once
from harness.running.record_building import build_record, find_metric

log = logging.getLogger(__name__)


def measure_kept(cell: Cell, store: Store, make_job: Callable[[Cell], Job]) -> Record | None:
    """Return and write the record of a cell whose evidence the store has; None if the cell must be run.

    All metrics are computed from the evidence, so that none of them is of another run. Everything else (cost,
    curves, notes, the protocol's own numbers) is that of the record whose run made the evidence.
    """
    found = store.find_evidence(cell.evidence_id)
    if found is None:
        return None
    kept, origin = found
    if origin.id == cell.id and origin.whole:  # whoever asks for a finished cell wants it run
        return None
    if kept.missing:
        warn_once(f"cells run again for other metrics, since their evidence was not kept: {kept.missing}")
        return None
    try:
        return _measure(
            cell, store, make_job(cell), kept.read(ask(cell.protocol.object, "provides") or ()), origin
        )
    except StoreError as error:
        warn_once(f"{error}; cells with such evidence run again")
    except BaseException as error:  # what any plugin raises; the run will show whether it is the cell's fault
        if interrupts(error):
            raise
        log.debug("%s can't be measured from its evidence: %s", cell.shown, reason_of(error))
    return None


def _measure(
    cell: Cell, store: Store, job: Job, evidence: Mapping[str, Any], origin: Record
) -> Record | None:
    started = provenance.now()
    measure = ask(cell.protocol.object, "measure")
    metrics = measure(job, evidence) if measure else measure_evidence(job, evidence)
    samples = _read_samples(store, origin)
    if samples is not None and "" in evidence:
        samples |= measure_samples(job, evidence[""])
    resamples = measure_resamples(job, evidence[""]) if samples is not None and "" in evidence else {}
    if measure and job.failures:  # which of the other numbers rest on the failed metric, only a run tells
        return None
    own = {name: value for name, value in origin.metrics.items() if _is_own(name, origin, cell)}
    if not _come_out_again(origin, cell, metrics):
        return None  # the protocol names or computes numbers in a way of its own, which only a run repeats
    record = build_record(cell, job, Result({**own, **metrics}, origin.count, samples))
    record.cost = dict(origin.cost)
    record.notes = {**origin.notes, "remarks": _pass_on_remarks(origin, cell)}
    record.remark([*cell.remarks, *job.remarks])
    record.provenance = {
        **origin.provenance,
        "measured": {
            "started": started,
            "ended": provenance.now(),
            "from": origin.id,
            "harness": provenance.environment()["harness"],
            "libraries": provenance.environment()["libraries"],
            "plugins": {m.distribution: m.version for m in cell.metrics},
            "command": provenance.command_line(sys.argv),
        },
    }
    store.write_measured(record, samples, origin.id, resamples)
    return record


def _read_samples(store: Store, origin: Record) -> dict[str, Any] | None:
    """Return the origin's columns per sample, without those of its metrics. Raises StoreError for a damaged file."""
    import pyarrow as pa

    if "samples" not in origin.files:
        return None
    path = store.file("samples", origin.id, ".parquet")
    try:
        table = read_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise StoreError(f"{path}: can't be read: {str(error).partition(chr(10))[0]}") from None
    labels = {part["label"] for part in origin.cell["metrics"]}
    return {
        name: column.to_numpy() if pa.types.is_primitive(column.type) and not column.null_count else column
        for name, column in zip(table.column_names, table.columns, strict=True)
        if name not in labels
    }


def _come_out_again(origin: Record, cell: Cell, metrics: Mapping[str, float]) -> bool:
    """Return whether the origin's numbers of the metrics that the cell has, too, were computed again."""
    kept = [redact(json.loads(m.identity)) for m in cell.metrics]
    labels = {part["label"]: part for part in origin.cell["metrics"]}
    facts = {**ask(cell.protocol.object, "directions"), **ask(cell.protocol.object, "units")}
    for name, value in origin.metrics.items():
        part: Any = find_metric(name, labels, facts)
        if part is None or part["identity"] not in kept:
            continue
        again = metrics.get(name)
        equal = again is not None and (
            math.isclose(again, value, rel_tol=1e-6, abs_tol=1e-9) or again != again
        )
        if not equal:
            return False
    return True


def _is_own(name: str, origin: Record, cell: Cell) -> bool:
    """Return whether a number of a record is the protocol's own, not a metric's."""
    labels = {part["label"]: part for part in origin.cell["metrics"]}
    facts = {**ask(cell.protocol.object, "directions"), **ask(cell.protocol.object, "units")}
    return find_metric(name, labels, facts) is None


def _pass_on_remarks(origin: Record, cell: Cell) -> list[str]:
    """Return the origin's remarks with this cell's labels, without those of its metrics."""
    metrics = tuple(f"{part['label']}: " for part in origin.cell["metrics"])
    pairs = ((origin.cell.get(kind), getattr(cell, kind)) for kind in ("model", "dataset", "method"))
    moved = {was["label"]: part.label for was, part in pairs if was and part and was["label"] != part.label}
    kept = [text for text in origin.remarks if not text.startswith((*metrics, "metric '"))]
    return relabel_remarks(kept, moved)
