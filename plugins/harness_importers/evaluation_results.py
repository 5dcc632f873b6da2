"""What lm-evaluation-harness and lmms-eval write alike: a file of results by task, and beside it files of samples."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.evaluation_samples import read_samples
from harness_importers.json_files import read_json
from harness_importers.numbers import BOUNDED, is_higher_better

NO_METRICS = ("alias", "name", "samples", "sample_len", "sample_count")
"""What stands among a task's metrics and is none."""

LARGEST = int(sys.float_info.max)

STDERR = re.compile(r"(.+)_stderr(_\w+)?")
CACHED = re.compile(r".*models--([^/]+)--([^/]+)/snapshots/([0-9a-f]+)/?")
"""The path of a model in the cache of the Hugging Face Hub: its owner, its name, its commit."""


def read_results(file: Path, program: str) -> Iterator[ImportedResult | UnreadRow]:
    """Yield a result per task and group of tasks. Raises DataError, starting with the file's path."""
    content = read_json(file)
    results = content.get("results") if isinstance(content, dict) else None
    if not isinstance(results, dict) or not all(isinstance(table, dict) for table in results.values()):
        raise DataError(f"{file}: expected {program}'s table 'results' of metrics by task")
    return _read_tasks(file, program, content, results)


def _read_tasks(
    file: Path, program: str, content: Mapping[str, Any], results: Mapping[str, Any]
) -> Iterator[ImportedResult | UnreadRow]:
    model, settings = describe_model(content)
    for task, table in results.items():
        of = table_of(content, "group_subtasks").get(task)
        groups = of if isinstance(of, list) else []
        metrics, stderr = {}, {}
        for key, value in table.items():
            name = key.removesuffix(",none")
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if name in NO_METRICS or not is_number:
                continue
            if STDERR.fullmatch(name.partition(",")[0]):
                stderr[name] = value
                continue
            better = table_of(content, "higher_is_better", task).get(name.partition(",")[0])
            better = better if isinstance(better, bool) else is_higher_better(name.partition(",")[0])
            if better is None:
                yield UnreadRow(f"results.{task}.{key}: it doesn't say whether a larger value is better")
            elif isinstance(value, int) and abs(value) > LARGEST:
                yield UnreadRow(
                    f"results.{task}.{key}: expected a number that a float can hold, found {value!r:.60}"
                )
            else:
                metrics[name] = (float(value), better)
        if not metrics:
            if not groups:  # a group without a mean has no numbers of its own
                yield UnreadRow(f"results.{task}: no number in it")
            continue
        kept, problem = read_samples(file, task, {name: value for name, (value, _) in metrics.items()})
        if problem:
            yield UnreadRow(problem)
        config = table_of(content, "configs", task)
        shots = table_of(content, "n-shot").get(task)
        count = table_of(content, "n-samples", task).get("effective")
        facts = {"dataset_name": config.get("dataset_name"), "split": config.get("test_split")}
        yield ImportedResult(
            protocol=ImportedPart(program, program),
            model=model,
            dataset=ImportedPart(
                str(config.get("dataset_path") or task), task, {k: str(v) for k, v in facts.items() if v}
            ),
            metrics={name: value for name, (value, _) in metrics.items()},
            directions={name: better for name, (_, better) in metrics.items()},
            units={
                name: "fraction"
                for name, (value, _) in metrics.items()
                if BOUNDED.fullmatch(name.partition(",")[0]) and 0 <= value <= 1
            },
            axes={"shots": shots} if isinstance(shots, int) else {},
            settings=settings,
            notes={
                "standard errors": stderr,
                "task version": table_of(content, "versions").get(task),
                "program version": content.get("lm_eval_version") or content.get("lmms_eval_version"),
                "program commit": content.get("git_hash"),
                **({"mean over": groups} if groups else {}),
            },
            written={name: repr(value) for name, (value, _) in metrics.items()},
            origin=_tell_date(content.get("date")),
            samples=kept.columns if kept else {},
            count=kept.count if kept else count if isinstance(count, int) else None,
            binary=kept.binary if kept else (),
        )


def table_of(content: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return the table under some keys; an empty one if there is none."""
    found: Any = content
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def describe_model(content: Mapping[str, Any]) -> tuple[ImportedPart, dict[str, Any]]:
    """Return the model that was evaluated, and what was set for all tasks."""
    config = table_of(content, "config")
    arguments = config.get("model_args")
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        arguments = {key.strip(): value for key, _, value in pairs if key.strip()}
    arguments = arguments if isinstance(arguments, Mapping) else {}
    backend = str(config.get("model") or content.get("model_source") or "")
    named = (arguments.get("pretrained"), arguments.get("model"), content.get("model_name"), backend)
    label = next((str(name) for name in named if name and str(name).strip()), "unknown model")
    options = {str(k): v for k, v in arguments.items() if isinstance(v, str | int | float | bool)}
    if cached := CACHED.fullmatch(label):
        label = f"{cached[1]}/{cached[2]}"
        options |= {"pretrained": label, "revision": cached[3]}
    settings = {"backend": backend, "limit": config.get("limit")}
    settings |= {k: v for k, v in options.items() if k not in ("pretrained", "model")}
    return ImportedPart(backend or "model", label, options), {
        k: v for k, v in settings.items() if v not in (None, "")
    }


def _tell_date(date: Any) -> dict[str, str]:
    """Return when the evaluation was made, in ISO 8601: lm-evaluation-harness writes seconds, lmms-eval digits."""
    if isinstance(date, int | float) and not isinstance(date, bool) and 0 < date < 1e11:
        return {"date": datetime.fromtimestamp(date, UTC).isoformat(timespec="seconds")}
    if isinstance(date, str) and (found := re.fullmatch(r"(\d{4})(\d\d)(\d\d)_(\d\d)(\d\d)(\d\d)?", date)):
        return {"date": f"{found[1]}-{found[2]}-{found[3]}T{found[4]}:{found[5]}:{found[6] or '00'}"}
    return {}
