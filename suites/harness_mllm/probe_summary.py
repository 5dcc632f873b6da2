"""The summary `probe-differences`: what a metric loses under each probe, and whether a model is shown to look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from harness import Store
    from harness.statistics import Interval
    from harness_mllm.probe_arms import ProbedGroup, ProbedRun, QuestionValues
    from harness_mllm.probe_differences import ProbeDifference

OUTPUT = ("probe", "verdict", "metric", "value", "low", "high", "count", "note", "unit")
DIFFERENCE, CORRECTED = "Δ", "p"
FROM_BLIND, P_FROM_BLIND = "Δ from blind", "p from blind"

SAME_NUMBER = 1e-5
"""Most that rounding sets a mean over questions apart from the record's number."""

Arms = dict[str, "dict[ProbedRun, QuestionValues] | str"]
"""By probe, the values of each run, or why there are none."""


@dataclass
class ReadGroup:
    """The records of a label on a data set, with their values by question and, by probe, their own numbers."""

    group: ProbedGroup
    arms: Arms
    unit: str | None
    stated: dict[str, list[float]]


class ProbeDifferences:
    """The paired difference of each probe against no probe, on the same questions, and a verdict in words.

    Questions about one image are not independent: differences are clustered by the samples' `cluster`. Prompts and
    orders of choices are repeated measures of a question and are averaged. The runs of a label, which are seeds and,
    where `by` is a tag, models, are repeated measures too: with several of them the interval is over runs and images
    together (`harness.statistics.seeds_samples_difference`), so that it speaks of further runs as well. p is a
    permutation test over images with Holm's correction over the probes of a label on a data set.

    The verdict is `looked` only if the metric falls significantly without the image *and* under another image, both
    with an interval below 0; otherwise `not shown to look`, or `not judged` if one of the two is missing. A note says
    why. A model may be right by words alone: its difference from a `blind` one under no probe says how much of its
    metric words give to a model that sees nothing.

    Args:
        metric: the metric, which must be better if it is higher and have a value per sample.
        by: what a row is: `model`, or a tag such as `tag.model.kind` whose models are repeated measures.
        blind: label of the model (or value of the tag) that sees no images, which the others are compared with.
        within: further axes or tags within whose values records are compared.
        level: confidence of intervals, and 1 − the level of significance.
    """

    needs_store = True
    unit = None
    higher_is_better = None
    titles: ClassVar[dict[str, str]] = {
        "probe": "Probe",
        "verdict": "Verdict",
        DIFFERENCE: "Δ (probe − none)",
        CORRECTED: "p (Holm)",
        FROM_BLIND: "Δ (seeing − blind)",
        P_FROM_BLIND: "p (seeing − blind)",
    }

    def __init__(
        self,
        metric: str = "choice-accuracy",
        by: str = "model",
        blind: str | None = None,
        within: list[str] | None = None,
        level: float = 0.95,
    ) -> None:
        if not 0 < level < 1:
            raise OptionError(f"probe-differences: expected 0 < level < 1, got {level}")
        self.metric, self.by, self.blind = metric, by, blind
        self.within, self.level = list(within or []), level

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return the metric, `Δ` and `p` of each probe, and `Δ from blind` and its p, by data set and label.

        Raises OptionError for a metric, blind label or column that the records don't have, and for a metric that is
        better if it is lower.
        """
        import pandas as pd

        from harness_mllm.probe_arms import FIXED, group_probed

        if len(records) and self.metric not in records:
            known = map(str, records)
            raise OptionError(
                f"probe-differences: the records have no '{self.metric}'{did_you_mean(self.metric, known)}"
            )
        groups = list(group_probed(records, self.by, self.within)) if len(records) else []
        labels = list(dict.fromkeys(group.label for group in groups))
        if self.blind is not None and labels and self.blind not in labels:
            raise OptionError(
                f"probe-differences: no {self.by} '{self.blind}'{did_you_mean(self.blind, labels)}"
            )
        read = [self._read(group, store) for group in groups]
        rows = [row for one in read for row in self._build_rows(one, read)]
        names = ("model", *(n for n in FIXED if n in records), *self.within, self.by, *OUTPUT)
        return pd.DataFrame(rows, columns=list(dict.fromkeys(names)))

    def _read(self, group: ProbedGroup, store: Store) -> ReadGroup:
        from harness_mllm.probe_arms import read_question_values

        arms: Arms = {}
        unit = None
        stated: dict[str, list[float]] = {}
        for probe, runs in group.arms.items():
            values: dict[ProbedRun, QuestionValues] = {}
            for run, row in runs.items():
                record = store.read(str(row["id"]))
                if record is not None and record.directions.get(self.metric) is False:
                    raise OptionError(
                        f"probe-differences: '{self.metric}' is better if it is lower: a fall would not show looking"
                    )
                if record is not None:
                    unit = record.units.get(self.metric)
                    stated.setdefault(probe, []).append(record.metrics.get(self.metric, float("nan")))
                found = read_question_values(store, str(row["id"]), self.metric)
                if isinstance(found, str):
                    arms[probe] = found
                    break
                values[run] = found
            else:
                arms[probe] = values
        return ReadGroup(group, arms, "fraction" if unit == "fraction" else None, stated)

    def _build_rows(self, one: ReadGroup, all_: list[ReadGroup]) -> list[dict[str, Any]]:
        from harness_mllm.probe_arms import PLAIN
        from harness_mllm.probe_differences import judge_looking

        differences = {probe: self._compare(one.arms, probe) for probe in one.arms if probe != PLAIN}
        corrected = self._correct(differences)
        verdict, reasons = judge_looking(differences, corrected, self.level)
        models = ", ".join(one.group.models)
        shared = {**one.group.place, "model": models, self.by: one.group.label, "verdict": verdict}
        order = [PLAIN, *differences] if PLAIN in one.arms else list(differences)
        rows = []
        for probe in order:
            at = {**shared, "probe": probe}
            rows.append({**at, "metric": self.metric, "unit": one.unit, **self._describe_arm(one, probe)})
            if probe == PLAIN:
                rows[-1]["note"] = "; ".join(filter(None, (rows[-1]["note"], self._say(verdict, reasons))))
                continue
            gap = differences[probe]
            if isinstance(gap, str):
                rows[-1]["note"] = f"not compared: {gap}"
                continue
            facts = {"value": gap.mean, "count": gap.runs, "note": self._say_units(one, probe, gap)}
            rows.append({**at, "metric": DIFFERENCE, "unit": one.unit, **facts, **_list_ends(gap.interval)})
            rows.append({**at, "metric": CORRECTED, "value": corrected[probe], "count": gap.runs, "note": ""})
        return rows + self._compare_with_blind(one, all_, {**shared, "probe": PLAIN})

    def _compare(self, arms: Arms, probe: str) -> ProbeDifference | str:
        from harness_mllm.probe_arms import PLAIN
        from harness_mllm.probe_differences import measure_probe_difference

        arm, base = arms[probe], arms.get(PLAIN)
        if base is None:
            return "there is no record without a probe"
        if isinstance(arm, str) or isinstance(base, str):
            return arm if isinstance(arm, str) else str(base)
        pairs = [(arm[run], base[run]) for run in arm if run in base]
        return measure_probe_difference(pairs, self.level) if pairs else "no run was measured both ways"

    def _correct(self, differences: Mapping[str, ProbeDifference | str]) -> dict[str, float]:
        """Return the p-values after Holm's correction over the probes that could be compared."""
        from harness.statistics import holm

        raw = {probe: one.p for probe, one in differences.items() if not isinstance(one, str)}
        return dict(zip(raw, map(float, holm(list(raw.values()))), strict=True)) if raw else {}

    def _describe_arm(self, one: ReadGroup, probe: str) -> dict[str, Any]:
        import numpy as np

        runs = one.arms[probe]
        if isinstance(runs, str):
            return {"value": np.nan, "count": 0, "note": runs}
        means = [float(run.values.mean()) for run in runs.values()]
        value, number = float(np.mean(means)), float(np.mean(one.stated.get(probe, means)))
        # questions of more orders or prompts than others weigh more in the metric itself
        unequal = abs(value - number) > SAME_NUMBER
        note = f"each question counts once; over all answers it is {number:.4f}" if unequal else ""
        return {"value": value, "count": len(means), "note": note}

    def _compare_with_blind(
        self, one: ReadGroup, all_: list[ReadGroup], at: dict[str, Any]
    ) -> list[dict[str, Any]]:
        """Return the rows of the difference from the blind label on the same data set, if there is one."""
        from harness_mllm.probe_arms import PLAIN
        from harness_mllm.probe_differences import average_runs, measure_probe_difference

        if self.blind is None or one.group.label == self.blind:
            return []
        place = {name: str(value) for name, value in one.group.place.items()}
        others = [o for o in all_ if o.group.label == self.blind]
        other = next((o for o in others if {n: str(v) for n, v in o.group.place.items()} == place), None)
        sides = [group.arms.get(PLAIN) if group else None for group in (one, other)]
        averaged = [average_runs(list(s.values())) if isinstance(s, dict) else s for s in sides]
        found: ProbeDifference | str
        if averaged[0] is None or averaged[1] is None:
            found = f"{'it' if averaged[0] is None else self.blind} has no record without a probe here"
        elif isinstance(averaged[0], str) or isinstance(averaged[1], str):
            found = next(side for side in averaged if isinstance(side, str))
        else:
            found = measure_probe_difference([(averaged[0], averaged[1])], self.level)
        if isinstance(found, str):
            note = f"not compared with {self.blind}: {found}"
            return [{**at, "metric": FROM_BLIND, "value": float("nan"), "count": 0, "note": note}]
        counts = [len(side) for side in sides if isinstance(side, dict)]
        note = f"over {found.clusters} images"
        if max(counts) > 1:
            note += f", of the mean of {counts[0]} and {counts[1]} runs: it does not speak of further runs"
        gap = {"value": found.mean, "count": min(counts), "unit": one.unit, "note": note}
        return [
            {**at, "metric": FROM_BLIND, **gap, **_list_ends(found.interval)},
            {**at, "metric": P_FROM_BLIND, "value": found.p, "count": min(counts), "note": ""},
        ]

    def _say(self, verdict: str, reasons: list[str]) -> str:
        return f"{verdict}: {'; '.join(reasons)}" if reasons else verdict

    def _say_units(self, one: ReadGroup, probe: str, gap: ProbeDifference) -> str:
        """Return what the interval is over, and how many runs were not measured both ways."""
        from harness_mllm.probe_arms import PLAIN

        runs = f"{gap.runs} runs and " if gap.runs > 1 else ""
        said = f"over {runs}{gap.clusters} images ({gap.questions} questions)"
        lost = len(one.arms[probe]) + len(one.arms[PLAIN]) - 2 * gap.runs
        return (
            f"{said}; {lost} records of runs that were not measured both ways are left out" if lost else said
        )


def _list_ends(interval: Interval | None) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high} if interval else {}
