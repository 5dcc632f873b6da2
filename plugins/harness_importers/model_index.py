"""Results in model cards of the Hugging Face Hub: the `model-index` in the front matter of a README.md.

https://huggingface.co/docs/hub/model-cards#evaluation-results
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar

from harness import DataError, ImportedPart, ImportedResult, UnreadRow
from harness_importers.csv_rows import PEEKED, decode
from harness_importers.numbers import BOUNDED, is_higher_better, parse_number, plain_texts, to_fraction

LINE = "\0line"
"""The key under which a mapping keeps the line where it begins."""

DEPTH = re.compile(r"(top[- ]?|@ ?)\d+", re.IGNORECASE)
"""What tells a metric from others of its type: a top-5 accuracy is of the type `accuracy`, too."""

LONGEST = 4_000_000
"""Front matters beyond this many characters are no model cards."""


class ModelIndex:
    """Read the results that a model card of the Hugging Face Hub lists in its `model-index`."""

    suffix: ClassVar[str] = ".md"
    example_name: ClassVar[str] = "README.md"
    example: ClassVar[str] = """---
license: apache-2.0
model-index:
- name: my-net
  results:
  - task: {type: image-classification}
    dataset: {name: CIFAR-10, type: cifar10, split: test}
    metrics:
    - {type: accuracy, value: 0.9310}
    source: {url: "https://example.org/results", name: Results}
---
# my-net
"""

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether the file begins with a front matter that has a `model-index`."""
        try:
            text = decode(file, most=PEEKED)
        except DataError:
            return False
        return text.lstrip().startswith("---") and "\nmodel-index:" in text

    def read(self, file: Path) -> Iterator[ImportedResult | UnreadRow]:
        """Yield a result per model, data set, split and task. Raises DataError, starting with the path."""
        index = _read_front_matter(file).get("model-index")
        if not isinstance(index, list) or not index:
            raise DataError(f"{file}: expected a model card with a list 'model-index' in its front matter")
        return _read_index(index)


def _read_front_matter(file: Path) -> Mapping[str, Any]:
    """Return a card's front matter, all numbers as texts, each mapping with its line. Raises DataError."""
    import yaml

    class Lines(yaml.BaseLoader):
        """Makes texts, lists and mappings, and nothing else."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            found = super().construct_mapping(node, deep=True)
            return {**found, LINE: node.start_mark.line + first}

    text = decode(file)
    lines = text.lstrip().splitlines()
    first = text[: len(text) - len(text.lstrip())].count("\n") + 2
    end = next((n for n, line in enumerate(lines[1:], start=1) if line.rstrip() in ("---", "...")), None)
    if not lines or lines[0].rstrip() != "---" or end is None:
        raise DataError(
            f"{file}: expected a model card, which begins with a front matter between lines of '---'"
        )
    matter = "\n".join(lines[1:end])
    if len(matter) > LONGEST:
        raise DataError(f"{file}: a front matter of {len(matter)} characters, expected at most {LONGEST}")
    try:
        content = yaml.load(matter, Loader=Lines)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f"line {mark.line + first}: "
        why = getattr(error, "problem", None) or str(error) or type(error).__name__
        raise DataError(f"{file}: {where}not valid YAML: {' '.join(str(why).split())[:200]}") from None
    return content if isinstance(content, dict) else {}


def _read_index(index: list[Any]) -> Iterator[ImportedResult | UnreadRow]:
    for entry in index:
        results = entry.get("results") if isinstance(entry, dict) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name.strip() or not isinstance(results, list):
            line = entry.get(LINE) if isinstance(entry, dict) else None
            yield UnreadRow("model-index: expected a model's 'name' and a list 'results'", line)
            continue
        merged: dict[tuple[str, ...], list[tuple[Mapping[str, Any], Mapping[str, Any]]]] = {}
        for result in results:
            problem, place = _find_place(result)
            if problem:
                yield UnreadRow(f"{name}: {problem}", result.get(LINE) if isinstance(result, dict) else None)
                continue
            merged.setdefault(place, []).extend((result, metric) for metric in result["metrics"])
        percent = _find_percent_sources([pair for metrics in merged.values() for pair in metrics])
        for place, metrics in merged.items():
            yield from _build_result(name, place, metrics, percent)


def _find_place(result: Any) -> tuple[str, tuple[str, ...]]:
    """Return what a result lacks, or its task, data set, configuration, split and revision."""
    task, dataset = (result.get(k) if isinstance(result, dict) else None for k in ("task", "dataset"))
    if not isinstance(task, dict) or not isinstance(task.get("type"), str):
        return "expected a task with a 'type'", ()
    label = (dataset.get("name") or dataset.get("type")) if isinstance(dataset, dict) else None
    if not isinstance(dataset, dict) or not isinstance(label, str) or not label.strip():
        return "expected a dataset with a 'name'", ()
    if not isinstance(result.get("metrics"), list):
        return "expected a list 'metrics'", ()
    more = (dataset.get(key) for key in ("type", "config", "split", "revision"))
    return "", (task["type"], label, *(value if isinstance(value, str) else "" for value in more))


def _find_source(result: Mapping[str, Any]) -> str:
    """Return the address that a result is from; empty if it doesn't tell."""
    source = result.get("source")
    url = source.get("url") if isinstance(source, dict) else None
    return url if isinstance(url, str) else ""


