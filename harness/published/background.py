"""Published results beside a suite's own: which of them belong to which of its data sets, and where they are from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.published.finding import list_published_sets, read_known_set
from harness.published.published_set import FACTS, PublishedSet

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

Numbers = NDArray[np.float64]

TAG = "tag.dataset.published"
"""A data set's tag that says what published sets call it besides what the suite writes for it."""

SETTINGS = {
    "resolution": ("resolution", "img_size", "image_size"),
    "interpolation": ("interpolation",),
    "crop": ("crop", "crop_pct"),
    "templates": ("templates",),
    "precision": ("precision",),
    "standard": ("standard",),
    "parameters": ("parameters", "param_count"),  # the latter in millions, as timm has it
}
"""What importers call the facts of a model among their settings."""


@dataclass
class Background:
    """Published numbers by the labels of a suite's data sets: one per model of all sets, NaN where there is none.

    Labels of models end in the set's name in brackets. `facts` maps a fact to one text per model, "" if unknown.
    """

    labels: list[str] = field(default_factory=list)
    sets: list[str] = field(default_factory=list)
    """The set of each model."""
    written: list[str] = field(default_factory=list)
    """What a suite would write for each model; "" if unknown."""
    numbers: dict[tuple[str, str], Numbers] = field(default_factory=dict)
    """By metric and data set."""
    facts: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[tuple[str, str], int] = field(default_factory=dict)
    """The number of samples by set and data set, where it is known."""
    sources: dict[str, str] = field(default_factory=dict)
    """The source of each set."""
    problems: list[str] = field(default_factory=list)
    """Why sets could not be read."""

    @property
    def count(self) -> int:
        """The number of models."""
        return len(self.labels)

    def average(self, metric: str, datasets: Sequence[str]) -> Numbers:
        """Return each model's mean over these data sets; NaN if one of them is missing."""
        columns = [self.numbers.get((metric, name)) for name in datasets]
        if not columns or any(column is None for column in columns):
            return np.full(self.count, np.nan)
        return np.asarray(np.mean([c for c in columns if c is not None], axis=0), dtype=np.float64)


def gather_background(
    names: Sequence[str], data: pd.DataFrame, store: Store | None, suite: str = ""
) -> Background:
    """Return what the named sets publish on the data sets of a suite's frame.

    A name is a suite of the store (such as one that was imported), else an installed set, else a file that
    ends in .csv. A data set is meant by what the suite writes for it (its label, if that is all), and by its tag
    `published`.
    A suite is no background of its own. A set that can't be read (any more) is left out, with the reason in
    `problems`.
    """
    background = Background()
    wanted = _name_datasets(data)
    seen: list[PublishedSet] = []
    for name in dict.fromkeys(names):
        try:
            found = _find_set(name, store, suite)
        except HarnessError as error:
            background.problems.append(f"without the published results of '{name}': {error}")
            continue
        if found is not None and not any(found is other for other in seen):  # a file may have two names
            seen.append(found)
            _add_set(background, found, wanted, data)
    return background


def _find_set(name: str, store: Store | None, suite: str) -> PublishedSet | None:
    if store is not None and name != suite and name in store.suites():
        return _read_suite(name, store)
    if name == suite and name not in list_published_sets():
        return None
    return read_known_set(name, store)


def _read_suite(name: str, store: Store) -> PublishedSet:
    """Return the ok records of a suite as a set: each model's mean over seeds, without ambiguous places."""
    from harness.leaderboard.frame import suite_frame

    data = suite_frame(store, name)
    data = data[data["status"] == "ok"]
    models = list(dict.fromkeys(map(str, data["at.model"])))
    place = {model: n for n, model in enumerate(models)}
    seeds = data["at.seed"].to_list() if "at.seed" in data else [0] * len(data)
    rows = [place[str(m)] for m in data["at.model"]]
    apart = [data[f"at.{c}"].map(str) for c in ("experiment", "protocol", "method") if f"at.{c}" in data]
    ways = list(zip(*apart, strict=True))
    datasets = [str(d) for d in data["at.dataset"]]
    numbers: dict[tuple[str, str], list[float]] = {}
    left_out = 0
    metrics = [c.removeprefix("metric.") for c in data.columns if c.startswith("metric.")]
    for metric in metrics:
        found: dict[tuple[str, int], dict[Any, list[float]]] = {}
        several_ways: dict[tuple[str, int], set[tuple[str, ...]]] = {}
        values = data[f"metric.{metric}"].to_numpy(dtype=float, na_value=np.nan).tolist()
        for dataset, row, seed, way, value in zip(datasets, rows, seeds, ways, values, strict=True):
            if value == value:
                several_ways.setdefault((dataset, row), set()).add(way)
                found.setdefault((dataset, row), {}).setdefault(seed, []).append(value)
        for (dataset, row), by_seed in found.items():
            ambiguous = (
                len(several_ways[dataset, row]) > 1 and len({v for s in by_seed.values() for v in s}) > 1
            )
            if ambiguous or any(len(set(several)) > 1 for several in by_seed.values()):
                left_out += 1  # of several evaluations, such as methods or languages, none is the number
                continue
            column = numbers.setdefault((metric, dataset), [np.nan] * len(models))
            column[row] = float(np.mean([several[0] for several in by_seed.values()]))
    first = {row: n for n, row in reversed(list(enumerate(rows)))}
    counts: dict[str, int] = {}
    for dataset, count in zip(datasets, data.get("count", ())):
        if count == count and count is not None:
            counts.setdefault(dataset, int(count))
    note = f"{left_out} numbers with several values at one place are left out" if left_out else ""
    return PublishedSet(
        name,
        f"records of the suite '{name}' in this store",
        tuple(models),
        numbers,
        _read_facts(data, [first[n] for n in range(len(models))]),
        frozenset(m for m in metrics if f"unit.{m}" in data and (data[f"unit.{m}"] == "fraction").any()),
        frozenset(m for m in metrics if f"better.{m}" in data and (data[f"better.{m}"] == 0).any()),
        tuple(models),
        counts,
        note,
    )


