"""The harness's own metrics from imported predictions; from mere labels, those that need no scores."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.evidence import Predictions
from harness.contract.running import Job, Result
from harness.errors import DataError
from harness.exchange.predictions_matching import Matched
from harness.inference.evaluate import NAMED_CLASSES, compute_metrics, measure_samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

NO_SCORES = ": not computed, since the file has predicted labels and no scores"


MOST_MADE_UP = 1 << 30
"""The most scores that are made up for predicted labels without any: 4 GiB."""


def measure_predictions(job: Job, matched: Matched) -> Result:
    """Return the result of imported predictions: metrics, count, a row per sample, and evidence if there are scores.

    Metrics that need scores where there are none are left out, with a remark that names them. Raises DataError
    if none is left.
    """
    samples: dict[str, Any] = {"id": matched.ids, "target": matched.targets, "prediction": matched.labels}
    names = list(matched.class_names)
    facts = {"matched": matched.how, "outputs": matched.classes, "count": matched.classes}
    notes: dict[str, Any] = {"classes": facts, "scores": matched.logits is not None}
    notes |= {"class_names": names} if len(names) == matched.classes <= NAMED_CLASSES else {}
    count = len(matched.ids)
    if matched.logits is None:
        metrics, columns = _measure_labels(job, matched)
        return Result(metrics, count, samples | columns, notes=notes)
    evidence = Predictions(matched.logits, matched.targets, matched.ids, matched.class_names)
    samples["confidence"] = evidence.confidence.astype(np.float32)
    samples |= measure_samples(job, evidence)
    return Result(compute_metrics(job, evidence), count, samples, notes=notes, evidence={"": evidence})


def _measure_labels(job: Job, matched: Matched) -> tuple[dict[str, float], dict[str, Any]]:
    """Return metrics and their columns per sample that depend on the predicted labels alone.

    A metric does not say what it reads of its evidence. So each is computed from two sets of made-up scores with
    the same predicted labels, in which the target is second or last, near the first or far: a metric that
    gives two numbers needs scores.
    """
    if (size := len(matched.labels) * matched.classes) > MOST_MADE_UP:
        raise DataError(
            f"{len(matched.labels)} labels of {matched.classes} classes: {size} made-up scores are more than memory "
            "holds; are the labels those of classes?"
        )
    jobs = [replace(job, failures={}, remarks=[]) for _ in range(2)]
    evidences = [
        Predictions(logits, matched.targets, matched.ids, matched.class_names) for logits in _make_up(matched)
    ]
    one, other = (compute_metrics(j, e) for j, e in zip(jobs, evidences, strict=True))
    columns, others = (measure_samples(j, e) for j, e in zip(jobs, evidences, strict=True))
    metrics = {name: value for name, value in one.items() if _equal(value, other.get(name))}
    refused = [name for name in one if name not in metrics]
    job.failures.update({name: why for name, why in jobs[0].failures.items() if name not in refused})
    for text in jobs[0].remarks:
        job.remark(text)
    if refused:
        said = f"{', '.join(refused)}{NO_SCORES}"
        if not metrics:
            raise DataError(said)
        job.remark(f"{job.cell.model.label}: {said}" if job.cell.model else said)
    kept = {
        k: v for k, v in columns.items() if k not in refused and k in others and np.array_equal(v, others[k])
    }
    return metrics, kept


def _make_up(matched: Matched) -> list[NDArray[np.float32]]:
    """Return two sets of logits N×C whose largest are those of the predicted labels."""
    rng, rows = np.random.default_rng(0), np.arange(len(matched.labels))
    found = []
    for first, target in ((3.0, 2.5), (9.0, -9.0)):
        logits = 2 * rng.random((len(rows), matched.classes), dtype=np.float32) - 1
        logits[rows, matched.targets] = target
        logits[rows, matched.labels] = first
        found.append(logits)
    return found


def _equal(one: float, other: float | None) -> bool:
    return other is not None and (one == other or (one != one and other != other))
