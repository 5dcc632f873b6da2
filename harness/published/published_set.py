"""A set of published results, and how its file is read.

The file is CSV with a commented head, one `# key: value` per line (a line without a key goes on with the value
before it):

    # source: pytorch-image-models, results/*.csv (https://github.com/huggingface/pytorch-image-models)
    # commit: aa4b585
    # metric: top1
    # unit: percent
    # models: timm:{model}
    model,resolution,imagenet,imagenet?classes=imagenet-r,mce of imagenet-c
    resnet18.tv_in1k,224,69.752,88.200,

`source`, and `commit` or `date`, are required. `metric` is the numbers' (a column `METRIC of DATASET` holds
another one), `unit` is percent or fraction (of `metric`; none: neither; unsaid: fractions from 0 to 1), `better` higher
or lower; `fractions` names other metrics that are fractions from 0 to 1 (`R@5, R@10`). `models` says what a suite would
write for a model, `samples` how many samples a data set has (`5000` for all, or `imagenet = 50000, imagenetv2 = 10000`).
A column named by a fact (`FACTS`) states it for each model, a head line for all.
All other columns are data sets, as a suite writes them. An empty field is unknown. A file whose first column is
`dataset` has models as columns instead.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.errors import DataError, did_you_mean

FACTS = ("resolution", "interpolation", "crop", "templates", "precision", "standard", "parameters")
"""What may be stated of models: side of the input in pixels, interpolation, share of the resized side that is
kept, number of templates, precision, whether it is a standard model (for effective robustness), parameters."""

KEYS = (
    "source", "commit", "date", "metric", "unit", "better", "fractions", "models", "samples", "note", *FACTS
)  # fmt: skip
STANDARD = ("", "true", "yes", "1", "false", "no", "0")
"""How a file states whether a model is a standard one."""

OTHER_WORDS = {
    **{fact: fact for fact in FACTS},  # with capitals
    **dict.fromkeys(("img_size", "image_size", "input_size"), "resolution"),
    **dict.fromkeys(("crop_pct", "crop_ratio"), "crop"),
    **dict.fromkeys(("param_count", "params"), "parameters"),
}
"""Other words for facts: as names of data sets they would hide what makes numbers comparable."""

OTHER_METRIC = re.compile(r"(\S+) of (\S.*)")


@dataclass(frozen=True)
class PublishedSet:
    """Published numbers of models on data sets, and where they are from.

    `numbers` maps a metric and a data set, as a suite writes it, to one number per model (NaN: not
    published); `facts` maps a fact to one text per model ("" if unknown). `counts` holds the numbers of
    samples of data sets, where they are known. `fractions` are the metrics that are fractions.
    """

    name: str
    source: str
    models: tuple[str, ...]
    numbers: Mapping[tuple[str, str], Sequence[float]]
    facts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    fractions: frozenset[str] = frozenset()
    lower: frozenset[str] = frozenset()
    """Metrics of which lower values are better."""
    written: tuple[str, ...] = ()
    """What a suite would write for each model; empty if nothing."""
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


def parse_published_set(name: str, text: str, where: str) -> PublishedSet:
    """Return the set in a file's text. Raises DataError, starting with `where` and the line, if it is wrong."""
    lines = text.splitlines()
    head = _parse_head(lines, where)
    for key in ("source", "metric"):
        if not head.get(key):
            raise DataError(f"{where}: no line '# {key}: …' in its head")
    if not head.get("commit") and not head.get("date"):
        raise DataError(f"{where}: no line '# commit: …' or '# date: …' in its head")
    _check_word(head, "unit", ("percent", "fraction", "none"), where)
    _check_word(head, "better", ("higher", "lower"), where)
    rows = _read_rows(lines, where)
    models = [row[0] for _, row in rows[1:]]
    if repeated := [model for model, times in Counter(models).items() if times > 1]:
        raise DataError(f"{where}: the model '{repeated[0]}' occurs twice")
    facts = {fact: [head[fact]] * len(models) for fact in FACTS if fact in head}
    _check_standard(head.get("standard", ""), where)
    for text in facts.get("parameters", ())[:1]:
        _parse_number(text, "parameters", _find_line(lines, "parameters"), where)
    metric = head["metric"]
    percent = head.get("unit", "fraction") == "percent"
    unsaid = "unit" not in head
    also = frozenset(part.strip() for part in head.get("fractions", "").split(",") if part.strip())
    numbers: dict[tuple[str, str], Sequence[float]] = {}
    for place, column in enumerate(rows[0][1][1:], 1):
        fields = [(line, row[place]) for line, row in rows[1:]]
        if column in FACTS:
            for line, text in fields if column == "standard" else ():
                _check_standard(text, f"{where}: line {line}")
            for line, text in fields if column == "parameters" else ():
                _parse_number(text, column, line, where)
            facts[column] = [text for _, text in fields]
            continue
        if fact := OTHER_WORDS.get(column.lower()):
            raise DataError(f"{where}: line {rows[0][0]}: the column '{column}' must be called '{fact}'")
        other = OTHER_METRIC.fullmatch(column)
        measured = other[1] if other else metric
        named = (measured, other[2] if other else column)
        if named in numbers:
            raise DataError(f"{where}: line {rows[0][0]}: the column '{column}' occurs twice")
        scale = 100.0 if percent and measured == metric else 1.0
        values = [_parse_number(text, column, line, where) for line, text in fields]
        if (unsaid and measured == metric) or measured in also:
            _check_fractions(values, column, fields, where, named=measured in also)
        numbers[named] = [value / scale for value in values]
    measures = dict.fromkeys(measured for measured, _ in numbers)
    if absent := [name for name in sorted(also) if name not in measures]:
        raise DataError(
            f"{where}: fractions: no column '{absent[0]} of DATASET'{did_you_mean(absent[0], measures)}"
        )
    lower = head.get("better") == "lower"
    origin = ", ".join(f"{key} {head[key]}" for key in ("commit", "date") if head.get(key))
    return PublishedSet(
        name,
        f"{head['source']}, {origin}",
        tuple(models),
        numbers,
        facts,
        frozenset({metric} if head.get("unit", "fraction") != "none" else ()) | also,
        frozenset({metric} if lower else ()) | {m for m, _ in numbers if m.endswith("mce")},
        tuple(head["models"].replace("{model}", m) for m in models) if "models" in head else (),
        _parse_counts(head.get("samples", ""), {d for _, d in numbers}, where),
        head.get("note", ""),
    )