def _find_percent_sources(found: list[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> set[str]:
    """Return the sources whose numbers are in percent, since one of a metric between 0 and 1 is above 1."""
    sources = set()
    for result, metric in found:
        name = metric.get("type") if isinstance(metric, dict) else None
        if not isinstance(name, str) or not BOUNDED.fullmatch(name):
            continue
        try:
            number, marked = _read_value(metric.get("value"))
        except ValueError:
            continue
        if number is not None and number.is_finite() and number > 1 and not marked:
            sources.add(_find_source(result))
    return sources


def _build_result(
    model: str,
    place: tuple[str, ...],
    found: list[tuple[Mapping[str, Any], Mapping[str, Any]]],
    percent: Set[str],
) -> Iterator[ImportedResult | UnreadRow]:
    """Yield the result of all metrics of one place, and a line for each metric that can't be read.

    Sources in `percent` have numbers above 1 among metrics between 0 and 1.
    """
    task, label, kind, config, split, revision = place
    numbers: dict[str, Decimal] = {}
    metrics: dict[str, float] = {}
    directions: dict[str, bool] = {}
    fractions, remarks, notes = set(), [], dict[str, Any]()
    types = [metric.get("type") for _, metric in found if isinstance(metric, dict)]
    often = Counter(kind for kind in types if isinstance(kind, str))
    for result, metric in found:
        line = metric.get(LINE) if isinstance(metric, dict) else None
        name = metric.get("type") if isinstance(metric, dict) else None
        if not isinstance(name, str) or not name.strip():
            yield UnreadRow(f"{model}: {label}: a metric without a 'type'", line)
            continue
        try:
            number, marked = _read_value(metric.get("value"))
            in_percent = marked or _is_percent(name, number, _find_source(result), percent)
        except ValueError as error:
            yield UnreadRow(f"{model}: {label}: {name}: {error}", line)
            continue
        shown, key = metric.get("name"), name
        if isinstance(shown, str) and shown.strip():
            deeper = DEPTH.search(shown) is not None and DEPTH.search(name) is None
            key = shown if deeper or often[name] > 1 else name
        if number is None or (numbers.get(key) == number):
            continue
        if key in numbers:
            yield UnreadRow(f"{model}: {label}: {key}: a second value, {number}, beside {numbers[key]}", line)
            continue
        better = is_higher_better(name)
        if better is None:
            yield UnreadRow(f"{model}: {label}: {name}: unknown whether a larger value is better", line)
            continue
        numbers[key], directions[key] = number, better
        metrics[key] = to_fraction(number) if in_percent else float(number)
        fractions |= {key} if in_percent or BOUNDED.fullmatch(name) else set()
        remarks += [f"{key}: {number} was read as a percentage"] if in_percent else []
        if "±" in metric["value"]:
            notes[f"{key}: deviation"] = metric["value"].partition("±")[2].strip()
        if metric.get("verified") == "true":
            notes.setdefault("verified by the Hub", []).append(key)
    if not numbers:
        return
    sources = [source for source in dict.fromkeys(_find_source(result) for result, _ in found) if source]
    notes |= {"sources": sources} if len(sources) > 1 else {}
    axes = {k: v for k, v in (("config", config), ("split", split), ("revision", revision)) if v}
    yield ImportedResult(
        protocol=ImportedPart(task, task),
        model=ImportedPart("huggingface", model, {"name": model}),
        dataset=ImportedPart(kind or label, label, axes),
        metrics=metrics,
        directions=directions,
        units=dict.fromkeys(sorted(fractions), "fraction"),
        axes=axes,
        notes=notes,
        written=plain_texts(numbers),
        line=found[0][0].get(LINE),
        origin={"source": sources[0]} if sources else {},
        remarks=remarks,
    )


def _read_value(value: Any) -> tuple[Decimal | None, bool]:
    """Return a metric's number, and whether it has a `%`. Raises ValueError for what is no number."""
    if value is None:
        raise ValueError("no 'value'")
    if not isinstance(value, str):
        raise ValueError(f"expected a number, found {value!r:.60}")
    text = value.partition("±")[0].strip()
    return parse_number(text.removesuffix("%")), text.endswith("%")


def _is_percent(name: str, number: Decimal | None, source: str, percent: Set[str]) -> bool:
    """Return whether a metric's number without `%` is in percent: in its source's numbers some are above 1.

    Raises ValueError for a number that can be neither, and for one up to 1 beside larger ones of no stated source.
    """
    if number is None or not number.is_finite() or not BOUNDED.fullmatch(name):
        return False
    if not 0 <= number <= 100:
        raise ValueError(f"expected a fraction or a percentage, found {str(number)!r:.60}")
    if source in percent and not source and 0 < number <= 1:
        raise ValueError(
            f"{number}, a fraction or a percentage? others of the card are above 1: write a % after it"
        )
    return source in percent
