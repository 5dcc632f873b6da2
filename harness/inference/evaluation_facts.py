"""Facts about an evaluation that a person checks first: how images were prepared, and how classes were matched."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from harness.contract.data import Split
from harness.contract.running import Job
from harness.inference.classes import Classes, align_classes
from harness.inference.evaluate import find_preparation

SHOWN = 5


def describe_preparation(job: Job, split: Split) -> dict[str, Any]:
    """Return the note `preparation`, the fields of a `Preparation`; empty if the model doesn't say."""
    found = find_preparation(job.model, split)
    return {} if found is None else {"preparation": asdict(found)}


def describe_classes(job: Job, split: Split, outputs: int) -> dict[str, Any]:
    """Return the note `classes`: what matched them with the model's outputs, how many, and which are not read."""
    own = replace(Classes.of(job.model), count=outputs)
    data = Classes.of(split, job.dataset)
    found = align_classes(own, data)
    facts: dict[str, Any] = {"matched": found.how, "outputs": outputs}
    facts["count"] = outputs if found.columns is None else len(found.columns)
    if found.columns is not None:
        read = {output for group in found.columns for output in group}
        facts["unread"] = outputs - len(read)
        if (names := own.names or own.keys) is not None:
            facts["unread_names"] = [n for i, n in enumerate(names) if i not in read][:SHOWN]
    return {"classes": facts}
