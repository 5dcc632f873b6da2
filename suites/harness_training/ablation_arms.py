"""The arms of an ablation: which records belong to one family of arms, with their values by seed and by sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from harness import Store

FIXED = ("dataset", "model", "method")
"""Coordinates that are alike within a family, except the one that the arms differ in."""


@dataclass
class Family:
    """Arms that differ in one coordinate: their records by label and seed; `place` holds what is alike."""

    place: dict[str, Any]
    arms: dict[str, dict[Any, Mapping[str, Any]]] = field(default_factory=dict)


def group_families(records: pd.DataFrame, by: str, within: Sequence[str]) -> Iterator[Family]:
    """Yield families of arms in the records' order, by equal data set, model, method and `within`, less `by`.

    Experiments don't separate them, since a suite runs cells that several experiments share only once.
    Raises OptionError for unknown columns, and if two records of an arm have the same seed.
    """
    for name in (by, *within):
        if name not in records:
            raise OptionError(
                f"ablation: the records have no '{name}'{did_you_mean(name, map(str, records))}"
            )
    fixed = [name for name in dict.fromkeys((*FIXED, *within)) if name != by and name in records]
    for key, part in records.groupby(fixed, sort=False, dropna=False):
        family = Family(dict(zip(fixed, key, strict=True)))
        for row in cast("list[dict[str, Any]]", part.to_dict("records")):
            seeds = family.arms.setdefault(str(row[by]), {})
            if (seed := row.get("seed", 0)) in seeds:
                differing = _name_difference(seeds[seed], row)
                raise OptionError(
                    f"ablation: arm '{row[by]}' has several records of seed {seed}{differing}: "
                    "choose some by the table's where, or name what they differ in as within"
                )
            seeds[seed] = row
        # sums must not depend on the order of records
        family.arms = {label: dict(sorted(own.items(), key=str)) for label, own in family.arms.items()}
        yield family


def _name_difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return which column of labels or whole numbers tells two records apart."""
    names = [n for n, v in one.items() if n != "id" and isinstance(v, str | int) and v != other[n]]
    first = next((n for n in ("experiment", *names) if n in names), None)
    return f" ({first}: {one[first]}, {other[first]})" if first else ""


def read_values(seeds: Mapping[Any, Mapping[str, Any]], column: str) -> dict[Any, float]:
    """Return an arm's numbers of a column by seed, without those that are missing."""
    found = {seed: row.get(column) for seed, row in seeds.items()}
    return {seed: float(v) for seed, v in found.items() if isinstance(v, int | float) and v == v}


def read_sample_differences(
    arm: Mapping[Any, Mapping[str, Any]],
    base: Mapping[Any, Mapping[str, Any]],
    seeds: Sequence[Any],
    metric: str,
    store: Store,
) -> NDArray[np.float64] | str:
    """Return the differences arm − base S×N of per-sample values on the same samples, or why there are none."""
    import numpy as np

    from harness.statistics import Unpairable, align_samples

    rows, first = [], None
    for seed in seeds:
        sides = [_read_sample_values(store, side[seed]["id"], metric) for side in (arm, base)]
        if sides[0] is None or sides[1] is None:
            return f"no per-sample {metric} is kept"
        aligned = align_samples(*sides[0], *sides[1])
        if isinstance(aligned, Unpairable):
            return aligned.reason
        first = aligned.ids if first is None else first
        if aligned.ids != first:
            return "seeds were measured on different samples"
        rows.append(aligned.a - aligned.b)
    return np.stack(rows)


def _read_sample_values(store: Store, id: str, metric: str) -> tuple[list[str], Any] | None:
    from harness.statistics import linearise_clusters

    table = store.samples(id)
    if table is None or "id" not in table:
        return None
    if metric in table:
        values = table[metric]
    elif metric == "top1" and {"target", "prediction"} <= set(table):
        values = table["target"] == table["prediction"]
    else:
        return None
    if "cluster" in table:
        return linearise_clusters(values.to_numpy(dtype=float), table["cluster"].tolist())
    return [str(i) for i in table["id"]], values.to_numpy(dtype=float)
