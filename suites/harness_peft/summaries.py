"""Summaries of fine-tuning records: PPT score, Pareto front, VTAB's two means, shift before and after.

Each takes a table of records (one row per successful cell with `model`, `method`, `dataset`, `seed`,
metrics, costs and tags) and returns a long table with the columns `OUTPUT`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

OUTPUT = ("model", "method", "dataset", "metric", "value", "low", "high", "count", "note", "unit")
GROUP = "tag.dataset.group"
TAG = "tag.dataset.metric"


def ppt(accuracy: float, trainable: float) -> float:
    """Return the PPT score acc·exp(−log10(P/10⁷ + 1)) for P trainable parameters without the head.

    The performance-parameter trade-off of Xin et al. 2024, V-PETL Bench. `accuracy` is a fraction.
    """
    import math

    return accuracy * math.exp(-math.log10(trainable / 1e7 + 1))


class PptScore:
    """PPT score of each model, method and data set: quality discounted by trained parameters.

    Args:
        metric: accuracy or another quality metric, as a fraction.
    """

    unit = "fraction"
    higher_is_better = True

    def __init__(self, metric: str = "top1") -> None:
        self.metric = metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the metric `PPT`: the mean over seeds with its t-interval."""
        _require_columns(records, [self.metric, "trainable_without_head"])
        rows = []
        for key, part in _group_cells(records, ["model", "method", "dataset"]):
            scores = [ppt(a, p) for a, p in zip(part[self.metric], part["trainable_without_head"])]
            rows.append(_make_row(key, "PPT", scores))
        return _build_frame(rows)


class ParetoFront:
    """Quality, cost, and whether no other method of the same model and data set beats both.

    Args:
        cost: a column in which less is better: `trainable_parameters`, `seconds_per_step`,
            `training_seconds`, `adapter_bytes`.
        metric: the quality, a metric in which more is better.
    """

    def __init__(self, cost: str = "trainable_parameters", metric: str = "top1") -> None:
        self.cost, self.metric = cost, metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the metric, the cost and `on the front` (1 or 0) of each method.

        Raises OptionError if no record has the metric or a number for the cost.
        """
        from harness_plots.pareto import find_pareto_front

        _require_columns(records, [self.metric, self.cost])
        if records[self.cost].isna().all():  # else all methods would seem free
            raise OptionError(f"summary: no record has a number for '{self.cost}': choose another cost")
        rows = []
        for _, group in _group_cells(records, ["model", "dataset"]):
            cells = list(_group_cells(group, ["model", "method", "dataset"]))
            costs = [float(part[self.cost].mean()) for _, part in cells]
            # NaN, such as seconds_per_step of a method without training, counts as free
            costs = [0.0 if c != c else c for c in costs]
            best = set(find_pareto_front(costs, [float(part[self.metric].mean()) for _, part in cells]))
            for position, ((key, part), cost) in enumerate(zip(cells, costs)):
                rows.append(_make_row(key, self.metric, part[self.metric], unit="fraction"))
                rows.append(_make_row(key, self.cost, [cost], unit="cost"))
                rows.append(_make_row(key, "on the front", [float(position in best)], unit="count"))
        return _build_frame(rows)


class VtabMeans:
    """Both averages of VTAB-1k found in papers, side by side: over data sets, and over group means.

    A data set's group is its tag `group` (natural, specialized, structured). The two averages of the
    same cells differ by points, so never compare one with the other. A method that lacks a data set
    has no mean.

    Args:
        metric: the metric to average.
    """

    unit = "fraction"
    higher_is_better = True

    def __init__(self, metric: str = "top1") -> None:
        self.metric = metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of each group's mean, `mean of N data sets` and `mean of K groups`."""
        import numpy as np

        _require_columns(records, [self.metric, GROUP])
        tagged = records[records[GROUP].notna()]
        everything = list(dict.fromkeys(tagged["dataset"]))
        groups = {g: list(dict.fromkeys(p["dataset"])) for g, p in tagged.groupby(GROUP, sort=False)}
        over_sets, over_groups = f"mean of {len(everything)} data sets", f"mean of {len(groups)} groups"
        rows = []
        for (model, method), values in _mean_over_seeds(tagged, self.metric).items():
            missing = [d for d in everything if d not in values]
            note = f"lacks {', '.join(missing[:5])}" + (", …" if len(missing) > 5 else "") if missing else ""
            means = {
                g: float(np.nanmean([values[n] for n in names]))
                if all(n in values for n in names)
                else np.nan
                for g, names in groups.items()
            }
            means[over_sets] = np.nan if missing else float(np.nanmean([values[d] for d in everything]))
            means[over_groups] = np.nan if missing else float(np.mean([means[g] for g in groups]))
            for name, value in means.items():
                rows.append(_make_row((model, method, name), self.metric, [value], note, len(values)))
        return _build_frame(rows)


