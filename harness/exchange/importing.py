"""Results of other programs as records: clip_benchmark's JSON files.

A file holds `dataset`, `model`, `pretrained`, `task`, `metrics` and, in newer versions, `language`
(https://github.com/LAION-AI/CLIP_benchmark, `clip_benchmark eval --output`).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.contract.cells import canonical_json
from harness.errors import DataError, StoreError, SuiteError
from harness.records import provenance
from harness.records.record import Record
from harness.records.store import Store

CLIP_BENCHMARK = "clip_benchmark"

NAMES = {"acc1": "top1", "acc5": "top5", "mean_per_class_recall": "mean_per_class"}
"""Metrics that this harness calls otherwise; linear probes have them with `lp_` before."""

SETTINGS = ("lr", "epochs", "seed", "fewshot_k", "weight_decay", "normalized")
"""What a linear probe writes among its metrics, but is none: it tells evaluations apart."""

ALSO_SET = re.compile(
    r"(learning_rate|wd|momentum|k|n|amp|precision|optim(izer)?|schedule[r]?|verbose|split|image_size|resolution"
    r"|normali[sz]ed?|device|threads|iter(ation)?s?|steps?|patience|temperature|dropout|augment\w*"
    r"|(batch|num|n|max|min|train|val|test|best|warmup|early)_\w+|\w*_?(batch_size|workers|epochs?|steps?|decay|seed"
    r"|shots?|size|samples|per_class))",
    re.IGNORECASE,
)
"""What is also set rather than measured: it is kept as a tag and is no leaderboard."""

FRACTIONS = re.compile(r"(lp_)?(acc\d+|mean_per_class_recall|mean_average_precision)|.*_recall@\d+|acc")
LOWER = re.compile(r".*(loss|perplexity).*")
SHOWN = 10
"""Problems of which each gets its line."""


@dataclass(frozen=True)
class Result:
    """One evaluation as clip_benchmark wrote it; `settings` are a linear probe's."""

    file: str
    dataset: str
    model: str
    pretrained: str
    task: str
    language: str
    metrics: Mapping[str, float]
    settings: Mapping[str, Any]
    also_set: Mapping[str, Any]


@dataclass(frozen=True)
class Imported:
    """How many records were written, and how many stood there with the same numbers."""

    suite: str
    written: int
    same: int


def import_clip_benchmark(paths: Sequence[Path], store: Store, suite: str = CLIP_BENCHMARK) -> Imported:
    """Writes a record for each result in the files (or in the folders' *.json), and a plan for tables.

    A record's id hashes what was evaluated and that it is an import, so that it is the same for
    equal files and never the id of a cell that this harness would run. Nothing is written unless all
    files can be read. Raises DataError for a file that is no result, StoreError where two results of the
    same evaluation have different numbers, SuiteError for a suite that holds records of this harness.
    """
    results = [r for path in paths for r in _results(path)]
    if not results:
        raise DataError(f"{', '.join(str(p) for p in paths)}: no *.json file there")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", suite):
        raise SuiteError(f"--suite {suite!r}: expected letters, digits, '.', '_' and '-'")
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
    for result in results:
        record = _record(result, suite)
        planned[record.id] = record
        known = new.get(record.id) or store.read(record.id)
        if known is None:
            new[record.id] = record
        elif _equal(known.metrics, record.metrics):
            same += 1
        elif _equal({k: v for k, v in known.metrics.items() if not is_setting(k)}, record.metrics):
            new[record.id] = record  # an import of a version that took settings for metrics
        else:
            raise StoreError(
                f"{result.file}: {_shown(result)} has other numbers than "
                f"{known.provenance['imported']['file']}, imported before{_otherwise_set(record, known)}; "
                "nothing was written"
            )
    for record in new.values():
        store.write(record)
    cells = {canonical_json(c["at"]): c for c in (before["cells"] if before else [])}
    # those that stood there too: under another suite's name, or when an import was killed before this
    for record in planned.values():
        cell = {"id": record.id, "at": record.coordinates, "tags": record.tags}
        cells[canonical_json(record.coordinates)] = cell
    store.write_manifest(_suite(store, suite, list(cells.values())), list(cells.values()))
    return Imported(suite, len(new), same)


def _results(path: Path) -> Iterator[Result]:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    files = sorted(path.glob("*.json")) if path.is_dir() else [path]
    problems: list[str] = []
    found: list[Result] = []
    for file in files:
        try:
            found += _read(file)
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = [f"… and {len(problems) - SHOWN} more files"] if len(problems) > SHOWN else []
        raise DataError("\n".join([*problems[:SHOWN], *more]))
    yield from found


def _read(file: Path) -> list[Result]:
    try:
        content = json.loads(file.read_bytes())  # Python's reader takes the NaN that Python's writer makes
        json.dumps(content, ensure_ascii=False).encode()
    except OSError as error:
        raise DataError(f"{file}: can't be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0][:200] or type(error).__name__
        raise DataError(f"{file}: not valid JSON: {reason}") from None
    items = content if isinstance(content, list) else [content]
    if not items:
        raise DataError(f"{file}: an empty list, expected results of clip_benchmark")
    return [_result(item, str(file)) for item in items]


def _result(item: Any, file: str) -> Result:
    expected = "expected clip_benchmark's dataset, model, pretrained, task and metrics"
    if not isinstance(item, dict):
        raise DataError(f"{file}: {expected}, found {type(item).__name__}")
    texts = {"pretrained": "", "language": "en"} | {
        k: item[k] for k in ("dataset", "model", "pretrained", "task", "language") if k in item
    }
    for key in ("dataset", "model", "task"):
        if key not in texts:
            raise DataError(f"{file}: {expected}, found no '{key}'")
    for key, text in texts.items():
        if not isinstance(text, str):
            raise DataError(f"{file}: '{key}': expected a text, found {text!r:.60}")
    metrics = item.get("metrics")
    if not isinstance(metrics, dict):
        raise DataError(f"{file}: {expected}, found no table 'metrics'")
    also_set = {k: v for k, v in metrics.items() if is_setting(k) and k not in SETTINGS}
    numbers = {k: v for k, v in metrics.items() if not is_setting(k)}
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float | None):
            raise DataError(f"{file}: metrics.{key}: expected a number, found {value!r:.60}")
    values = {k: float(v) for k, v in numbers.items() if v is not None}
    if not values:
        raise DataError(f"{file}: 'metrics' holds no number")
    settings = {k: metrics[k] for k in SETTINGS if k in metrics}
    return Result(Path(file).name, **texts, metrics=values, settings=settings, also_set=also_set)