def _parse_counts(text: str, datasets: Iterable[str], where: str) -> dict[str, int]:
    """Return the number of samples of each data set that the head states."""
    if not text:
        return {}
    counts = {}
    known = list(datasets)
    for part in [f"{name} = {text}" for name in known] if text.isdecimal() else text.split(","):
        name, equals, count = part.rpartition("=")
        name, count = name.strip(), count.strip()
        if not equals or not count.isdecimal():
            raise DataError(f"{where}: samples: expected 'DATASET = N', found {part.strip()!r:.60}")
        if name not in known:
            raise DataError(f"{where}: samples: no column '{name}'{did_you_mean(name, known)}")
        counts[name] = int(count)
    return counts


def _parse_head(lines: Sequence[str], where: str) -> dict[str, str]:
    """Return the values of the commented lines by their keys."""
    head: dict[str, str] = {}
    last = ""
    began = False
    for number, line in enumerate(lines, 1):
        if not line.startswith("#"):
            began = began or bool(line.strip())
            continue
        if began:  # perhaps a model's row, whose name begins so
            raise DataError(
                f'{where}: line {number}: a comment below the header; a name with # goes in quotes "…"'
            )
        key, colon, value = line[1:].partition(":")
        key = key.strip()
        if colon and key in KEYS:
            if key in head:
                raise DataError(f"{where}: line {number}: '{key}' occurs twice")
            head[key], last = value.strip(), key
        elif colon and re.fullmatch(r"[a-z]+", key) and not last:
            raise DataError(f"{where}: line {number}: unknown key '{key}'{did_you_mean(key, KEYS)}")
        elif last:
            head[last] = f"{head[last]} {line[1:].strip()}".strip()
        else:
            raise DataError(f"{where}: line {number}: expected '# key: value', found {line[:60]!r}")
    return head


def _check_word(head: Mapping[str, str], key: str, known: Sequence[str], where: str) -> None:
    if key in head and head[key] not in known:
        raise DataError(f"{where}: {key}: expected {' or '.join(known)}, found {head[key]!r:.60}")


def _read_rows(lines: Sequence[str], where: str) -> list[tuple[int, list[str]]]:
    """Return the rows with the numbers of their lines, the header first; models are rows."""
    content = [(n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    # the fields of a spreadsheet or of a person may begin with blanks, quoted ones too
    rows = [
        (n, [text.strip() for text in next(csv.reader([line], skipinitialspace=True))]) for n, line in content
    ]
    if len(rows) < 2 or rows[0][1][0] not in ("model", "dataset"):
        found = rows[0][1][0] if rows else "nothing"
        raise DataError(
            f"{where}: expected a header that begins with 'model' or 'dataset', and rows, found {found!r:.60}"
        )
    for number, row in rows:
        if len(row) != len(rows[0][1]):
            raise DataError(f"{where}: line {number}: {len(row)} fields, the header has {len(rows[0][1])}")
        if not row[0]:
            raise DataError(f"{where}: line {number}: the first field is empty")
    if rows[0][1][0] == "model":
        return rows
    first = rows[0][0]
    return [(first, list(column)) for column in zip(*(row for _, row in rows), strict=True)]


def _parse_number(text: str, column: str, line: int, where: str) -> float:
    """Return a number; NaN for an empty field."""
    if not text:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: line {line}: {column}: expected a number, found {text!r:.60}")
    return value


def _check_standard(text: str, where: str) -> None:
    """Raise DataError unless the fact is true, false or unknown: another word would count as false."""
    if text.lower() not in STANDARD:
        raise DataError(f"{where}: standard: expected true or false, found {text!r:.60}")


def _find_line(lines: Sequence[str], key: str) -> int:
    """Return the number of a key's line in the head."""
    return next(n for n, line in enumerate(lines, 1) if line[1:].partition(":")[0].strip() == key)


def _check_fractions(
    values: Iterable[float], column: str, fields: Iterable[tuple[int, str]], where: str, named: bool
) -> None:
    """Raise DataError for a number that is no fraction, where the head says so (`named`) or says no other unit."""
    for value, (line, text) in zip(values, fields, strict=True):
        if not 0 <= value <= 1 and not math.isnan(value):
            cure = (
                "the head's line '# fractions' names its metric"
                if named
                else "the head needs a line '# unit: percent', or '# unit: none' for another scale"
            )
            raise DataError(f"{where}: line {line}: {column}: {text} is no fraction from 0 to 1: {cure}")
