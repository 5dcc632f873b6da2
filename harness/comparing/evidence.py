"""The evidence for a difference of one metric in one cell: pairs of samples, pairs of seeds, or none."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness.contract.running import CLUSTER
from harness.records.record import Record
from harness.records.store import Store
from harness.statistics import (
    Interval,
    StatisticsError,
    Unpairable,
    align_samples,
    paired_difference_interval,
    paired_t_test,
    paired_test,
    resampled_interval,
    resampled_p,
    seeds_samples_difference,
    t_interval,
)
from harness.statistics.bootstrap import RESAMPLES
from harness.statistics.checks import Floats
from harness.statistics.clusters import linearise_clusters

if TYPE_CHECKING:
    import pandas as pd

Records = Mapping[Any, Record]
"""The records of a cell on one side, by seed."""

Kind = Literal["identical", "samples", "seeds×samples", "resamples", "seeds", "none"]

WORK = 400_000_000
"""Limit of random numbers for the bootstrap of one difference; beyond it Student's t is used."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Paired values of B and A, S×N (seeds × samples), or vectors S for the kind `seeds`.

    For `resamples` they are vectors R, each side's number on the same R resampled sets, beside the `difference` of
    their numbers on the whole set of `samples`. `reason` says why there is no pairing, or what it left out. `n`
    counts samples, for `seeds` the seeds.
    """

    kind: Kind
    b: Floats
    a: Floats
    reason: str | None = None
    difference: float = 0.0
    samples: int = 0

    @property
    def n(self) -> int:
        """The number of independent pairs."""
        if self.kind == "resamples":
            return self.samples
        return int(self.b.shape[-1]) if self.kind != "none" else 0

    def interval(self, level: float = 0.95) -> Interval | None:
        """Return the interval for B − A at this level, or None without enough evidence.

        One seed: a BCa bootstrap over samples, with as many resamples as the level needs. Several: both seeds
        and samples count as drawn at random. Numbers of whole sets: a basic bootstrap. Seeds only: Student's t.
        """
        if self.kind == "none":
            return None
        if self.kind == "identical":
            return Interval(0.0, 0.0, level, "identical", self.n)
        if self.kind == "seeds":
            return t_interval(self.b - self.a, level) if self.test()[0] is not None else None
        if self.kind == "resamples":
            return resampled_interval(self.difference, self.b - self.a, self.samples, level)
        if self.kind == "seeds×samples":
            return seeds_samples_difference(self.b - self.a, level)
        b, a = self.b[0], self.a[0]
        # forty resamples beyond each end keep the ends of a strict level steady
        resamples = max(RESAMPLES, math.ceil(80 / (1 - level)))
        distinct = len(np.unique(b - a))
        if resamples > RESAMPLES and resamples * (distinct if distinct <= len(a) // 8 else len(a)) > WORK:
            return t_interval(b - a, level)
        return paired_difference_interval(b, a, level=level, resamples=resamples)

    def test(self) -> tuple[float | None, str]:
        """Return the p-value of "no difference" and the test's name, or None and the reason."""
        if self.kind == "none":
            return None, self.reason or ""
        if self.kind == "identical":
            return 1.0, "identical"
        try:
            if self.kind == "resamples":
                return resampled_p(self.difference, self.b - self.a), "bootstrap over the same resampled sets"
            if self.kind == "seeds":
                test = paired_t_test(self.b, self.a)
            elif self.kind == "samples":
                test = paired_test(self.b[0], self.a[0])
            else:
                return _crossed_p(self.b - self.a), "seeds×samples"
        except StatisticsError as error:
            return None, str(error)
        return test.p_value, test.method


class SampleTables:
    """Per-sample tables of one side's store, with a small cache for the current cell."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._kept: dict[str, pd.DataFrame | None] = {}

    def read(self, record: Record) -> pd.DataFrame | None:
        """Return the record's table, or None if it has none with ids."""
        if record.id not in self._kept:
            if len(self._kept) > 64:
                self._kept.clear()
            table = self.store.samples(record.id)
            self._kept[record.id] = table if table is not None and "id" in table.columns else None
        return self._kept[record.id]


def gather_evidence(metric: str, a: Records, b: Records, in_a: SampleTables, in_b: SampleTables) -> Evidence:
    """Return the strongest pairing of two sides' ok records (by seed) that have the metric."""
    shared = sorted(set(a) & set(b), key=str)
    values = [np.array([r.metrics[metric] for r in (x[s] for s in shared)]) for x in (b, a)]
    if not all(math.isfinite(r.metrics[metric]) for side in (a, b) for r in side.values()):
        return no_evidence(f"{metric} is not a finite number everywhere")
    same_seeds = set(a) == set(b)
    if same_seeds and all(_are_identical(metric, a[s], b[s], in_a, in_b) for s in shared):
        n = a[shared[0]].count or 1
        return Evidence("identical", np.zeros(n), np.zeros(n))
    by_sample = _pair_by_sample(metric, a, b, in_a, in_b, shared if same_seeds else None)
    if isinstance(by_sample, Evidence):
        return by_sample
    resampled = _pair_by_resample(metric, a, b, in_a, in_b)
    if resampled is not None:
        return resampled
    if same_seeds and len(shared) > 1:
        return Evidence("seeds", values[0], values[1], f"paired by seed only: {by_sample}")
    if not same_seeds:
        by_sample += f"; seeds differ: {_list_seeds(a)} in A, {_list_seeds(b)} in B"
    return no_evidence(by_sample)


