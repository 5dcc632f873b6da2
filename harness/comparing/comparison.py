"""Compare two sides: matched cells, differences with intervals and tests, and what can't be compared."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from harness.comparing.conditions import different_conditions, find_other_meanings
from harness.comparing.evidence import Evidence, SampleTables, gather_evidence, no_evidence
from harness.comparing.remarks import MatchedRemark, RemarkCounts
from harness.comparing.sides import (
    CompareError,
    Side,
    SideCell,
    cell_identity,
    differing_coordinates,
    group_by_cell,
    match_renamed,
)
from harness.errors import did_you_mean
from harness.records.record import Record
from harness.statistics import Interval, holm, wilcoxon_test

DifferenceAnswer = Literal["better", "worse", "no difference shown", "undecided"]

WILCOXON_FROM = 6
"""The fewest data sets with which Wilcoxon's signed-rank test can reach p < 0.05."""


@dataclass(eq=False)
class Difference:
    """One metric in one matched cell; `a` and `b` are means over each side's seeds, on its own scale.

    `p_value` is after Holm's correction over the cells of this metric.
    """

    cell: dict[str, Any]
    metric: str
    unit: str | None
    higher_is_better: bool
    a: float
    b: float
    evidence: Evidence
    interval: Interval | None
    raw_p: float | None
    test: str
    level: float
    p_value: float | None = None

    @property
    def difference(self) -> float:
        """B − A on the metric's own scale."""
        return self.b - self.a

    @property
    def reason(self) -> str | None:
        """Why there is no test, or what the pairing left out."""
        reasons = dict.fromkeys([self.evidence.reason, self.test if self.raw_p is None else None])
        return "; ".join(text for text in reasons if text) or None

    @property
    def answer(self) -> DifferenceAnswer:
        """How B compares with A at the level of the comparison."""
        if self.p_value is None:
            return "undecided"
        if self.p_value > 1 - self.level or self.difference == 0:
            return "no difference shown"
        return "better" if (self.difference > 0) == self.higher_is_better else "worse"


@dataclass(frozen=True)
class UnfinishedCell:
    """A matched cell and seed that is not ok on both sides."""

    cell: dict[str, Any]
    seed: Any
    a: str
    b: str


@dataclass(frozen=True)
class ConditionWarning:
    """A condition that differs between matched records, in `cells` of the `of` matched ones."""

    what: str
    a: str
    b: str
    cells: int
    of: int

    def __str__(self) -> str:
        where = "" if self.cells == self.of else f" ({self.cells} of {self.of} records)"
        return f"{self.what} differs: {self.a} in A, {self.b} in B{where}"


@dataclass(frozen=True)
class MetricOverall:
    """A metric over all its matched cells; Wilcoxon's test is over `data_sets` mean differences."""

    metric: str
    cells: int
    answers: Mapping[str, int]
    mean_difference: float
    data_sets: int
    wilcoxon_p: float | None


