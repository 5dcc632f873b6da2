"""What columns of a plain table mean, by their names: model, data set, metric and its direction, percent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from harness_importers.numbers import is_higher_better

NAMES = {
    "model": ("model", "model name", "network", "architecture", "checkpoint"),
    "dataset": ("dataset", "data set", "data", "benchmark", "test set"),
    "protocol": ("protocol", "task"),
    "seed": ("seed",),
    "metric": ("metric", "metric name"),
    "value": ("value", "score", "metric value"),
}
"""By what names columns are found, without regard to case, `_` and `-`."""

OWN_METRICS = {
    re.compile(r"top ?1( acc(uracy)?)?|acc ?@? ?1|accuracy ?@? ?1", re.IGNORECASE): "top1",
    re.compile(r"top ?5( acc(uracy)?)?|acc ?@? ?5|accuracy ?@? ?5", re.IGNORECASE): "top5",
}
"""Names of metrics that this harness has by another."""

PERCENT = re.compile(r"\s*[(\[]?\s*(%|in %|percent)\s*[)\]]?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Measured:
    """A column of numbers: the metric, its direction, whether it is in percent, and the data set if it is of one.

    `guessed` says that only numbers above 1 told the percent. A column of several metrics has no `metric` of its own,
    and `in_percent` names those in percent.
    """

    column: str
    metric: str
    higher_is_better: bool
    percent: bool
    dataset: str | None = None
    guessed: bool = False
    in_percent: frozenset[str] = frozenset()


def find_column(header: Sequence[str], role: str) -> str | None:
    """Return the column of a role by its name, None if there is none; the role's usual name goes before others."""
    plain = {re.sub(r"[_\s-]+", " ", name).strip().lower(): name for name in reversed(header) if name}
    return next((plain[name] for name in NAMES[role] if name in plain), None)


def name_metric(column: str) -> str:
    """Return the metric that a column's name means: this harness's name of it, else as it is without its `%`."""
    name = PERCENT.sub("", column).strip()
    plain = re.sub(r"[_\s-]+", " ", name).strip()
    return next((own for known, own in OWN_METRICS.items() if known.fullmatch(plain)), name)


def find_direction(column: str) -> bool | None:
    """Return whether larger values of a column's metric are better; None if its name doesn't tell."""
    return is_higher_better(name_metric(column))