class OwnMetric:
    """Each data set scored by its papers' metric, side by side, and the mean over data sets.

    A data set's metric is its tag `metric`, by default `top1`; every metric must be a fraction in which
    more is better. A model that lacks a data set which another one has gets no mean.
    """

    unit = "fraction"
    higher_is_better = True

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the metric `score`, for each data set and `mean of N data sets`."""
        import numpy as np

        own = records[TAG] if TAG in records.columns else None
        names = ["top1"] * len(records) if own is None else own.fillna("top1").tolist()
        _require_columns(records, list(dict.fromkeys(names)))
        numbers = {name: records[name].tolist() for name in dict.fromkeys(names)}
        scored = records.assign(score=[numbers[name][n] for n, name in enumerate(names)])
        everything = list(dict.fromkeys(scored["dataset"]))
        each: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for key, cells in _group_cells(scored, ["model", "method", "dataset"]):
            each.setdefault(key[:2], []).append(_make_row(key, "score", cells["score"]))
        rows = []
        for (model, method), values in _mean_over_seeds(scored, "score").items():
            rows += each[model, method]
            missing = [d for d in everything if d not in values]
            note = (
                f"lacks {', '.join(map(str, missing[:5]))}" + (", …" if len(missing) > 5 else "")
                if missing
                else ""
            )
            mean = np.nan if missing else float(np.mean(list(values.values())))
            key = (model, method, f"mean of {len(everything)} data sets")
            rows.append(_make_row(key, "score", [mean], note, len(values)))
        return _build_frame(rows)


class ShiftChange:
    """Accuracy before and after adapting, in distribution and under shift, and the difference.

    The protocol's shifts are in the records as `METRIC.NAME`. Differences are paired by seed.

    Args:
        before: the label of the method that trains nothing.
        metric: the metric to compare, on the test split and on each shift.
    """

    unit = "fraction"
    higher_is_better = True

    def __init__(self, before: str, metric: str = "top1") -> None:
        self.before, self.metric = before, metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows `before`, `after` and `change` for the test split and each shift."""
        _require_columns(records, [self.metric])
        if self.before not in set(records["method"]):
            raise OptionError(
                f"shift-change: no method '{self.before}'{did_you_mean(self.before, map(str, set(records['method'])))}"
            )
        prefix = f"{self.metric}."
        columns = [self.metric, *(c for c in records.columns if c.startswith(prefix))]
        rows = []
        for (model, dataset), group in _group_cells(records, ["model", "dataset"]):
            start = group[group["method"] == self.before].set_index("seed")
            for (method,), part in _group_cells(group, ["method"]):
                for column in columns:
                    after, name = part[column].dropna(), column.removeprefix(prefix)
                    if after.empty:
                        continue
                    key = (model, method, str(dataset) if column == self.metric else name)
                    first = {} if start.empty else start[column].dropna().to_dict()
                    paired = [
                        v - first[s] for s, v in zip(part["seed"], part[column]) if s in first and v == v
                    ]
                    if not paired:
                        continue
                    rows.append(_make_row(key, "before", first.values()))
                    rows.append(_make_row(key, "after", after))
                    rows.append(_make_row(key, "change", paired))
        return _build_frame(rows)


def _require_columns(records: pd.DataFrame, columns: Sequence[str]) -> None:
    for column in columns:
        if column not in records.columns:
            known = [str(c) for c in records.columns]
            raise OptionError(f"summary: the records have no '{column}'{did_you_mean(column, known)}")


def _group_cells(records: pd.DataFrame, by: list[str]) -> Iterable[tuple[tuple[Any, ...], pd.DataFrame]]:
    found: Iterable[tuple[tuple[Any, ...], pd.DataFrame]] = records.groupby(by, sort=False, dropna=False)
    return found


def _mean_over_seeds(records: pd.DataFrame, metric: str) -> dict[tuple[Any, ...], dict[Any, float]]:
    """Return the mean over seeds of each data set, by model and method."""
    by = ["model", "method", "dataset"]
    found: dict[tuple[Any, ...], dict[Any, float]] = {}
    for key, value in records.groupby(by, sort=False, dropna=False)[metric].mean().items():
        model, method, dataset = cast("tuple[Any, ...]", key)
        found.setdefault((model, method), {})[dataset] = float(value)
    return found


def _make_row(
    key: tuple[Any, ...],
    metric: str,
    values: Iterable[float],
    note: str = "",
    count: int | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """Return one output row: the mean over seeds, with Student's interval if there are two or more."""
    import numpy as np

    from harness.statistics.intervals import t_interval

    numbers = [float(v) for v in values]
    interval = t_interval(numbers) if len(numbers) > 1 else None
    low, high = (interval.low, interval.high) if interval else (np.nan, np.nan)
    count = len(numbers) if count is None else count
    return dict(zip(OUTPUT, (*key, metric, float(np.mean(numbers)), low, high, count, note, unit)))


def _build_frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(rows, columns=list(OUTPUT))
