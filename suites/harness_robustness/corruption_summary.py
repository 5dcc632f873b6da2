"""The summary `corruption-error`: corruption errors, mCE and relative mCE against a normaliser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import pandas as pd

ByCorruption = Mapping[str, Mapping[Any, float]]
"""Error by corruption and severity."""

ALL_SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0)


class CorruptionErrorSummary:
    """Corruption error per corruption, mCE and relative mCE against a normaliser, in percent.

    Corrupted data sets are grouped by the reference in their tags.

    Args:
        normaliser: `alexnet` (its published errors, meaningful on ImageNet-C only) or the name of a model in
            the records, whose own mCE is then 100.
        metric: the accuracy, a fraction; the error is 1 − accuracy.
    """

    titles: ClassVar = {
        "mce": "mCE",
        "relative_mce": "Relative mCE",
        "ce": "CE",
        "mean_corruption_error": "Mean error",
    }
    takes_published = True
    unit = "percent"
    higher_is_better = False

    def __init__(self, normaliser: str = "alexnet", metric: str = "top1") -> None:
        self.normaliser, self.metric = normaliser, metric

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows `ce` per corruption, and `mce`, `relative_mce`, `mean_corruption_error` per reference.

        A model without one of the normaliser's corruptions or severities gets NaN and a note, since its mean
        would not be comparable. Corruptions that the normaliser lacks are left out and noted.
        `mean_corruption_error` is the plain mean error over all of the model's cells, as for CIFAR-10-C.
        """
        from harness_robustness.shift_tables import (
            CORRUPTION,
            average_seeds,
            make_shift_table,
            pair_with_references,
        )

        pairs = pair_with_references(average_seeds(records, self.metric), corruptions=True)
        pairs = pairs[pairs[CORRUPTION].notna()]
        rows: list[dict[str, Any]] = []
        for reference, group in pairs.groupby("reference", sort=False):
            models = [part for _, part in group.groupby(["model", "method"], sort=False)]
            against, clean, problem = self._find_normaliser(models)
            expected = list(dict.fromkeys(group["dataset"]))
            for part in models:
                rows += self._model_rows(part, str(reference), against, clean, problem, expected)
        return make_shift_table(rows)

    def _find_normaliser(self, models: list[pd.DataFrame]) -> tuple[ByCorruption, float, str]:
        """Return the normaliser's errors and clean error, and the problem with it (empty: none)."""
        from harness.errors import did_you_mean
        from harness_robustness.corruption_errors import ALEXNET_CLEAN_ERROR, ALEXNET_ERROR

        if self.normaliser == "alexnet":
            # The published figure is the mean over all severities; repeated for each, it leaves the sums the same.
            errors = {name: dict.fromkeys(ALL_SEVERITIES, e) for name, e in ALEXNET_ERROR.items()}
            return errors, ALEXNET_CLEAN_ERROR, ""
        found = [part for part in models if part["model"].iloc[0] == self.normaliser]
        if len(found) != 1:
            tail = "" if found else did_you_mean(self.normaliser, {p["model"].iloc[0] for p in models})
            return {}, float("nan"), f"{len(found) or 'no'} cells of the normaliser {self.normaliser!r}{tail}"
        return _collect_errors(found[0]), 1.0 - float(found[0]["reference_value"].iloc[0]), ""

    def _model_rows(
        self,
        part: pd.DataFrame,
        reference: str,
        against: ByCorruption,
        against_clean: float,
        problem: str,
        expected: Sequence[str],
    ) -> list[dict[str, Any]]:
        """Return the rows of one model on the corruptions of one reference."""
        import numpy as np

        from harness_robustness.corruption_errors import corruption_errors, mean_corruption_error
        from harness_robustness.shift_tables import make_shift_row, note_missing

        cell, errors = next(part.itertuples()), _collect_errors(part)
        name, clean = f"corruptions of {reference}", 1.0 - float(part["reference_value"].iloc[0])
        whole = 100.0 * (1.0 - float(part["value"].mean()))
        note = note_missing(part["dataset"], expected, "corrupted sets")
        rows = [
            make_shift_row(cell, "mean_corruption_error", whole, count=len(part), note=note, dataset=name)
        ]

        used = {c: e for c, e in errors.items() if c in against}
        extra = sorted(set(errors) - set(against))
        count = sum(len(e) for e in used.values())
        if not problem and len(part) > sum(map(len, errors.values())):
            problem = "not comparable: several data sets have the same corruption and severity"
        problem = problem or _describe_differences(used, against)
        if problem:
            none = [
                make_shift_row(cell, m, np.nan, count=count, note=problem, dataset=name)
                for m in ("mce", "relative_mce")
            ]
            return rows + none
        note = f"without {', '.join(extra)}, which the normaliser lacks" if extra else ""
        ours = {c: list(e.values()) for c, e in used.items()}
        theirs = {c: [against[c][s] for s in used[c]] for c in used}
        mce = mean_corruption_error(ours, theirs)
        rows.append(make_shift_row(cell, "mce", mce, count=count, note=note, dataset=name))
        if np.isfinite(clean) and np.isfinite(against_clean):
            relative, without = _relative_mce(ours, clean, theirs, against_clean)
            why = f"without {', '.join(without)}, to which the normaliser loses nothing" if without else ""
        else:
            relative, without, why = np.nan, [], f"no clean error on {reference!r}"
        why = "; ".join(filter(None, (note, why)))
        rest = count - sum(len(used[c]) for c in without)
        rows.append(make_shift_row(cell, "relative_mce", relative, count=rest, note=why, dataset=name))
        ratios = corruption_errors(ours, theirs)
        return rows + [
            make_shift_row(cell, "ce", v, count=len(used[c]), dataset=c) for c, v in ratios.items()
        ]


def _relative_mce(
    ours: Mapping[str, list[float]], clean: float, theirs: Mapping[str, list[float]], theirs_clean: float
) -> tuple[float, list[str]]:
    """Return relative mCE over the corruptions that cost the normaliser something, and the names of the others."""
    from harness_robustness.corruption_errors import harmless_corruptions, relative_mean_corruption_error

    without = harmless_corruptions(theirs, theirs_clean)
    if len(without) == len(theirs):
        return float("nan"), without
    ours, theirs = ({c: e for c, e in side.items() if c not in without} for side in (ours, theirs))
    return relative_mean_corruption_error(ours, clean, theirs, theirs_clean), without


def _collect_errors(part: pd.DataFrame) -> dict[str, dict[Any, float]]:
    """Return one model's errors by corruption and severity."""
    from harness_robustness.shift_tables import CORRUPTION, SEVERITY

    out: dict[str, dict[Any, float]] = {}
    for corruption, severity, value in zip(part[CORRUPTION], part[SEVERITY].astype(float), part["value"]):
        out.setdefault(str(corruption), {})[severity] = 1.0 - float(value)
    return out


def _describe_differences(errors: ByCorruption, against: ByCorruption) -> str:
    """Return how a model's corruptions and severities differ from the normaliser's; empty if they agree."""
    missing = [c for c in against if c not in errors]
    if missing:
        return f"not comparable: no cells for {', '.join(missing)}"
    for name, theirs in against.items():
        if set(errors[name]) != set(theirs):
            ours, normal = (", ".join(f"{s:g}" for s in sorted(e)) for e in (errors[name], theirs))
            return f"not comparable: {name} at severities {ours}, not {normal}"
    return ""