def is_setting(name: str) -> bool:
    """Whether a number of that name was set for an evaluation rather than measured by it."""
    if FRACTIONS.fullmatch(name) or LOWER.fullmatch(name) or _name(name) in NAMES.values():
        return False
    return name in SETTINGS or ALSO_SET.fullmatch(name.removeprefix("lp_")) is not None


def _record(result: Result, suite: str) -> Record:
    dataset = result.dataset.removeprefix("wds/")
    model = f"{result.model} {result.pretrained}".strip()
    seed = result.settings.get("seed", 0)
    seed = seed if isinstance(seed, int) and not isinstance(seed, bool) else 0
    varied = {k: v for k, v in result.settings.items() if k != "seed"}
    at = {
        "experiment": suite,
        "protocol": result.task,
        "model": model,
        "dataset": dataset,
        "method": "",
        "language": result.language,
        **varied,
        "seed": seed,
    }
    identity = ["imported", CLIP_BENCHMARK, {k: v for k, v in at.items() if k != "experiment"}]
    id = hashlib.sha256(canonical_json(identity).encode()).hexdigest()[:20]
    metrics = {_name(k): v for k, v in result.metrics.items()}
    units = {
        _name(k): "fraction"
        for k, v in result.metrics.items()
        if FRACTIONS.fullmatch(k) and (math.isnan(v) or 0 <= v <= 1)
    }
    options = {"model": result.model, "pretrained": result.pretrained}
    cell: dict[str, Any] = {
        "protocol": _part(result.task, result.task, varied),
        "model": _part("open_clip", model, options),
        "dataset": _part(result.dataset, dataset, {}),
        "method": None,
        "metrics": [],
        "axes": {"language": result.language, **varied},
        "seed": seed,
    }
    return Record(
        id,
        "ok",
        suite,
        at,
        {f"settings.{k}": v for k, v in result.also_set.items()},
        cell,
        metrics=metrics,
        directions={_name(k): not LOWER.fullmatch(k) for k in result.metrics},
        units=units,
        notes={"metrics as written": dict(result.metrics)}
        | ({"settings": dict(result.also_set)} if result.also_set else {}),
        provenance={
            "imported": {"from": CLIP_BENCHMARK, "file": result.file, "at": provenance.now()},
        },
    )


def _part(plugin: str, label: str, options: Mapping[str, Any]) -> dict[str, Any]:
    facts = {"plugin": plugin, "distribution": CLIP_BENCHMARK, "version": None, "options": dict(options)}
    return {**facts, "label": label, "tags": {}, "identity": facts}


def _name(metric: str) -> str:
    plain = metric.removeprefix("lp_")
    return NAMES.get(plain, plain if plain in NAMES.values() else metric)


def _suite(store: Store, name: str, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the tables of the imported records look like: one per task and main metric."""
    having: dict[tuple[str, str], list[str]] = {}
    spread: dict[str, dict[str, set[str]]] = {}
    for cell in cells:
        record, at = store.read(cell["id"]), cell["at"]
        task = at["protocol"]
        for key, value in at.items():
            spread.setdefault(task, {}).setdefault(key, set()).add(canonical_json(value))
        for metric in record.metrics if record else {}:
            datasets = having.setdefault((task, metric), [])
            if at["dataset"] not in datasets:
                datasets.append(at["dataset"])
    tables = []
    for (task, metric), datasets in having.items():
        if (task, "top1") in having and metric in ("top5", "mean_per_class"):
            continue
        rows = ["model"] + [
            k for k, v in spread[task].items() if len(v) > 1 and k not in ("model", "dataset", "seed")
        ]
        tables.append(
            {
                "name": f"{task}-{metric}",
                "title": f"{task}, {metric} (imported from {CLIP_BENCHMARK})",
                "rows": rows,
                "columns": ["dataset"],
                "values": [metric],
                "where": {"protocol": task, "dataset": datasets},
            }
        )
    return {"name": name, "title": f"Imported from {CLIP_BENCHMARK}", "tables": tables}


def _otherwise_set(one: Record, other: Record) -> str:
    """What two results of the same evaluation were set to otherwise, and what to do about it; or nothing."""
    here, there = one.notes.get("settings", {}), other.notes.get("settings", {})
    differ = [k for k in dict.fromkeys([*here, *there]) if here.get(k) != there.get(k)]
    if not differ:
        return ""
    shown = ", ".join(f"{k} {here.get(k)} here, {there.get(k)} there" for k in differ)
    return f" ({shown}: import one of them into a store of its own)"


def _equal(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return a.keys() == b.keys() and all(a[k] == b[k] or (a[k] != a[k] and b[k] != b[k]) for k in a)


def _shown(result: Result) -> str:
    parts = (result.task, result.model, result.pretrained, result.dataset, result.language)
    return " · ".join(p for p in parts if p)
