"""The summary `ablation`: paired differences of arms from a baseline, and whether they stand out of the noise."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from harness import Store
    from harness.statistics import Interval
    from harness_training.ablation_arms import Family
    from harness_training.ablation_differences import Difference

AT = {"steps": ["steps"], "seconds": ["seconds"], "both": ["steps", "seconds"]}
HELD_OUT = "held-out accuracy"
OUTPUT = ("verdict", "metric", "value", "low", "high", "count", "note", "unit")


@dataclass
class Measured:
    """A family's metric by arm and seed, with per-sample differences from the baseline and notes of some arms."""

    metric: str
    unit: str | None
    values: dict[str, dict[Any, float]]
    by_sample: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


class Ablation:
    """Each arm's difference from a baseline over the seeds that both have, with a verdict in words.

    A difference has two intervals: Student's over seeds, which says whether other seeds would agree, and one
    over seeds and samples together (`harness.statistics.seeds_samples_difference`), which also says whether
    another test set would. p is Student's paired test with Holm's correction over the arms of a family, that
    is of one data set and, when methods are compared, one model. P(A>B) is the share of all pairs of a run of
    the arm and one of the baseline that the arm wins (Bouthillier et al. 2021). The verdict is `better` or
    `worse` only if both intervals exclude 0, p is significant, and there are enough seeds; otherwise it is
    `inside the noise`, and a note says why.

    At equal steps the metric is the records' own. At equal seconds it is the accuracy on the held-out samples
    at the last evaluation within T training seconds, where T is the least median of total training seconds
    among a family's arms. Evaluations on the way keep no predictions, so the verdict there is at best `better
    over seeds`: arms that are equally good on all images seldom are on the few held-out ones.

    Args:
        baseline: label of the arm that the others are compared with.
        by: what the arms differ in: `method`, `model` or the name of an axis.
        metric: the metric at equal steps.
        at: `steps`, `seconds` or `both`.
        within: further axes or tags within whose values arms are compared.
        lower: the metric is better if it is lower.
        level: confidence of intervals, and 1 − the level of significance.
        least: number of common seeds below which the verdict is always `inside the noise`.
    """

    needs_store = True
    unit = None
    higher_is_better = None
    titles: ClassVar[dict[str, str]] = {
        "at": "At equal",
        "Δ": "Δ (interval over seeds)",
        "Δ, seeds × samples": "Δ (interval over seeds and samples)",
        "p": "p (Holm)",
    }

    def __init__(
        self,
        baseline: str,
        by: str = "method",
        metric: str = "top1",
        at: str = "steps",
        within: list[str] | None = None,
        lower: bool = False,
        level: float = 0.95,
        least: int = 5,
    ) -> None:
        if at not in AT:
            raise OptionError(f"ablation: at must be steps, seconds or both, got '{at}'")
        if not 0 < level < 1 or least < 2:
            raise OptionError(f"ablation: expected 0 < level < 1 and least ≥ 2, got {level} and {least}")
        self.baseline, self.by, self.metric, self.at = baseline, by, metric, at
        self.within, self.lower, self.level, self.least = list(within or []), lower, level, least

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return the metric, `Δ`, `Δ, seeds × samples`, `p` and `P(A>B)` of each arm, with `at` and `verdict`."""
        import pandas as pd

        from harness_training.ablation_arms import group_families

        families = list(group_families(records, self.by, self.within)) if len(records) else []
        labels = list(dict.fromkeys(label for family in families for label in family.arms))
        if labels and self.baseline not in labels:
            raise OptionError(
                f"ablation: no {self.by} '{self.baseline}'{did_you_mean(self.baseline, labels)}"
            )
        if labels and "steps" in AT[self.at] and self.metric not in records:
            known = map(str, records)
            raise OptionError(
                f"ablation: the records have no '{self.metric}'{did_you_mean(self.metric, known)}"
            )
        rows = []
        for family in families:
            for at in AT[self.at]:
                measured = self._read_at_steps if at == "steps" else self._read_at_seconds
                rows += self._build_rows(family, at, measured(family, store))
        names = ("experiment", "dataset", "model", "method", self.by, *self.within, "at", *OUTPUT)
        return pd.DataFrame(rows, columns=list(dict.fromkeys(names)))

    def _read_at_steps(self, family: Family, store: Store) -> Measured:
        import numpy as np

        from harness_training.ablation_arms import read_sample_differences, read_values

        values = {label: read_values(seeds, self.metric) for label, seeds in family.arms.items()}
        found = Measured(self.metric, _find_unit(family, self.metric, store), values)
        base = values.get(self.baseline, {})
        for label, own in values.items():
            common = [seed for seed in own if seed in base]
            if label == self.baseline or len(common) < 2:
                continue
            sides = family.arms[label], family.arms[self.baseline]
            differences = read_sample_differences(*sides, common, self.metric, store)
            if isinstance(differences, str):
                found.notes[label] = f"the noise of samples is not in it: {differences}"
            else:
                found.by_sample[label] = differences
        steps = {label: list(read_values(seeds, "steps").values()) for label, seeds in family.arms.items()}
        counts = {label: float(np.median(own)) for label, own in steps.items() if own}
        for label, count in counts.items():
            if count != (whole := counts.get(self.baseline, count)):
                told = f"not at equal steps: trained for {count:,.0f}, the baseline for {whole:,.0f}"
                found.notes[label] = "; ".join(filter(None, (found.notes.get(label), told)))
        return found

    def _read_at_seconds(self, family: Family, store: Store) -> Measured:
        from harness_training.ablation_arms import read_values
        from harness_training.equal_seconds import find_time_budget, read_accuracy_within

        budget = find_time_budget(read_values(seeds, "training_seconds") for seeds in family.arms.values())
        found = Measured(HELD_OUT, "fraction", {})
        for label, seeds in family.arms.items():
            ids = {seed: str(row["id"]) for seed, row in seeds.items()} if budget is not None else {}
            read = {seed: read_accuracy_within(store, id, budget or 0.0) for seed, id in ids.items()}
            found.values[label] = {seed: value for seed, value in read.items() if value is not None}
            missing = len(read) - len(found.values[label])
            lost = f"; {missing} of {len(read)} seeds have no evaluation within T" if missing else ""
            words = f"T = {budget:.3g} s of training, without the noise of samples{lost}"
            found.notes[label] = words if budget is not None else "no record has training_seconds"
        return found

    def _build_rows(self, family: Family, at: str, measured: Measured) -> list[dict[str, Any]]:
        import numpy as np

        from harness.statistics import t_interval
        from harness_training.ablation_differences import compare_with_baseline

        lower = self.lower and at == "steps"
        found = compare_with_baseline(
            measured.values, self.baseline, measured.by_sample, self.level, self.least, lower
        )
        rows = []
        for label, own in measured.values.items():
            one = found.get(label)
            verdict = "baseline" if label == self.baseline else one.verdict if one else "not compared"
            experiment = next(iter(family.arms[label].values())).get("experiment")
            shared = {**family.place, "experiment": experiment, self.by: label, "at": at, "verdict": verdict}
            note = measured.notes.get(label, "")
            mean = float(np.mean(list(own.values()))) if own else np.nan
            alone = "" if one or label == self.baseline else self._explain_alone(measured, label)
            told = "; ".join(filter(None, (note, alone)))
            width = t_interval(list(own.values()), self.level) if own else None
            quality = {**shared, "count": len(own), "unit": measured.unit}
            rows.append({**quality, "metric": measured.metric, "value": mean, "note": told, **_ends(width)})
            if one is None:
                continue
            lost = self._explain_unpaired(measured, label) if at == "steps" else ""
            note = "; ".join(filter(None, (self._describe_verdict(one), note, lost)))
            gap = {**shared, "count": one.seeds, "value": one.mean, "unit": measured.unit}
            rows.append({**gap, "metric": "Δ", "note": note, **_ends(one.over_seeds)})
            if one.over_both is not None:
                rows.append({**gap, "metric": "Δ, seeds × samples", "note": "", **_ends(one.over_both)})
            rows.append({**shared, "metric": "p", "value": one.p, "count": one.seeds, "note": ""})
            wins = {"value": one.superiority.probability, "count": one.superiority.pairs, "note": ""}
            rows.append({**shared, "metric": "P(A>B)", **wins, **_ends(one.superiority.interval)})
        return rows

    def _describe_verdict(self, one: Difference) -> str:
        return (
            f"{one.verdict}: {', '.join(one.reasons)}"
            if one.reasons
            else f"{one.verdict} than {self.baseline}"
        )

    def _explain_unpaired(self, measured: Measured, label: str) -> str:
        """Return which seeds only one of the two has: what is left may be the runs that went well."""
        own, base = measured.values[label], measured.values[self.baseline]
        sides = (
            (label, [s for s in base if s not in own]),
            (self.baseline, [s for s in own if s not in base]),
        )
        return "; ".join(
            f"no number of {name} for seed {', '.join(map(str, lost))}: diverged, failed or not run"
            for name, lost in sides
            if lost
        )

    def _explain_alone(self, measured: Measured, label: str) -> str:
        if not measured.values[label]:
            return "" if label in measured.notes else f"no record has a {measured.metric}"
        if not measured.values.get(self.baseline):
            return f"not compared: {self.baseline} has no value here"
        return f"not compared: no seed in common with {self.baseline}"


def _ends(interval: Interval | None) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high} if interval else {}


def _find_unit(family: Family, metric: str, store: Store) -> str | None:
    """Return `fraction` if the metric is one, else None."""
    for seeds in family.arms.values():
        for row in seeds.values():
            record = store.read(str(row["id"]))
            if record is not None and metric in record.metrics:
                return "fraction" if record.units.get(metric) == "fraction" else None
    return None
