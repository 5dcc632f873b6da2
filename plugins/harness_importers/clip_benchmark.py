"""Results of clip_benchmark (https://github.com/LAION-AI/CLIP_benchmark).

A JSON file of `clip_benchmark eval --output` holds `dataset`, `model`, `pretrained`, `task`, `metrics` and, in newer
versions, `language`. The CSV of `clip_benchmark build` has a row per such file, and a column per metric of any of them.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.csv_rows import Row, peek_header, read_rows
from harness_importers.json_files import peek_object, read_json
from harness_importers.numbers import parse_number

RENAMED = {"acc1": "top1", "acc5": "top5", "mean_per_class_recall": "mean_per_class"}
"""Metrics that have another name in this harness; a linear probe prefixes its own with `lp_`."""

TELLING = ("lr", "epochs", "seed", "fewshot_k", "weight_decay", "normalized")
"""Settings that a linear probe writes among its metrics and that tell its evaluations apart."""

SETTING = re.compile(
    r"(learning_rate|wd|momentum|k|n|amp|precision|optim(izer)?|schedule[r]?|verbose|split|image_size|resolution"
    r"|normali[sz]ed?|device|threads|iter(ation)?s?|steps?|patience|temperature|dropout|augment\w*"
    r"|(batch|num|n|max|min|train|val|test|best|warmup|early)_\w+|\w*_?(batch_size|workers|epochs?|steps?|decay|seed"
    r"|shots?|size|samples|per_class))",
    re.IGNORECASE,
)
"""Other numbers that were set rather than measured: they become tags, no leaderboards."""

FRACTION = re.compile(r"(lp_)?(acc\d+|mean_per_class_recall|mean_average_precision)|.*_recall@\d+|acc")
LOWER_IS_BETTER = re.compile(r".*(loss|perplexity).*")
EXPECTED = "expected clip_benchmark's dataset, model, pretrained, task and metrics"


NAMES = ("dataset", "model", "pretrained", "task", "language")
"""What names an evaluation; everything else in a row of a CSV file is a number."""


class ClipBenchmark:
    """Read what `clip_benchmark` writes: JSON files of `eval`, one result or a list in each, or the CSV of `build`."""

    suffix: ClassVar[tuple[str, ...]] = (".json", ".csv")
    example: ClassVar[str] = (
        '{"dataset": "cifar10", "model": "ViT-B-32", "pretrained": "openai", "task": "linear_probe", '
        '"metrics": {"lp_acc1": 0.95, "lp_acc5": 0.999, "lr": 0.1, "epochs": 10, "seed": 3}, "language": "en"}'
    )

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file has clip_benchmark's keys or columns."""
        if file.suffix.lower() == ".json":
            return {"dataset", "model", "task", "metrics"} <= peek_object(file).keys()
        return {"dataset", "model", "pretrained", "task", "model_fullname"} <= set(peek_header(file))

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield the file's results. Raises DataError in one line, starting with the file's path."""
        if file.suffix.lower() == ".csv":
            return _read_csv(file)
        content = read_json(file)
        items = content if isinstance(content, list) else [content]
        if not items:
            raise DataError(f"{file}: an empty list, expected results of clip_benchmark")
        return (_parse_result(item, f"{file}: ") for item in items)


def _read_csv(file: Path) -> Iterator[ImportedResult | UnreadRow]:
    header, rows = read_rows(file)
    if missing := [name for name in ("dataset", "model", "task") if name not in header]:
        raise DataError(f"{file}: {EXPECTED} as columns, found no '{missing[0]}'")
    return (row if isinstance(row, UnreadRow) else _read_row(row) for row in rows)


def _read_row(row: Row) -> ImportedResult | UnreadRow:
    metrics: dict[str, Any] = {}
    written: dict[str, str] = {}
    for name, text in row.cells.items():
        if name in (*NAMES, "model_fullname") or not text:  # a metric that this evaluation doesn't have
            continue
        try:
            number = parse_number(text)
        except ValueError as error:
            if not is_setting(name):
                return UnreadRow(f"{name}: {error}", row.line)
            metrics[name] = {"True": True, "False": False}.get(text, text)
            continue
        if number is not None:
            whole = number.is_finite() and "." not in text and "e" not in text.lower()
            metrics[name] = int(number) if whole else float(number)
            written[name] = text
    named = {k: row.cells[k] for k in NAMES if row.cells.get(k) or (k == "pretrained" and k in row.cells)}
    try:
        return _parse_result({**named, "metrics": metrics}, "", row.line, written)
    except DataError as error:
        return UnreadRow(str(error), row.line)


def _parse_result(
    item: Any, where: str, line: int | None = None, written: Mapping[str, str] | None = None
) -> ImportedResult:
    if not isinstance(item, dict):
        raise DataError(f"{where}{EXPECTED}, found {type(item).__name__}")
    texts = {"pretrained": "", "language": "en"} | {
        k: item[k] for k in ("dataset", "model", "pretrained", "task", "language") if k in item
    }
    for key in ("dataset", "model", "task"):
        if key not in texts:
            raise DataError(f"{where}{EXPECTED}, found no '{key}'")
    for key, text in texts.items():
        if not isinstance(text, str) or not (text.strip() or key == "pretrained"):
            raise DataError(f"{where}'{key}': expected a text, found {text!r:.60}")
    given = item.get("metrics")
    if not isinstance(given, dict):
        raise DataError(f"{where}{EXPECTED}, found no table 'metrics'")
    for key, value in given.items():
        is_number = isinstance(value, int | float | None) and not isinstance(value, bool)
        if not is_number and not is_setting(key):
            raise DataError(f"{where}metrics.{key}: expected a number, found {value!r:.60}")
        if is_number and isinstance(value, int) and abs(value) > sys.float_info.max:
            raise DataError(
                f"{where}metrics.{key}: expected a number that a float can hold, found {value!r:.60}"
            )
    measured = {k: float(v) for k, v in given.items() if v is not None and not is_setting(k)}
    if not measured:
        raise DataError(f"{where}'metrics' holds no number")
    for key, number in measured.items():
        if FRACTION.fullmatch(key) and not (math.isnan(number) or 0 <= number <= 1):
            raise DataError(f"{where}metrics.{key}: expected a fraction, found {number!r}")
    seed = given.get("seed") or 0
    if isinstance(seed, bool) or not isinstance(seed, int | float) or seed % 1 != 0:
        raise DataError(f"{where}metrics.seed: expected a whole number, found {seed!r:.60}")
    return _build_result(texts, given, measured, int(seed), line, written or {})


def _build_result(
    texts: Mapping[str, str],
    given: Mapping[str, Any],
    measured: Mapping[str, float],
    seed: int,
    line: int | None,
    written: Mapping[str, str],
) -> ImportedResult:
    telling = {k: given[k] for k in TELLING if k in given and k != "seed"}
    model = {"model": texts["model"], "pretrained": texts["pretrained"]}
    return ImportedResult(
        protocol=ImportedPart(texts["task"], texts["task"], telling),
        model=ImportedPart("open_clip", " ".join(model.values()).strip(), model),
        dataset=ImportedPart(texts["dataset"], texts["dataset"].removeprefix("wds/")),
        metrics={_rename(k): v for k, v in measured.items()},
        directions={_rename(k): not LOWER_IS_BETTER.fullmatch(k) for k in measured},
        units={_rename(k): "fraction" for k in measured if FRACTION.fullmatch(k)},
        axes={"language": texts["language"], **telling},
        seed=seed,
        settings={k: v for k, v in given.items() if is_setting(k) and k not in TELLING},
        notes={"metrics as written": dict(measured)},
        written={_rename(k): written.get(k, repr(v)) for k, v in measured.items()},
        line=line,
    )


def is_setting(name: str) -> bool:
    """Return whether clip_benchmark's number of that name was set for an evaluation, not measured by it."""
    if FRACTION.fullmatch(name) or LOWER_IS_BETTER.fullmatch(name) or _rename(name) in RENAMED.values():
        return False
    return name in TELLING or SETTING.fullmatch(name.removeprefix("lp_")) is not None


def _rename(metric: str) -> str:
    plain = metric.removeprefix("lp_")
    return RENAMED.get(plain, plain if plain in RENAMED.values() else metric)