@dataclass(eq=False)
class Comparison:
    """Everything that `compare` found, with differences in the order of A's plan."""

    a: str
    b: str
    level: float
    without: tuple[str, ...]
    differences: list[Difference] = field(default_factory=list)
    unfinished: list[UnfinishedCell] = field(default_factory=list)
    lacking: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    """Matched cells without a value of a metric on one side."""
    only_a: list[dict[str, Any]] = field(default_factory=list)
    only_b: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[ConditionWarning] = field(default_factory=list)
    remarks: list[MatchedRemark] = field(default_factory=list)
    matched: int = 0

    @property
    def metrics(self) -> list[str]:
        """The metrics that were compared."""
        return list(dict.fromkeys(d.metric for d in self.differences))

    def overall(self) -> list[MetricOverall]:
        """Return each metric over all its cells."""
        return [_summarise_metric(m, [d for d in self.differences if d.metric == m]) for m in self.metrics]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-able data; numbers that are not finite become null."""
        return {
            "a": self.a,
            "b": self.b,
            "level": self.level,
            "differs_in": list(self.without),
            "matched": self.matched,
            "differences": [_as_dict(d) for d in self.differences],
            "overall": [
                {**vars(o), "answers": dict(o.answers), "mean_difference": _finite_or_none(o.mean_difference)}
                for o in self.overall()
            ],
            "unfinished": [vars(u) for u in self.unfinished],
            "lacking": [{"cell": cell, "metric": metric} for cell, metric in self.lacking],
            "only_a": self.only_a,
            "only_b": self.only_b,
            "warnings": [{**vars(w), "text": str(w)} for w in self.warnings],
            "remarks": [vars(r) for r in self.remarks],
        }


def compare(
    a: Side, b: Side, metrics: Sequence[str] = (), suites: Sequence[str] = (), level: float = 0.95
) -> Comparison:
    """Compare side B with side A, cell by cell; a difference is B − A.

    Cells match by suite and coordinates, except those in which the two selections differ. Without `metrics`
    the first metric of each record is compared; `all` compares all of them. Raises CompareError if nothing
    matches, or a metric is unknown.
    """
    found_a, found_b = a.cells(suites), b.cells(suites)
    known = {key for c in (*found_a, *found_b) for key in c.at}
    without = differing_coordinates(a, b, sorted(known))
    cells_a, cells_b = group_by_cell(a, found_a, without), group_by_cell(b, found_b, without)
    cells_b = match_renamed(cells_a, cells_b, without)
    result = Comparison(a.description, b.description, level, tuple(sorted(without)))
    result.only_a = [_first_identity(cells_a[k], without) for k in cells_a if k not in cells_b]
    result.only_b = [_first_identity(cells_b[k], without) for k in cells_b if k not in cells_a]
    shared = [k for k in cells_a if k in cells_b]
    if not shared:
        raise CompareError(
            f"{a.description} and {b.description}: no cell is on both sides: {_explain_no_match(cells_a, cells_b, without)}"
        )
    samples = SampleTables(a.store), SampleTables(b.store)
    wanted = _select_metrics(metrics, [c.record for c in (*found_a, *found_b) if c.record])
    warned: Counter[tuple[str, str, str]] = Counter()
    remarks = RemarkCounts()
    for key in shared:
        _compare_cell(result, cells_a[key], cells_b[key], wanted, samples, without, warned)
        remarks.add(cells_a[key], cells_b[key])
    result.remarks = remarks.matched_remarks(result.matched)
    result.warnings = [ConditionWarning(*what, count, result.matched) for what, count in warned.items()]
    _correct_p_values(result.differences)
    return result


def _compare_cell(
    result: Comparison,
    a: Mapping[Any, SideCell],
    b: Mapping[Any, SideCell],
    wanted: Sequence[str] | None,
    samples: tuple[SampleTables, SampleTables],
    without: set[str],
    warned: Counter[tuple[str, str, str]],
) -> None:
    cell = _first_identity(a, without)
    other_data = ""
    for seed in sorted({*a, *b}, key=str):
        states = [s[seed].status if seed in s else "absent" for s in (a, b)]
        if "absent" not in states and states != ["ok", "ok"]:
            result.unfinished.append(UnfinishedCell(cell, seed, *states))
        one, other = (s[seed].record if seed in s else None for s in (a, b))
        if states == ["ok", "ok"] and one and other:
            result.matched += 1
            warned.update(different_conditions(one, other, without))
            meanings = find_other_meanings(a[seed], b[seed], without)
            warned.update((f"what '{cell[name]}' stands for", *texts) for name, texts in meanings.items())
            if texts := meanings.get("dataset"):
                other_data = f"'{cell['dataset']}' is other data: {texts[0]} in A, {texts[1]} in B"
    good = [{s: c.record for s, c in side.items() if c.record and c.status == "ok"} for side in (a, b)]
    if not good[0] or not good[1]:
        return
    records: list[Record] = [r for side in good for r in side.values()]
    for metric in wanted if wanted is not None else list(records[0].metrics)[:1]:
        having = [{s: r for s, r in side.items() if metric in r.metrics} for side in good]
        if not having[0] or not having[1]:
            if any(having):
                result.lacking.append((cell, metric))
            continue
        # equal ids of other data's samples would pair what has nothing in common
        evidence = (
            no_evidence(other_data) if other_data else gather_evidence(metric, having[0], having[1], *samples)
        )
        p, test = evidence.test()
        sample = next(iter(having[0].values()))
        mean_a, mean_b = (float(np.mean([r.metrics[metric] for r in side.values()])) for side in having)
        result.differences.append(
            Difference(
                cell,
                metric,
                sample.units.get(metric),
                sample.directions.get(metric, True),
                mean_a,
                mean_b,
                evidence=evidence,
                interval=evidence.interval(result.level),
                raw_p=p,
                test=test,
                level=result.level,
            )
        )


def _select_metrics(metrics: Sequence[str], records: Sequence[Record]) -> list[str] | None:
    if not metrics:
        return None
    known = list(dict.fromkeys(m for r in records for m in r.metrics))
    if "all" in metrics:
        return known
    for name in metrics:
        if name not in known:
            raise CompareError(f"no record has the metric '{name}'{did_you_mean(name, known)}")
    return list(dict.fromkeys(metrics))


def _correct_p_values(differences: Sequence[Difference]) -> None:
    for metric in {d.metric for d in differences}:
        tested = [d for d in differences if d.metric == metric and d.raw_p is not None]
        for difference, p in zip(tested, holm([d.raw_p for d in tested if d.raw_p is not None])):
            difference.p_value = float(p)


def _summarise_metric(metric: str, differences: Sequence[Difference]) -> MetricOverall:
    finite = [d for d in differences if math.isfinite(d.difference)]
    by_data: dict[str, list[float]] = {}
    for d in finite:
        by_data.setdefault(str(d.cell.get("dataset", "")), []).append(d.difference)
    means = [float(np.mean(v)) for v in by_data.values()]
    enough = len(means) >= WILCOXON_FROM
    p = wilcoxon_test(means, [0.0] * len(means)).p_value if enough else None
    mean = float(np.mean([d.difference for d in finite])) if finite else math.nan
    return MetricOverall(
        metric, len(differences), Counter(d.answer for d in differences), mean, len(means), p
    )


def _first_identity(cells: Mapping[Any, SideCell], without: set[str]) -> dict[str, Any]:
    return cell_identity(next(iter(cells.values())), without)


def _explain_no_match(
    a: Mapping[str, Mapping[Any, SideCell]], b: Mapping[str, Mapping[Any, SideCell]], without: set[str]
) -> str:
    """Return the first coordinate that keeps all cells of one side from matching the other."""
    one, other = ([_first_identity(c, without) for c in side.values()] for side in (a, b))
    for key in dict.fromkeys(k for c in (*one, *other) for k in c):
        values = [{str(c.get(key, "")) for c in side} for side in (one, other)]
        if not values[0] & values[1]:
            return f"{key} is {' or '.join(sorted(values[0])[:3])} in A, {' or '.join(sorted(values[1])[:3])} in B"
    return "no two have all coordinates in common"


def _as_dict(d: Difference) -> dict[str, Any]:
    interval = d.interval
    return {
        "cell": d.cell,
        "metric": d.metric,
        "unit": d.unit,
        "higher_is_better": d.higher_is_better,
        "a": _finite_or_none(d.a),
        "b": _finite_or_none(d.b),
        "difference": _finite_or_none(d.difference),
        "interval": None
        if interval is None
        else [_finite_or_none(interval.low), _finite_or_none(interval.high)],
        "interval_method": None if interval is None else interval.method,
        "paired_by": d.evidence.kind,
        "pairs": d.evidence.n,
        "p_value": d.raw_p,
        "p_holm": d.p_value,
        "test": d.test if d.raw_p is not None else None,
        "answer": d.answer,
        "reason": d.reason,
    }


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
