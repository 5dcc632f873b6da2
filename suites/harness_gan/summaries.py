"""The summary `gan-stability`: how a configuration does over its seeds, including failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import HarnessError, OptionError
from harness.errors import did_you_mean
from harness_gan.verdicts import VERDICTS

if TYPE_CHECKING:
    import pandas as pd

COORDINATES = ("experiment", "model", "dataset", "method")
EQUAL = ".equal_evaluations"


class GanStability:
    """Median, interquartile range and worst value of each metric over seeds, and rates of verdicts.

    Rates have Wilson intervals. Every seed counts, whatever its verdict; footnotes report fewer seeds
    than `least`, seeds without numbers because their run failed, and the thresholds of the verdicts.

    Args:
        metrics: names of metrics, as in tables; a metric of several numbers ("frechet") selects all but
            its floors, each by its full name with extractor and sample counts.
        rates: verdicts whose share of the seeds to show.
        equal_evaluations: show metrics and verdicts at equal gradient evaluations, not equal generator steps.
        lower: those of `metrics` for which lower is better, so that the largest value is the worst.
        level: confidence of the Wilson intervals.
        least: number of seeds below which a footnote says so.
    """

    def __init__(
        self,
        metrics: list[str] | None = None,
        rates: list[str] | None = None,
        equal_evaluations: bool = False,
        lower: list[str] | None = None,
        level: float = 0.95,
        least: int = 5,
    ) -> None:
        self.metrics = list(metrics or [])
        self.rates = list(rates) if rates is not None else ["healthy", "collapsed", "diverged"]
        for name in self.rates:
            if name not in VERDICTS:
                raise OptionError(f"gan-stability: no verdict '{name}'{did_you_mean(name, VERDICTS)}")
        self.lower = set(lower or [])
        if unknown := self.lower - set(self.metrics):
            raise OptionError(f"gan-stability: lower names '{min(unknown)}', which is not one of its metrics")
        self.equal_evaluations, self.level, self.least = equal_evaluations, level, least

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows `<metric> median`, `IQR` and `worst`, and `<verdict> rate`, per configuration."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        columns = [found for name in self.metrics for found in self._find_columns(name, records)]
        by = [c for c in COORDINATES if c in records.columns]
        for key, part in records.groupby(by, sort=False, dropna=False):
            at = dict(zip(by, key, strict=True))
            note = self._build_note(part)
            for shown, column, lower in columns:
                values = part[column].dropna().to_numpy(dtype=float)
                rows += [{**at, **row, "note": note} for row in self._spread_rows(shown, values, lower)]
            rows += [{**at, **self._rate_row(name, part), "note": note} for name in self.rates]
        return pd.DataFrame(rows, columns=[*by, "metric", "value", "low", "high", "count", "note"])

    def _find_columns(self, name: str, records: pd.DataFrame) -> list[tuple[str, str, bool]]:
        """Return for each number of a metric its shown name, its column, and whether lower is better."""
        suffix = EQUAL if self.equal_evaluations else ""
        lower = name in self.lower
        if name + suffix in records.columns:
            return [(name, name + suffix, lower)]
        known = {str(c): str(c).removesuffix(suffix) for c in records.columns if str(c).endswith(suffix)}
        if not suffix:
            known = {c: shown for c, shown in known.items() if not c.endswith(EQUAL)}
        found = [
            (shown, column, lower)
            for column, shown in known.items()
            if shown.startswith(f"{name}.") and not shown.endswith("floor") and records[column].notna().any()
        ]
        if not found:
            raise HarnessError(f"no record has the metric '{name}'{did_you_mean(name, known.values())}")
        return found

    def _spread_rows(self, name: str, values: Any, lower: bool) -> list[dict[str, Any]]:
        import numpy as np

        if not len(values):
            return []
        quartiles = np.quantile(values, [0.25, 0.75])
        count = len(values)
        worst = float(values.max() if lower else values.min())
        return [
            {"metric": f"{name} median", "value": float(np.median(values)), "count": count},
            {"metric": f"{name} IQR", "value": float(quartiles[1] - quartiles[0]), "count": count},
            {"metric": f"{name} worst", "value": worst, "count": count},
        ]

    def _rate_row(self, name: str, part: pd.DataFrame) -> dict[str, Any]:
        from harness.statistics.intervals import wilson_interval

        column = name + EQUAL if self.equal_evaluations else name
        hits = part[column].dropna() if column in part.columns else part.iloc[:, 0].iloc[:0]
        n = len(hits)
        if n == 0:
            return {"metric": f"{name} rate", "value": float("nan"), "count": 0}
        interval = wilson_interval(int(hits.sum()), n, self.level)
        return {
            "metric": f"{name} rate",
            "value": float(hits.mean()),
            "low": interval.low,
            "high": interval.high,
            "count": n,
        }

    def _build_note(self, part: pd.DataFrame) -> str:
        lines = []
        if len(part) < self.least:
            lines.append(f"only {len(part)} of at least {self.least} seeds")
        if "status" in part.columns:
            lost = part[~part["status"].isin(["ok", "diverged"])]
            for status, count in lost["status"].value_counts().items():
                lines.append(f"{count} of {len(part)} seeds {status}, without numbers")
        if (limits := extract_thresholds(list(part.get("reason", [])))) is not None:
            lines.append(f"thresholds of the verdicts: {limits}")
        return "; ".join(lines)


def extract_thresholds(reasons: Sequence[Any]) -> str | None:
    """Return the distinct thresholds that the records' reasons end with, joined, or None."""
    found = [str(r).partition("; thresholds: ")[2] for r in reasons]
    return " | ".join(dict.fromkeys(f for f in found if f)) or None
