"""The arms of probes: which records ask the same questions under which probe, and their values by question."""

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

PLAIN = "none"
"""The probe that changes nothing."""

FIXED = ("dataset", "shots")
"""Coordinates that are alike within a group, where the records have them."""

ProbedRun = tuple[str, str]
"""Model and seed of a record: what is measured again under each probe."""


@dataclass
class ProbedGroup:
    """Records of one label on one data set, by probe and run; `place` holds what is alike."""

    place: dict[str, Any]
    label: str
    arms: dict[str, dict[ProbedRun, Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def models(self) -> list[str]:
        """The models of all records, sorted."""
        return sorted({model for arm in self.arms.values() for model, _ in arm})


@dataclass(frozen=True, eq=False)
class QuestionValues:
    """A metric by question: N sorted ids, the cluster (image) of each, and values N averaged over repeated rows."""

    ids: list[str]
    clusters: list[str]
    values: NDArray[np.float64]


def group_probed(records: pd.DataFrame, by: str, within: Sequence[str]) -> Iterator[ProbedGroup]:
    """Yield the records of each label `by` (model or tag) on each data set, in the records' order.

    Experiments don't separate them, since a suite runs cells that several experiments share only once. A record
    without a probe is a plain one. Raises OptionError for unknown columns, and for two records of one run and probe.
    """
    for name in (by, *within):
        if name not in records:
            raise OptionError(
                f"probe-differences: the records have no '{name}'{did_you_mean(name, map(str, records))}"
            )
    fixed = [name for name in dict.fromkeys((*FIXED, *within)) if name in records and name != by]
    for key, part in records.groupby([*fixed, by], sort=False, dropna=False):
        group = ProbedGroup(dict(zip(fixed, key, strict=False)), str(key[-1]))
        for row in cast("list[dict[str, Any]]", part.to_dict("records")):
            probe = row.get("probe")
            arm = group.arms.setdefault(probe if isinstance(probe, str) else PLAIN, {})
            run = (str(row["model"]), str(row.get("seed", 0)))
            if run in arm:
                raise OptionError(
                    f"probe-differences: '{run[0]}' has several records of seed {run[1]} and probe "
                    f"'{probe}' on '{row['dataset']}'{_name_differing(arm[run], row)}: choose some by the table's "
                    "where, or name what they differ in as within"
                )
            arm[run] = row
        # sums must not depend on the order of records
        group.arms = {probe: dict(sorted(arm.items())) for probe, arm in group.arms.items()}
        yield group


def _name_differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Return which column of labels or whole numbers tells two records apart."""
    told = [n for n in one if n != "id" and any(isinstance(row[n], str | int) for row in (one, other))]
    names = [n for n in told if one[n] != other[n]]
    first = next((n for n in ("experiment", *names) if n in names), None)
    return f" ({first}: {one[first]}, {other[first]})" if first else ""


def read_question_values(store: Store, id: str, metric: str) -> QuestionValues | str:
    """Return a record's metric by question, or why there is none.

    Rows of one id (of several prompts, or orders of choices) are averaged: they are repeated measures of one
    question. Without a column `cluster` each question is a cluster of its own.
    """
    import numpy as np
    import pandas as pd

    table = store.samples(id)
    if table is None or metric not in table or not len(table):
        return f"no {metric} per sample is kept"
    values = pd.to_numeric(table[metric], errors="coerce").to_numpy(np.float64)
    if missing := int(np.count_nonzero(~np.isfinite(values))):
        return f"{missing} of {len(values)} values of {metric} are missing"
    ids = table["id"].astype(str)
    rows = pd.DataFrame({"cluster": table.get("cluster", ids).astype(str), "value": values})
    questions = rows.groupby(ids.to_numpy(), sort=True).agg({"cluster": "first", "value": "mean"})
    return QuestionValues(
        questions.index.tolist(), questions["cluster"].tolist(), questions["value"].to_numpy(np.float64)
    )
