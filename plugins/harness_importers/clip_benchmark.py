"""Results of clip_benchmark.

A JSON file holds `dataset`, `model`, `pretrained`, `task`, `metrics` and, in newer versions, `language`
(https://github.com/LAION-AI/CLIP_benchmark, `clip_benchmark eval --output`).
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from harness import DataError, ImportedPart, ImportedResult

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


class ClipBenchmark:
    """Read the JSON files that `clip_benchmark eval --output` writes, one result or a list of them in each."""

    suffix: ClassVar[str] = ".json"
    example: ClassVar[str] = (
        '{"dataset": "cifar10", "model": "ViT-B-32", "pretrained": "openai", "task": "linear_probe", '
        '"metrics": {"lp_acc1": 0.95, "lp_acc5": 0.999, "lr": 0.1, "epochs": 10, "seed": 3}, "language": "en"}'
    )

    def read(self, file: Path) -> Sequence[ImportedResult]:
        """Return the file's results. Raises DataError in one line, starting with the file's path."""
        try:
            content = json.loads(file.read_bytes())  # takes the NaN that Python's own writer makes
            json.dumps(content, ensure_ascii=False).encode()
        except OSError as error:
            raise DataError(f"{file}: can't be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            reason = re.split(r"[\n;]", str(error))[0][:200] or type(error).__name__
            raise DataError(f"{file}: not valid JSON: {reason}") from None
        items = content if isinstance(content, list) else [content]
        if not items:
            raise DataError(f"{file}: an empty list, expected results of clip_benchmark")
        return [_parse_result(item, file) for item in items]


def _parse_result(item: Any, file: Path) -> ImportedResult:
    if not isinstance(item, dict):
        raise DataError(f"{file}: {EXPECTED}, found {type(item).__name__}")
    texts = {"pretrained": "", "language": "en"} | {
        k: item[k] for k in ("dataset", "model", "pretrained", "task", "language") if k in item
    }
    for key in ("dataset", "model", "task"):
        if key not in texts:
            raise DataError(f"{file}: {EXPECTED}, found no '{key}'")
    for key, text in texts.items():
        if not isinstance(text, str) or not (text.strip() or key == "pretrained"):
            raise DataError(f"{file}: '{key}': expected a text, found {text!r:.60}")
    written = item.get("metrics")
    if not isinstance(written, dict):
        raise DataError(f"{file}: {EXPECTED}, found no table 'metrics'")
    for key, value in written.items():
        is_number = isinstance(value, int | float | None) and not isinstance(value, bool)
        if not is_number and not is_setting(key):
            raise DataError(f"{file}: metrics.{key}: expected a number, found {value!r:.60}")
        if is_number and isinstance(value, int) and abs(value) > sys.float_info.max:
            raise DataError(
                f"{file}: metrics.{key}: expected a number that a float can hold, found {value!r:.60}"
            )
    measured = {k: float(v) for k, v in written.items() if v is not None and not is_setting(k)}
    if not measured:
        raise DataError(f"{file}: 'metrics' holds no number")
    seed = written.get("seed") or 0
    if isinstance(seed, bool) or not isinstance(seed, int | float) or seed % 1 != 0:
        raise DataError(f"{file}: metrics.seed: expected a whole number, found {seed!r:.60}")
    return _build_result(texts, written, measured, int(seed))


def _build_result(
    texts: Mapping[str, str], written: Mapping[str, Any], measured: Mapping[str, float], seed: int
) -> ImportedResult:
    telling = {k: written[k] for k in TELLING if k in written and k != "seed"}
    model = {"model": texts["model"], "pretrained": texts["pretrained"]}
    return ImportedResult(
        protocol=ImportedPart(texts["task"], texts["task"], telling),
        model=ImportedPart("open_clip", " ".join(model.values()).strip(), model),
        dataset=ImportedPart(texts["dataset"], texts["dataset"].removeprefix("wds/")),
        metrics={_rename(k): v for k, v in measured.items()},
        directions={_rename(k): not LOWER_IS_BETTER.fullmatch(k) for k in measured},
        units={
            _rename(k): "fraction"
            for k, v in measured.items()
            if FRACTION.fullmatch(k) and (math.isnan(v) or 0 <= v <= 1)
        },
        axes={"language": texts["language"], **telling},
        seed=seed,
        settings={k: v for k, v in written.items() if is_setting(k) and k not in TELLING},
        notes={"metrics as written": dict(measured)},
    )


def is_setting(name: str) -> bool:
    """Return whether clip_benchmark's number of that name was set for an evaluation, not measured by it."""
    if FRACTION.fullmatch(name) or LOWER_IS_BETTER.fullmatch(name) or _rename(name) in RENAMED.values():
        return False
    return name in TELLING or SETTING.fullmatch(name.removeprefix("lp_")) is not None


def _rename(metric: str) -> str:
    plain = metric.removeprefix("lp_")
    return RENAMED.get(plain, plain if plain in RENAMED.values() else metric)
