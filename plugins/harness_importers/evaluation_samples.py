"""The samples that lm-evaluation-harness and lmms-eval log (`--log_samples`), one JSON object in a line."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?|\d{8}_\d{4}(\d\d)?")


@dataclass
class KeptSamples:
    """Columns by name, `id` among them, the number of samples, and the metrics that are zeros and ones."""

    columns: dict[str, list[Any]]
    count: int
    binary: list[str] = field(default_factory=list)


def find_samples(results: Path, task: str) -> Path | None:
    """Return the file of a task's samples that was written with a file of results, None if there is none."""
    date = DATE.search(results.name)
    stamp = date[0] if date else ""
    names = (
        [f"samples_{task}_{stamp}.jsonl", f"{stamp}_samples_{task}.jsonl"]
        if stamp
        else [f"samples_{task}.jsonl"]
    )
    return next((path for name in names if (path := results.parent / name).is_file()), None)


def read_samples(results: Path, task: str, metrics: Mapping[str, float]) -> tuple[KeptSamples | None, str]:
    """Return the samples of a task whose values have the metrics as their means, or None; and why none were read.

    Metrics that are no means of what the samples say (corpus scores) have no column.
    """
    path = find_samples(results, task)
    if path is None:
        return None, ""
    by_filter: dict[str, list[dict[str, Any]]] = {}
    try:
        for line, sample in _read_lines(path):
            if not isinstance(sample, dict) or "doc_id" not in sample:
                return None, f"{path.name}: line {line}: no 'doc_id'; the samples of {task} are left out"
            by_filter.setdefault(str(sample.get("filter", "none")), []).append(_keep(sample, metrics))
    except (OSError, ValueError, RecursionError) as error:
        return None, f"{path.name}: {_shorten(error)}; the samples of {task} are left out"
    return _make_columns(by_filter, metrics), ""


def _read_lines(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield number, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise ValueError(f"line {number}: not valid JSON: {_shorten(error)}") from None


def _shorten(error: Exception) -> str:
    return " ".join((str(error) or type(error).__name__).split())[:200]


def _keep(sample: Mapping[str, Any], metrics: Mapping[str, float]) -> dict[str, Any]:
    """Return of a sample what the record keeps: inputs and prompts are long."""
    kept = {
        "doc_id": sample["doc_id"],
        "target": sample.get("target"),
        "prediction": sample.get("filtered_resps"),
    }
    if isinstance(kept["prediction"], list) and len(kept["prediction"]) == 1:
        kept["prediction"] = kept["prediction"][0]
    for name in metrics:
        base = name.partition(",")[0]
        kept[base] = sample.get(base)
    return kept


def _make_columns(
    by_filter: Mapping[str, list[dict[str, Any]]], metrics: Mapping[str, float]
) -> KeptSamples | None:
    """Return the columns of the filter that has most metrics: a record has one row per sample."""
    best: dict[str, list[float]] = {}
    rows: list[dict[str, Any]] = []
    for name, samples in by_filter.items():
        found = {}
        for metric, mean in metrics.items():
            base, _, of = metric.partition(",")
            values = [sample[base] for sample in samples]
            if (of or "none") == name and _have_mean(values, mean):
                found[metric] = [float(value) for value in values]
        if len(found) > len(best):
            best, rows = found, samples
    if not best:
        return None
    seen: Counter[str] = Counter()
    ids = []
    for row in rows:  # a repeated document is a sample each time
        id = str(row["doc_id"])
        ids.append(f"{id}#{seen[id]}" if seen[id] else id)
        seen[id] += 1
    columns: dict[str, list[Any]] = {"id": ids, **best}
    for name in ("target", "prediction"):
        if all(isinstance(row[name], str) for row in rows) and name not in best:
            columns[name] = [row[name].encode("utf-8", "backslashreplace").decode() for row in rows]
    binary = [name for name, values in best.items() if set(values) <= {0.0, 1.0}]
    return KeptSamples(columns, len(rows), binary)


def _have_mean(values: list[Any], mean: float) -> bool:
    """Return whether all values are numbers and their mean is that of the whole."""
    if not values or not all(isinstance(v, int | float) for v in values):
        return False
    try:
        own, size = (math.fsum(numbers) / len(values) for numbers in (values, map(abs, values)))
    except OverflowError:
        return False
    return abs(own - mean) <= 1e-9 * max(1.0, size)
