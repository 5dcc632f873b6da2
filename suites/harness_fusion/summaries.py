"""Summaries of fusion records: gains over the best unimodal, contributions, subsets, misses, the data's dirt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness.errors import did_you_mean
from harness_fusion.answers import MethodAnswers, find_unimodal_methods, read_answers

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from harness import Store

PLACES = ("experiment", "model", "dataset", "split", "augmentation")
"""Columns within whose values methods are compared."""


class GainOverUnimodal:
    """Accuracy and weighted F1 of each method compared with the best unimodal one, with paired tests.

    The best unimodal method has the highest weighted F1 on the reported part. Accuracies are compared
    on the same samples (means over seeds; McNemar's test for a single seed, else a permutation test), F1
    by a paired bootstrap over samples and seeds. p-values have Holm's correction within each data set,
    and a note marks significant gains.

    Args:
        unimodal: labels of the unimodal methods; by default those with the tag `kind = "unimodal"`.
        level: confidence of intervals, and 1 − the level of significance.
    """

    needs_store = True
    unit = None
    higher_is_better = None

    def __init__(self, unimodal: list[str] | None = None, level: float = 0.95) -> None:
        self.unimodal, self.level = unimodal, level

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `accuracy`, `Δ accuracy`, `p`, `weighted F1`, `Δ weighted F1` and `p (F1)` per method."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for place, part in _group_by_place(records):
            answers = read_answers(part, store)
            names = find_unimodal_methods(part, self.unimodal, answers)
            if not names:
                continue
            rows += self._compare(place, answers, names)
        return pd.DataFrame(rows, columns=[*_place_columns(records), "method", *_VALUES, "unit"])

    def _compare(
        self, place: dict[str, Any], answers: dict[str, MethodAnswers], names: Sequence[str]
    ) -> Iterable[dict[str, Any]]:
        from harness.statistics import paired_difference_interval, paired_test
        from harness.statistics.multiple import holm
        from harness_fusion.gains import compare_f1

        best = max(names, key=lambda name: answers[name].f1)
        base = answers[best]
        alike = (base.ids, base.seeds)
        others = [m for m, a in answers.items() if m != best and (a.ids, a.seeds) == alike]
        tests = {m: paired_test(answers[m].right.mean(0), base.right.mean(0)) for m in others}
        gains = {
            m: compare_f1(answers[m].predicted, base.predicted, base.targets, self.level) for m in others
        }
        p_accuracy = (
            dict(zip(others, holm([tests[m].p_value for m in others]), strict=True)) if others else {}
        )
        p_f1 = dict(zip(others, holm([gains[m].p_value for m in others]), strict=True)) if others else {}
        for method, own in answers.items():
            row = {**place, "method": method, "count": len(own.right)}
            share = {**row, "unit": "fraction"}
            note = f"the best unimodal method, the baseline of the others: {best}" if method == best else ""
            if method != best and method not in tests:
                note = f"not compared: {best} was run with other seeds or on other samples"
            yield {**share, "metric": "accuracy", "value": float(own.right.mean()), "note": note}
            if method in tests:
                between = paired_difference_interval(own.right.mean(0), base.right.mean(0), level=self.level)
                ends = {"low": between.low, "high": between.high} if between else {}
                yield {**share, "metric": "Δ accuracy", "value": round(tests[method].difference, 12), **ends}
                yield {**row, "metric": "p", "value": float(p_accuracy[method])}
            yield {**share, "metric": "weighted F1", "value": own.f1}
            if method in tests:
                gain = gains[method]
                ends = {"low": gain.low, "high": gain.high}
                yield {**share, "metric": "Δ weighted F1", "value": gain.difference, **ends}
                yield {
                    **row,
                    "metric": "p (F1)",
                    "value": float(p_f1[method]),
                    "note": self._describe_significance(gain, p_f1[method]),
                }

    def _describe_significance(self, gain: Any, p: float) -> str:
        if p > 1 - self.level:
            return ""
        return "significantly better" if gain.difference > 0 else "significantly worse"


class ModalityContribution:
    """The drop of a metric when a modality is removed at test time, and the method's weight of the text.

    A drop is whole − probed, paired by seed: a fusion that loses nothing when its images are shuffled
    does not use them. The mean weight of the text is given if the method has weights.

    Args:
        metric: the metric whose drop is measured.
        kinds: probes to include, in this order; by default all: shuffled, zeroed, averaged, missing.
    """

    unit = "fraction"
    higher_is_better = None

    def __init__(self, metric: str = "weighted_f1", kinds: list[str] | None = None) -> None:
        from harness_fusion.modality_probes import KINDS

        self.metric, self.kinds = metric, list(kinds or KINDS)
        for kind in self.kinds:
            if kind not in KINDS:
                raise OptionError(f"fusion-contribution: no probe '{kind}'{did_you_mean(kind, KINDS)}")

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return `whole`, `−MODALITY (PROBE)` for each probe, and `weight of text`, per method."""
        import pandas as pd

        if self.metric not in records:
            raise OptionError(
                f"fusion-contribution: no '{self.metric}'{did_you_mean(self.metric, map(str, records))}"
            )
        rows: list[dict[str, Any]] = []
        for place, part in _group_by_place(records):
            for method, own in part.groupby("method", sort=False):
                whole = own[self.metric]
                found = {"whole": whole}
                for kind in self.kinds:
                    for modality in ("text", "image"):
                        column = f"{self.metric}.{modality} {kind}"
                        if column in own:
                            found[f"−{modality} ({kind})"] = whole - own[column]
                if "share.text" in own:
                    found["weight of text"] = own["share.text"]
                rows += [
                    _average_over_seeds({**place, "method": method}, n, v.dropna()) for n, v in found.items()
                ]
        rows = [row for row in rows if row["count"]]
        return pd.DataFrame(rows, columns=[*_place_columns(records), "method", *_VALUES])


class SubsetAccuracy:
    """Accuracy on pairs whose modalities agree and on pairs whose modalities differ.

    There are two kinds of subsets: the data set's own (`conflict`, `missing text`, …), and whether the
    first two unimodal methods predict the same class with the same seed, which needs no annotation.
    Each subset's name includes its size.

    Args:
        unimodal: labels of the two unimodal methods; by default those with the tag `kind = "unimodal"`.
        groups: the data set's subsets to include, in this order; by default all.
    """

    needs_store = True
    unit = "fraction"
    higher_is_better = True

    def __init__(self, unimodal: list[str] | None = None, groups: list[str] | None = None) -> None:
        self.unimodal, self.groups = unimodal, groups

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `accuracy` by method and `subset`, with Student's interval over seeds."""
        import numpy as np
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for place, part in _group_by_place(records):
            answers = read_answers(part, store)
            names = find_unimodal_methods(part, self.unimodal, answers)
            for method, own in answers.items():
                for subset, inside in self._find_subsets(own, [answers[n] for n in names[:2]]).items():
                    right = [
                        r[i].mean() if i.any() else np.nan for r, i in zip(own.right, inside, strict=True)
                    ]
                    size = round(float(np.mean([i.sum() for i in inside])))
                    row = {**place, "method": method, "subset": f"{subset} ({size})"}
                    rows.append(_average_over_seeds(row, "accuracy", pd.Series(right).dropna()))
        return pd.DataFrame(rows, columns=[*_place_columns(records), "method", "subset", *_VALUES])

    def _find_subsets(
        self, own: MethodAnswers, unimodal: list[MethodAnswers]
    ) -> dict[str, list[NDArray[np.bool_]]]:
        seeds = len(own.right)
        told = self.groups if self.groups is not None else list(own.groups)
        found = {name.replace("_", " "): [own.groups[name]] * seeds for name in told if name in own.groups}
        if len(unimodal) == 2 and all(u.ids == own.ids and u.seeds == own.seeds for u in unimodal):
            same = unimodal[0].predicted == unimodal[1].predicted
            found |= {"unimodals agree": list(same), "unimodals differ": list(~same)}
        return found


class MissGroups:
    """Misses by group of pairs: the error rate of each group, or its share of all misses.

    Args:
        metric: `error`, the missed share of a group's pairs, or `share`, the group's share of all misses.
    """

    needs_store = True
    unit = "fraction"
    higher_is_better = False

    def __init__(self, metric: str = "error") -> None:
        if metric not in ("error", "share"):
            raise OptionError(f"fusion-misses: metric must be error or share, not '{metric}'")
        self.metric = metric

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return the metric by method and `group`, with Student's interval over seeds."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for place, part in _group_by_place(records):
            for method, own in part.groupby("method", sort=False):
                found: dict[str, list[float]] = {}
                for notes in _read_notes(own, store):
                    for group, facts in notes.get("misses", {}).get("groups", {}).items():
                        if facts[self.metric] is not None and facts["pairs"]:
                            name = f"{group} ({facts['pairs']})" if group != "other" else "other"
                            found.setdefault(name, []).append(facts[self.metric])
                for group, values in found.items():
                    row = {**place, "method": method, "group": group}
                    rows.append(_average_over_seeds(row, self.metric, pd.Series(values)))
        return pd.DataFrame(rows, columns=[*_place_columns(records), "method", "group", *_VALUES])


class DataDirt:
    """Faults of a data set's pairs and files by kind: their number and the first names."""

    needs_store = True
    unit = None
    higher_is_better = None

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `count` by data set and `kind`, with notes that name files or ids."""
        import pandas as pd

        from harness_fusion.data_reports import merge_kinds

        rows: list[dict[str, Any]] = []
        for dataset, part in records.groupby("dataset", sort=False):
            report: dict[str, Any] = next(
                (notes["data"] for notes in _read_notes(part, store) if notes.get("data")), {}
            )
            shared = {"model": "", "dataset": dataset, "metric": "count"}
            if "pairs" in report:
                rows.append({**shared, "kind": "pairs", "value": report["pairs"], "note": ""})
            for kind, facts in merge_kinds([report.get("kinds", {}), report.get("whole", {})]).items():
                names = ", ".join(map(str, facts["names"][:3]))
                more = ", …" if facts["count"] > 3 else ""
                note = f"{kind}: {names}{more}" if names else ""
                rows.append({**shared, "kind": kind, "value": facts["count"], "note": note})
        return pd.DataFrame(rows, columns=["model", "dataset", "kind", "metric", "value", "note"])


_VALUES = ("metric", "value", "low", "high", "count", "note")


def _place_columns(records: pd.DataFrame) -> list[str]:
    return [name for name in PLACES if name in records.columns]


def _group_by_place(records: pd.DataFrame) -> Iterable[tuple[dict[str, Any], pd.DataFrame]]:
    by = _place_columns(records)
    for key, part in records.groupby(by, sort=False, dropna=False):
        yield dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True)), part


def _read_notes(part: pd.DataFrame, store: Store) -> Iterable[dict[str, Any]]:
    for id in part["id"]:
        record = store.read(id)
        if record is not None:
            yield record.notes


def _average_over_seeds(row: dict[str, Any], metric: str, values: Any) -> dict[str, Any]:
    """Return a row with the mean over seeds and, if there are several, Student's interval."""
    import numpy as np

    from harness.statistics.intervals import t_interval

    numbers = [float(v) for v in values]
    interval = t_interval(numbers) if len(numbers) > 1 else None
    low, high = (interval.low, interval.high) if interval else (np.nan, np.nan)
    mean = float(np.mean(numbers)) if numbers else np.nan
    return {
        **row,
        "metric": metric,
        "value": mean,
        "low": low,
        "high": high,
        "count": len(numbers),
        "note": "",
    }