def _pair_by_sample(
    metric: str, a: Records, b: Records, in_a: SampleTables, in_b: SampleTables, seeds: Sequence[Any] | None
) -> Evidence | str:
    """Pair by sample: seed by seed for shared `seeds`, else each side's average over its own."""
    columns: dict[str, dict[Any, tuple[list[str], Floats]]] = {}
    for side, records, tables in (("A", a, in_a), ("B", b, in_b)):
        columns[side] = {}
        for seed, record in records.items():
            column = _sample_values(metric, record, tables)
            if isinstance(column, str):
                return f"{column} in {side}"
            columns[side][seed] = column
    if several := _explain_other_samples(a, b, in_a, in_b):
        return several
    if seeds is None:
        whole = [
            ([i for ids, _ in side.values() for i in ids], np.concatenate([v for _, v in side.values()]))
            for side in (columns["A"], columns["B"])
        ]
        found = align_samples(*whole[0], *whole[1])
        if isinstance(found, Unpairable):
            return found.reason
        reason = f"seeds differ ({_list_seeds(a)} in A, {_list_seeds(b)} in B): paired over samples only"
        return Evidence("samples", found.b[None], found.a[None], reason)
    rows_a, rows_b, first = [], [], None
    for seed in seeds:
        found = align_samples(*columns["A"][seed], *columns["B"][seed])
        if isinstance(found, Unpairable):
            return found.reason
        if first is not None and list(found.ids) != first:
            return "the samples are not the same for every seed"
        first = list(found.ids)
        rows_a.append(found.a)
        rows_b.append(found.b)
    kind: Kind = "samples" if len(seeds) == 1 else "seeds×samples"
    return Evidence(kind, np.stack(rows_b), np.stack(rows_a))


def _pair_by_resample(
    metric: str, a: Records, b: Records, in_a: SampleTables, in_b: SampleTables
) -> Evidence | None:
    """Pair one record of each side by its numbers on the same resampled sets of the same samples, or return None."""
    if len(a) != 1 or len(b) != 1:
        return None
    sides = []
    for records, tables in ((a, in_a), (b, in_b)):
        record = next(iter(records.values()))
        draws, samples = tables.store.resamples(record.id), tables.read(record)
        if draws is None or samples is None or metric not in draws.columns:
            return None
        values = draws[metric].to_numpy(dtype=np.float64)
        if not np.isfinite(values).all():
            return None
        sides.append((record.metrics[metric], values, sorted(map(str, samples["id"]))))
    (value_a, draws_a, ids_a), (value_b, draws_b, ids_b) = sides
    if ids_a != ids_b or len(draws_a) != len(draws_b):
        return None
    return Evidence("resamples", draws_b, draws_a, None, value_b - value_a, len(ids_a))


def _explain_other_samples(a: Records, b: Records, in_a: SampleTables, in_b: SampleTables) -> str | None:
    """Return that clusters hold other samples on the other side (other questions about the same images), or None."""
    sides = []
    for records, tables in ((a, in_a), (b, in_b)):
        found = [table for record in records.values() if (table := tables.read(record)) is not None]
        if not all(CLUSTER in table.columns for table in found):
            return None
        sides.append({str(i) for table in found for i in table["id"]})
    only_a, only_b = len(sides[0] - sides[1]), len(sides[1] - sides[0])
    return (
        f"other samples in the same clusters: {only_a} only in A, {only_b} only in B"
        if only_a or only_b
        else None
    )


def _sample_values(metric: str, record: Record, tables: SampleTables) -> tuple[list[str], Floats] | str:
    """Return ids and values of a metric by sample, or the reason why there are none."""
    table = tables.read(record)
    if table is None:
        return "no per-sample records"
    if metric not in table.columns:
        return f"{metric} has no value per sample"
    try:
        values = table[metric].to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        return f"{metric} has no number per sample"
    number = record.metrics[metric]
    # written so that a missing value among them counts as well
    if len(values) == 0 or not abs(float(np.mean(values)) - number) <= 1e-5 * max(1.0, abs(number)):
        return f"{metric} is not the mean of its per-sample values"
    if CLUSTER in table.columns:
        return linearise_clusters(values, table[CLUSTER].tolist())
    return [str(i) for i in table["id"]], values


def _are_identical(metric: str, a: Record, b: Record, in_a: SampleTables, in_b: SampleTables) -> bool:
    """Return whether both have the same outputs for every sample, and so the same metrics."""
    if a.metrics[metric] != b.metrics[metric]:
        return False
    one, other = in_a.read(a), in_b.read(b)
    if one is None or other is None or len(one) != len(other):
        return False
    shared = [c for c in one.columns if c in other.columns]
    if "prediction" not in shared and metric not in shared:
        return False
    sides = [t[shared].sort_values("id", kind="stable", ignore_index=True) for t in (one, other)]
    return bool(sides[0].equals(sides[1]))


def _crossed_p(differences: Floats) -> float | None:
    """Return the least α whose interval at level 1 − α excludes zero, by bisection of its logarithm."""
    if not np.any(differences):
        return 1.0
    low, high = math.log(1e-12), 0.0
    for _ in range(40):
        middle = (low + high) / 2
        found = seeds_samples_difference(differences, 1 - math.exp(middle))
        if found is None:
            return None
        low, high = (middle, high) if 0.0 in found else (low, middle)
    return min(1.0, math.exp(high))


def no_evidence(reason: str) -> Evidence:
    """Return evidence without any pairs, for this reason."""
    return Evidence("none", np.zeros(0), np.zeros(0), reason)


def _list_seeds(records: Mapping[Any, Record]) -> str:
    return ",".join(str(s) for s in sorted(records, key=str))
