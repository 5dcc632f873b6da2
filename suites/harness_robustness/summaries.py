"""Summaries of robustness records: gap, mean over shifts, effective and relative robustness.

Each takes a table of records (see `harness_robustness.shift_tables`) and returns a long table with the
columns `shift_tables.OUTPUT`; all values are fractions.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness import OptionError

if TYPE_CHECKING:
    import pandas as pd

Scale = Literal["logit", "probit", "linear"]
MEAN = "mean over shifts"


class GapSummary:
    """Accuracy gap Δ = metric on the reference (same classes) − metric on the shift.

    One row per shift and one for their mean. The interval is over seeds, paired by seed.

    Args:
        metric: the accuracy, or another metric, on reference and shift.
        corruptions: whether corrupted data sets count as shifts, too.
    """

    titles: ClassVar = {"gap": "Accuracy lost"}
    takes_published = True
    unit = "fraction"
    higher_is_better = False

    def __init__(self, metric: str = "top1", corruptions: bool = False) -> None:
        self.metric, self.corruptions = metric, corruptions

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the metric `gap`; NaN with a note if the reference cell is missing."""
        import numpy as np

        from harness_robustness.gaps import accuracy_gap
        from harness_robustness.shift_tables import (
            average_seeds,
            iterate_shift_rows,
            make_shift_row,
            make_shift_table,
            pair_with_references,
            seed_interval,
        )

        pairs = pair_with_references(average_seeds(records, self.metric), self.corruptions)
        rows = []
        for cell in iterate_shift_rows(pairs):
            if np.isnan(cell.reference_value):
                rows.append(
                    make_shift_row(
                        cell, "gap", np.nan, count=0, note=f"no cell on the reference {cell.reference!r}"
                    )
                )
                continue
            paired = [cell.reference_seeds[s] - v for s, v in cell.seeds.items() if s in cell.reference_seeds]
            value = float(accuracy_gap(cell.reference_value, cell.value))
            rows.append(make_shift_row(cell, "gap", value, seed_interval(paired), count=2))
        return make_shift_table(rows + _mean_rows(rows, pairs, "gap"))


class MeanOverShifts:
    """The mean of a metric over the shifts, each with the same weight whatever its size.

    The interval is over seeds, of the means within each seed that has every shift of the model.

    Args:
        metric: the averaged metric.
        corruptions: whether corrupted data sets count as shifts, too.
    """

    takes_published = True
    unit = "fraction"
    higher_is_better = True

    def __init__(self, metric: str = "top1", corruptions: bool = False) -> None:
        self.metric, self.corruptions = metric, corruptions

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return one row per model, named as the metric; the note lists missing shifts."""
        import numpy as np

        from harness_robustness.shift_tables import (
            average_seeds,
            iterate_shift_rows,
            make_shift_row,
            make_shift_table,
            note_missing,
            pair_with_references,
            seed_interval,
        )

        pairs = pair_with_references(average_seeds(records, self.metric), self.corruptions)
        rows = []
        expected = list(dict.fromkeys(pairs["dataset"]))
        by_model: dict[tuple[Any, Any], list[Any]] = {}
        for cell in iterate_shift_rows(pairs):
            by_model.setdefault((cell.model, cell.method), []).append(cell)
        for part in by_model.values():
            common = set.intersection(*(set(c.seeds) for c in part))
            per_seed = [np.mean([c.seeds[seed] for c in part]) for seed in sorted(common)]
            note = note_missing([c.dataset for c in part], expected, "shifts")
            value = float(np.mean([c.value for c in part]))
            rows.append(
                make_shift_row(
                    part[0], self.metric, value, seed_interval(per_seed), len(part), note, dataset=MEAN
                )
            )
        return make_shift_table(rows)


class RelativeRobustnessSummary:
    """Relative robustness τ: metric on a shift − the same metric of the model it was derived from.

    The interval is over seeds, paired by seed.

    Args:
        baseline: one model's name for all; by default each model's own `tag.model.baseline`.
        metric: the accuracy, or another metric, on the shift.
        corruptions: whether corrupted data sets count as shifts, too.
    """

    titles: ClassVar = {"relative_robustness": "Relative robustness"}
    unit = "fraction"
    higher_is_better = True

    def __init__(self, baseline: str | None = None, metric: str = "top1", corruptions: bool = False) -> None:
        self.baseline, self.metric, self.corruptions = baseline, metric, corruptions

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the metric `relative_robustness`, per shift and for their mean."""
        import numpy as np
        import pandas as pd

        from harness.errors import did_you_mean
        from harness_robustness.effective_robustness import relative_robustness
        from harness_robustness.shift_tables import (
            average_seeds,
            iterate_shift_rows,
            make_shift_row,
            make_shift_table,
            pair_with_references,
            seed_interval,
        )

        tag = "tag.model.baseline"
        pairs = pair_with_references(average_seeds(records, self.metric, also=[tag]), self.corruptions)
        if self.baseline is not None:
            pairs = pairs.assign(**{tag: self.baseline})
        by_cell: dict[tuple[Any, Any], list[Any]] = {}
        for cell in iterate_shift_rows(pairs):
            by_cell.setdefault((cell.model, cell.dataset), []).append(cell)
        models = set(pairs["model"])
        rows = []
        for cell, baseline in zip(iterate_shift_rows(pairs), pairs[tag]):
            if pd.isna(baseline) or cell.model == baseline:
                continue
            found = by_cell.get((baseline, cell.dataset), [])
            same = [c for c in found if c.method == cell.method] or found
            if len(same) != 1:
                known = did_you_mean(str(baseline), models) if baseline not in models else ""
                why = f"{len(same) or 'no'} cells of the baseline {baseline!r} on {cell.dataset!r}{known}"
                rows.append(make_shift_row(cell, "relative_robustness", np.nan, count=0, note=why))
                continue
            other = same[0]
            paired = [v - other.seeds[s] for s, v in cell.seeds.items() if s in other.seeds]
            value = float(relative_robustness(cell.value, other.value)) / 100
            rows.append(make_shift_row(cell, "relative_robustness", value, seed_interval(paired), count=2))
        return make_shift_table(rows + _mean_rows(rows, pairs, "relative_robustness"))