def _read_facts(data: pd.DataFrame, rows: Sequence[int]) -> dict[str, list[str]]:
    """Return the facts that importers keep as tags, at one record of each model."""
    facts = {}
    for fact in FACTS:
        for name in SETTINGS[fact]:
            column = next((c for c in (f"tag.settings.{name}", f"tag.model.{name}") if c in data), None)
            if column is not None:
                values = data[column].to_list()
                scale = 1e6 if name == "param_count" else None
                facts[fact] = [_to_text(values[row], scale) for row in rows]
                if fact == "parameters":  # a tag is free text, such as "25.6M"
                    facts[fact] = [text if _is_number(text) else "" for text in facts[fact]]
                break
    return facts


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _to_text(value: Any, scale: float | None = None) -> str:
    if value is None or value != value:
        return ""
    if scale is not None and isinstance(value, int | float):
        value = float(value) * scale
    return f"{value:g}" if isinstance(value, float) else str(value)


def _name_datasets(data: pd.DataFrame) -> dict[str, list[str]]:
    """Return for each name by which a data set may be meant, normalised, the labels of those that it means."""
    labels = list(dict.fromkeys(map(str, data["at.dataset"]))) if "at.dataset" in data else []
    written: Mapping[str, Sequence[str]] = (data.attrs.get("references") or {}).get("dataset") or {}
    tagged = dict(zip(map(str, data["at.dataset"]), data[TAG], strict=True)) if TAG in data else {}
    names: dict[str, list[str]] = {}
    for label in labels:
        given = tagged.get(label)
        tags = given if isinstance(given, list) else [given] if isinstance(given, str) else []
        # a label says less than what was written: "ImageNet" may be a part of it
        own = [*tags, *(written.get(label) or [label])]
        for name in dict.fromkeys(map(normalise_dataset, own)):
            names.setdefault(name, []).append(label)
    return names


def normalise_dataset(text: str) -> str:
    """Return the name of a data set without what does not tell data sets apart: case, signs, the order of options.

    >>> normalise_dataset("ImageNet-V2"), normalise_dataset("x/imagenet-c?severity=1&corruption=fog")
    ('imagenetv2', 'imagenetc?corruption=fog&severity=1')
    """
    head, _, query = text.partition("?")
    name = re.sub(r"[^a-z0-9+:]+", "", head.rpartition("/")[2].lower() if ":" not in head else head.lower())
    options = "&".join(sorted(filter(None, query.split("&"))))
    return f"{name}?{options}" if options else name


def _add_set(
    background: Background, found: PublishedSet, wanted: Mapping[str, Sequence[str]], data: pd.DataFrame
) -> None:
    """Add a set's models, and their numbers on the suite's data sets."""
    before, count = background.count, len(found.models)
    # files in several folders may have one name
    also = sum(re.sub(r" \(\d+\)$", "", other) == found.name for other in background.sources)
    set_name = f"{found.name} ({also + 1})" if also else found.name
    background.labels += [f"{model} [{set_name}]" for model in found.models]
    background.sets += [set_name] * count
    background.written += found.written or [""] * count
    background.sources[set_name] = found.source + (f" ({found.note})" if found.note else "")
    for key, column in background.numbers.items():
        background.numbers[key] = np.append(column, np.full(count, np.nan))
    meant: dict[tuple[str, str], list[str]] = {}
    for metric, dataset in found.numbers:
        labels = wanted.get(normalise_dataset(dataset), ())
        if (metric in found.fractions) != _is_fraction(data, metric, metric in found.fractions):
            if labels:
                where = "there" if metric in found.fractions else "here"
                background.problems.append(
                    f"without '{metric}' of [{set_name}]: it is a fraction only {where}"
                )
            continue  # another scale under the same name
        for label in labels:
            meant.setdefault((metric, label), []).append(dataset)
    for (metric, label), datasets in meant.items():
        columns = [np.asarray(found.numbers[metric, dataset], dtype=np.float64) for dataset in datasets]
        whole = background.numbers.setdefault((metric, label), np.full(before + count, np.nan))
        whole[before:], differ = _unite(columns)
        if differ:
            names = ", ".join(f"'{dataset}'" for dataset in datasets)
            background.problems.append(
                f"without '{metric}' of [{set_name}] on {label} for {differ} of {count} models: "
                f"{names} all mean it, and their numbers differ"
            )
        counts = {found.counts[dataset] for dataset in datasets if dataset in found.counts}
        if len(counts) == 1:
            background.counts[set_name, label] = counts.pop()
    for fact in FACTS:
        texts = found.facts.get(fact, [""] * count)
        background.facts[fact] = [*background.facts.get(fact, [""] * before), *texts]


def _unite(columns: Sequence[Numbers]) -> tuple[Numbers, int]:
    """Return the known number of each place among columns, NaN where they differ, and the count of such places."""
    low, high = np.fmin.reduce(columns), np.fmax.reduce(columns)
    differ = low < high
    return np.where(differ, np.nan, low), int(differ.sum())


def _is_fraction(data: pd.DataFrame, metric: str, default: bool) -> bool:
    """Return whether a suite's metric is a fraction, if its records say."""
    column = f"unit.{metric}"
    if column not in data:
        return default if f"metric.{metric}" not in data else False
    return bool((data[column] == "fraction").any())
