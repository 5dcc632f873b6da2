"""Metrics of evidence of several classes: each metric reads the evidence that it is made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness import Job
from harness.inference.evaluate import measure_evidence
from harness.planning.evidence_matching import find_evidence_classes, match_evidence_classes


def measure_kinds(job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return all metrics of all evidence: `<metric>.<name>`, or `<metric>` of the evidence without a name."""
    found: dict[str, float] = {}
    for name, one in evidence.items():
        found |= measure_evidence(keep_readers(job, one), {name: one})
    return found


def keep_readers(job: Job, evidence: object) -> Job:
    """Return the job with those metrics alone that read this evidence."""
    wanted = {label: find_evidence_classes(metric) for label, metric in job.metrics.items()}
    own = {
        label: job.metrics[label]
        for label, classes in wanted.items()
        if classes is None or match_evidence_classes([type(evidence)], classes)
    }
    return replace(job, metrics=own)
