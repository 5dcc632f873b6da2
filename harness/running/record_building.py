"""Building of a record from a protocol's result: numbers with their directions, units and kinds."""

from __future__ import annotations

from collections.abc import Mapping
from traceback import format_exception
from typing import Any

from harness.contract.cells import Cell
from harness.contract.declared import ask
from harness.contract.evidence import Metric
from harness.contract.remarks import remarks_of
from harness.contract.running import CLUSTER, Job, Result
from harness.errors import HarnessError
from harness.records.record import Record, make_blank


def build_record(cell: Cell, job: Job, result: Result) -> Record:
    """Return the record of a result, without provenance and without what the core itself measures.

    Raises HarnessError for a result that can't be recorded, and a metric's own failure if no number is left.
    """
    if not isinstance(result, Result):
        raise HarnessError(
            f"protocol '{cell.protocol.plugin}' of {cell.protocol.distribution} returned {result!r:.80}: "
            "expected a Result"
        )
    if result.status not in ("ok", "diverged"):
        raise HarnessError(
            f"protocol '{cell.protocol.plugin}' of {cell.protocol.distribution} returned the status "
            f"{result.status!r}: expected 'ok' or 'diverged'"
        )
    if job.failures and not result.metrics:
        raise next(iter(job.failures.values()))
    record = make_blank(cell, result.status, result.reason)
    clustered = _remark_clusters(job, result)
    record.metrics = _to_floats(result.metrics, "metric")
    for name in record.metrics:
        own, units = (ask(cell.protocol.object, what) for what in ("directions", "units"))
        metric = find_metric(name, job.metrics, {**own, **units})
        stated = ask(metric, "higher_is_better")
        record.directions[name] = bool(own.get(name, True) if stated is None else stated)
        unit = ask(metric, "unit") or units.get(name)
        if unit:
            record.units[name] = unit
        values = result.samples.get(name) if result.samples else None
        if not clustered and (
            _is_share(record.metrics[name], values)
            if values is not None
            else _is_proportion(name, metric, job.metrics, result)
        ):
            record.binary.append(name)
    record.count = result.count
    record.cost = {**_count_parameters(job.model), **_to_floats(result.cost, "cost")}
    record.notes = {**record.notes, **result.notes}
    if job.failures:
        record.failures = {name: str(failure) for name, failure in job.failures.items()}
        record.traceback = "\n".join("".join(format_exception(f)) for f in job.failures.values())
    if cell.model is not None:
        job.remarks.extend(f"{cell.model.label}: {text}" for text in remarks_of(job.model))
    return record


def _remark_clusters(job: Job, result: Result) -> bool:
    """Return whether some samples share a cluster, and remark it: they are not independent."""
    clusters = (result.samples or {}).get(CLUSTER)
    if clusters is None:
        return False
    count, several = len(clusters), len({str(cluster) for cluster in clusters})
    if several == count:
        return False
    job.remark(f"{count} samples in {several} clusters, which intervals and tests take as units")
    return True


def find_metric(name: str, metrics: Mapping[str, Metric], facts: Mapping[str, Any]) -> Metric | None:
    """Return the metric behind a number's name; None for the protocol's own numbers.

    A metric with several numbers calls them `<its label>.<key>`, or `<its label><anything>` as it likes.
    """
    near = [label for label in metrics if name.startswith(label)] if name not in facts else []
    longest = max(near, key=len, default="")
    return metrics.get(name) or metrics.get(name.partition(".")[0]) or metrics.get(longest)


def _is_proportion(name: str, metric: Metric | None, metrics: Mapping[str, Metric], result: Result) -> bool:
    """Return whether a number is a proportion of the counted samples, as its metric declares.

    A count that can't have led to the number belongs to something else.
    """
    declared: Any = ask(metric, "proportion")
    label = next((label for label, one in metrics.items() if one is metric), None)
    keys = [label] if declared is True else [f"{label}.{key}" for key in declared or ()]
    if name not in keys or not result.count:
        return False
    hits = float(result.metrics[name]) * result.count
    return 0 <= hits <= result.count and abs(hits - round(hits)) <= 1e-3 + 1e-6 * result.count


def _is_share(number: float, values: Any) -> bool:
    """Return whether the number is the mean of these values by sample, all of them zeros and ones."""
    try:
        given = [float(v) for v in values]
    except (TypeError, ValueError):  # several for each sample, or texts
        return False
    return bool(given) and set(given) <= {0.0, 1.0} and abs(sum(given) / len(given) - number) <= 1e-6


def _to_floats(values: Mapping[str, Any], what: str) -> dict[str, float]:
    """Return the values as floats. Raises HarnessError naming one that is not a number."""
    numbers = {}
    for name, value in values.items():
        try:
            numbers[name] = float(value)
        except (TypeError, ValueError, OverflowError):
            raise HarnessError(f"the protocol's {what} '{name}' is {value!r:.80}, not a number") from None
    return numbers


def _count_parameters(model: Any) -> dict[str, float]:
    if ask(model, "module") is None:
        return {}
    parameters = list(model.module.parameters())
    return {
        "parameters": sum(p.numel() for p in parameters),
        "trainable_parameters": sum(p.numel() for p in parameters if p.requires_grad),
    }
