"""From rows to points: finding columns, averaging over seeds, and intervals of the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import HarnessError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from harness import Store

PARTS = ("", "tag.", "tag.dataset.", "tag.model.", "tag.method.")


@dataclass(frozen=True)
class Point:
    """The mean of one group of records with its interval, if there is one; `key` names the group."""

    key: tuple[Any, ...]
    value: float
    low: float | None
    high: float | None
    ids: tuple[str, ...]
    by_seed: tuple[tuple[Any, float], ...]
    """The mean of each seed."""

    @property
    def seeds(self) -> int:
        """The number of seeds."""
        return len(self.by_seed)


def find_column(data: pd.DataFrame, name: str) -> str:
    """Return the column of a coordinate or tag: `severity` also finds `tag.dataset.severity`.

    Raises HarnessError with the nearest name if there is none.
    """
    for prefix in PARTS:
        if f"{prefix}{name}" in data.columns:
            return f"{prefix}{name}"
    raise HarnessError(f"the records have no '{name}'{did_you_mean(name, map(str, data.columns))}")


def find_metric(data: pd.DataFrame, name: str | None) -> str:
    """Return the named metric, or the first with values; raise HarnessError with the nearest name if absent."""
    known: list[str] = list(data.attrs.get("metrics", []))
    if name is None:
        for metric in known:
            if data[metric].notna().any():
                return metric
        raise HarnessError("the records have no metric yet")
    if name not in data.columns:
        raise HarnessError(f"the records have no metric '{name}'{did_you_mean(name, known)}")
    return name


def match_metrics(data: pd.DataFrame, patterns: Sequence[str]) -> list[str]:
    """Return the metrics of names or patterns with `*` and `?`, in that order.

    Raises HarnessError with the nearest name if one matches nothing.
    """
    known: list[str] = list(data.attrs.get("metrics", []))
    found: dict[str, None] = {}
    for pattern in patterns:
        own = [name for name in known if fnmatchcase(name, pattern)]
        found |= dict.fromkeys(own or [find_metric(data, pattern)])
    return list(found)


def select_measured(data: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the ok rows that have the metric; raise HarnessError if there are none."""
    kept = data[(data["status"] == "ok") & data[metric].notna()]
    if kept.empty:
        raise HarnessError(f"no record that is ok has '{metric}'")
    return kept


def find_series_columns(data: pd.DataFrame, given: Sequence[str] | None) -> list[str]:
    """Return the columns that distinguish series: those given, else model and method if they vary."""
    if given is not None:
        return [find_column(data, name) for name in given]
    names = [n for n in ("model", "method") if n in data.columns and data[n].nunique() > 1]
    return names or ["model"]


def format_key(key: Sequence[Any]) -> str:
    """Return a group's key as text."""
    return " · ".join(str(k) for k in key if not _is_missing(k) and str(k)) or "(none)"


def group_points(
    data: pd.DataFrame, names: Sequence[str], metric: str, store: Store | None, level: float = 0.95
) -> list[Point]:
    """Return one point per group of rows with equal `names`, in the order of their first rows.

    The mean is taken within each seed, then over seeds. The interval is Student's t over two or
    more seeds, else over the samples or resampled sets of the only record, else absent.
    """
    groups: dict[tuple[Any, ...], list[int]] = {}
    columns = [data[n].tolist() for n in names]
    for row, key in enumerate(zip(*columns, strict=True)) if columns else enumerate([()] * len(data)):
        groups.setdefault(tuple(None if _is_missing(k) else k for k in key), []).append(row)
    ids, values = data["id"].tolist(), data[metric].to_numpy(dtype=float)
    seeds = data["seed"].tolist() if "seed" in data.columns else [0] * len(data)
    found = []
    for key, rows in groups.items():
        by_seed: dict[Any, list[float]] = {}
        for row in rows:
            by_seed.setdefault(seeds[row], []).append(float(values[row]))
        pairs = tuple((seed, float(np.mean(v))) for seed, v in by_seed.items())
        means = [mean for _, mean in pairs]
        members = tuple(ids[row] for row in rows)
        low, high = _interval(means, members, metric, store, level)
        found.append(Point(key, float(np.mean(means)), low, high, members, pairs))
    return found


def _interval(
    means: list[float], ids: tuple[str, ...], metric: str, store: Store | None, level: float
) -> tuple[float | None, float | None]:
    from harness.statistics import StatisticsError, resampled_interval, summarise_seeds, t_interval

    if not np.isfinite(means).all():
        return None, None
    interval = None
    if len(means) > 1:
        interval = t_interval(means, level)
    elif len(ids) == 1 and store is not None:
        samples = store.samples(ids[0])
        if samples is not None and metric in samples.columns and len(samples):
            try:
                interval = summarise_seeds(means, samples[metric].to_numpy(dtype=float), level).over_samples
            except (TypeError, ValueError, StatisticsError):
                return None, None  # texts, lists or missing numbers have no mean
        elif (
            samples is not None and (draws := store.resamples(ids[0])) is not None and metric in draws.columns
        ):
            values = draws[metric].to_numpy(dtype=float)
            interval = resampled_interval(means[0], values, len(samples), level)
    return (interval.low, interval.high) if interval else (None, None)


def describe_intervals(found: Sequence[Point], level: float = 0.95) -> str:
    """Describe the intervals of these points for the caption."""
    if not any(p.low is not None for p in found):
        return "One run each, without intervals."
    several = {p.seeds > 1 for p in found if p.low is not None}
    source = {
        frozenset({True}): "seeds",
        frozenset({False}): "samples",
    }.get(frozenset(several), "seeds, or over samples if there is only one seed")
    return f"Bars and bands: {level:.0%} intervals over {source}."


def _is_missing(value: Any) -> bool:
    return value is None or value != value
