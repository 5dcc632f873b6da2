"""The numbers of a fusion cell that depend on metrics: on all pairs, under each probe, and on each subset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness import Job, Predictions, compute_metrics


def measure_pairs(
    job: Job, evidence: Mapping[str, Predictions], probe_metrics: Sequence[str]
) -> dict[str, float]:
    """Return all metrics of the evidence without a name, and the probe metrics of the others as `METRIC.NAME`.

    Without any of the probe metrics, the cell's first one takes their place. A subset without pairs has no numbers.
    """
    metrics = job.metrics
    chosen = [m for m in probe_metrics if m in metrics] or list(metrics)[:1]
    probing = replace(job, metrics={m: metrics[m] for m in chosen})
    values = compute_metrics(job, evidence[""]) if "" in evidence else {}
    for name, predictions in evidence.items():
        if name and len(predictions):
            found = compute_metrics(probing, predictions)
            values |= {f"{metric}.{name}": value for metric, value in found.items()}
    return values