class EffectiveRobustnessSummary:
    """Effective robustness ρ: metric on a shift minus the metric predicted for standard models of that accuracy.

    The line is fitted to the models tagged `standard` (`tag.model.standard`) only, never to the evaluated
    ones; its interval is from bootstraps over the standard models, without the sampling error of the model's
    own accuracy. ρ of a standard model is its residual.

    Args:
        metric: the accuracy, a fraction, on reference and shift.
        scale: scale of the fit: `logit`, `probit` (both clip 0 and 1) or `linear`.
        minimum: minimum accuracy on the reference, a fraction, of the standard models in the fit.
        resamples: number of bootstraps.
        level: confidence of the interval, in (0, 1).
        seed: seed of the bootstraps.
        corruptions: whether corrupted data sets count as shifts, too.
        bends: for a shift's label, the accuracy on the reference at which the line bends: models below and
            above have separate lines. Taori et al. fit ImageNet-A this way, since it was filtered against
            ResNet-50, at that model's accuracy of 0.9186.
    """

    titles: ClassVar = {"effective_robustness": "Effective robustness"}
    takes_published = True
    unit = "fraction"
    higher_is_better = True

    def __init__(
        self,
        metric: str = "top1",
        scale: Scale = "logit",
        minimum: float = 0.0,
        resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
        corruptions: bool = False,
        bends: dict[str, float] | None = None,
    ) -> None:
        if scale not in ("logit", "probit", "linear"):
            raise OptionError(f"effective robustness: scale must be logit, probit or linear, got {scale!r}")
        self.metric, self.scale, self.minimum, self.corruptions = metric, scale, minimum, corruptions
        self.resamples, self.level, self.seed = resamples, level, seed
        self.bends = bends or {}

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows of the metric `effective_robustness`, per shift and for their mean.

        `count` is the number of standard models in the fit; the value is NaN, with a note, if fewer than two
        of them (at or above `minimum`) differ in reference accuracy.
        """
        from harness_robustness.shift_tables import average_seeds, make_shift_table, pair_with_references

        pairs = pair_with_references(average_seeds(records, self.metric, ["published"]), self.corruptions)
        rows: list[dict[str, Any]] = []
        for cells_of, standard, which in self._iterate_lines(pairs):
            rows += self._compare_with_line(cells_of, standard, which)
        return make_shift_table(rows + _mean_rows(rows, pairs, "effective_robustness"))

    def iterate_lines(self, records: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame, str]]:
        """Yield each shift's name, the standard models of its line, and which line that is."""
        from harness_robustness.shift_tables import average_seeds, pair_with_references

        pairs = pair_with_references(average_seeds(records, self.metric, ["published"]), self.corruptions)
        for cells_of, standard, which in self._iterate_lines(pairs):
            if len(cells_of):
                yield str(cells_of["dataset"].iloc[0]), standard, which

    def _iterate_lines(self, pairs: pd.DataFrame) -> Iterator[tuple[pd.DataFrame, pd.DataFrame, str]]:
        """Yield the cells, the line's standard models and the line's name for each line of every shift."""
        from harness_robustness.shift_tables import STANDARD, is_true

        for dataset, part in pairs.groupby("dataset", sort=False):
            usable = part[part["reference_value"].notna()]
            chosen = usable[usable[STANDARD].map(is_true) & (usable["reference_value"] >= self.minimum)]
            yield from self._split_at_bend(part, chosen, self.bends.get(str(dataset)))

    def _split_at_bend(
        self, part: pd.DataFrame, chosen: pd.DataFrame, bend: float | None
    ) -> list[tuple[pd.DataFrame, pd.DataFrame, str]]:
        """Return (cells, the line's standard models, the line's name) below and above the bend, or for the one line.

        Standard models exactly at the bend enter neither fit and are compared with the lower line.
        """
        if bend is None:
            return [(part, chosen, "")]
        at = chosen["reference_value"]
        low, high = chosen[at < bend], chosen[at > bend]
        if min(low["reference_value"].nunique(), high["reference_value"].nunique()) < 2:
            return [(part, chosen, f" without the bend at {bend:.4g}, which needs two on each side")]
        above = part["reference_value"] > bend
        return [(part[~above], low, f" up to {bend:.4g}"), (part[above], high, f" above {bend:.4g}")]

    def _compare_with_line(
        self, part: pd.DataFrame, chosen: pd.DataFrame, which: str
    ) -> list[dict[str, Any]]:
        """Return the rows of one shift's cells compared with the line of the standard models `chosen`."""
        import numpy as np

        from harness_robustness.effective_robustness import bootstrap_line_interval, fit_line
        from harness_robustness.shift_tables import iterate_shift_rows, make_shift_row

        x, y = chosen["reference_value"].to_numpy(), chosen["value"].to_numpy()
        if len(np.unique(x)) < 2:
            why = f"no line: {len(x)} standard models with different reference accuracies, needs two"
            return [
                make_shift_row(c, "effective_robustness", np.nan, count=len(x), note=why)
                for c in iterate_shift_rows(part)
            ]
        usable = part[part["reference_value"].notna()]
        line = fit_line(x, y, self.scale)
        low, high = bootstrap_line_interval(
            x, y, usable["reference_value"], self.scale, self.resamples, self.level, self.seed
        )
        where = {index: i for i, index in enumerate(usable.index)}
        published = sum(isinstance(name, str) and name != "" for name in chosen["published"])
        from_others = f", {published} of them published" if published else ""
        rows = []
        for cell in iterate_shift_rows(part):
            if np.isnan(cell.reference_value):
                why = f"no cell on the reference {cell.reference!r}"
                rows.append(make_shift_row(cell, "effective_robustness", np.nan, count=len(x), note=why))
                continue
            i = where[cell.Index]
            value = float(line.effective_robustness(cell.reference_value, cell.value)) / 100
            interval = (float(cell.value - high[i]), float(cell.value - low[i]))
            among = ", this one among them" if cell.Index in chosen.index else ""
            note = f"line over {len(x)} standard models{from_others}{which}{among}"
            rows.append(make_shift_row(cell, "effective_robustness", value, interval, len(x), note))
        return rows


def _mean_rows(rows: list[dict[str, Any]], pairs: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Return one row per model with the mean of its `rows` over shifts, noting missing shifts."""
    import numpy as np

    from harness_robustness.shift_tables import make_shift_row, note_missing

    expected = list(dict.fromkeys(pairs["dataset"]))
    by_model: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for given in rows:
        by_model.setdefault((given["model"], given["method"]), []).append(given)
    out = []
    for (model, method), part in by_model.items():
        there = [given for given in part if not np.isnan(given["value"])]
        value = float(np.mean([given["value"] for given in there])) if there else np.nan
        note = note_missing([given["dataset"] for given in there], expected, "shifts")
        cell = SimpleNamespace(model=model, method=method)
        out.append(make_shift_row(cell, metric, value, count=len(there), note=note, dataset=MEAN))
    return out
