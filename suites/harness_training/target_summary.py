"""The summary `time-to-target`: how many runs reach a held-out accuracy, and when those that do reach it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from harness import Store

QUANTITIES = ("epochs", "images", "seconds")
COORDINATES = ("experiment", "model", "dataset", "method")
OUTPUT = ("target", "metric", "value", "low", "high", "count", "note", "unit")


class TimeToTarget:
    """The share of runs that reach a held-out accuracy, and the median time of those that do.

    A time over successes alone rewards a recipe that fails often, so no time appears without the share of
    runs that it rests on (DAWNBench's entries tell only the former; Coleman et al. 2019, ACM SIGOPS 53:14).
    Shares have Wilson's interval. The time itself ends at the first evaluation that reaches the target, so
    it is as coarse as evaluations are apart. Runs that did not time the target are left out.

    Args:
        target: the accuracy as a fraction, one that the protocol timed; by default all of them.
        quantities: which times to show: `epochs`, `images`, `seconds`.
        within: axes or tags that separate configurations besides model, method and data set.
        seeds: number of runs that each configuration was planned with. Those without a record that is ok,
            such as diverged ones, then count as runs that never reach the target.
        level: confidence of the intervals.
    """

    needs_store = True
    unit = None
    higher_is_better = None
    titles: ClassVar[dict[str, str]] = {
        "reached": "Reached",
        "epochs": "Median epochs of those that reached it",
        "images": "Median images of those that reached it",
        "seconds": "Median training time of those that reached it (s)",
    }

    def __init__(
        self,
        target: float | None = None,
        quantities: list[str] | None = None,
        within: list[str] | None = None,
        seeds: int | None = None,
        level: float = 0.95,
    ) -> None:
        self.quantities = list(quantities or ("epochs", "seconds"))
        for name in self.quantities:
            if name not in QUANTITIES:
                raise OptionError(f"time-to-target: no quantity '{name}'{did_you_mean(name, QUANTITIES)}")
        if seeds is not None and seeds < 1:
            raise OptionError(f"time-to-target: expected seeds of at least 1, got {seeds}")
        self.target, self.within, self.seeds, self.level = target, list(within or []), seeds, level

    def __call__(self, records: pd.DataFrame, store: Store) -> pd.DataFrame:
        """Return `reached` and each quantity's median, by configuration and `target`."""
        import pandas as pd

        by = [*(c for c in COORDINATES if c in records), *self.within]
        for name in self.within:
            if name not in records:
                raise OptionError(
                    f"time-to-target: the records have no '{name}'{did_you_mean(name, map(str, records))}"
                )
        rows: list[dict[str, Any]] = []
        for target in self._find_targets(list(map(str, records))) if len(records) else []:
            timed = records[[_has_timed(row, target, store) for row in records.to_dict("records")]]
            groups = list(timed.groupby(by, sort=False, dropna=False)) if len(timed) else []
            most = max((len(part) for _, part in groups), default=0)
            for key, part in groups:
                at = dict(zip(by, key, strict=True))
                rows += [{**at, "target": target, **row} for row in self._measure(part, target, most)]
        return pd.DataFrame(rows, columns=[*dict.fromkeys((*COORDINATES, *by)), *OUTPUT])

    def _find_targets(self, columns: Sequence[str]) -> list[str]:
        """Return the targets as records write them; raise OptionError if there are none, or not the asked one."""
        first = f"{QUANTITIES[0]}_to."
        known = [c.removeprefix(first) for c in columns if c.startswith(first)]
        if self.target is None and known:
            return known
        found = [name for name in known if self.target is not None and float(name) == self.target]
        if not found:
            listed = f"they timed {', '.join(known)}" if known else "they timed none"
            asked = "a target" if self.target is None else f"the target {self.target:g}"
            raise OptionError(f"time-to-target: the records have not timed {asked}: {listed}")
        return found

    def _measure(self, part: pd.DataFrame, target: str, most: int) -> list[dict[str, Any]]:
        import numpy as np

        from harness.statistics import wilson_interval

        hits, ran = int(part[f"epochs_to.{target}"].notna().sum()), len(part)
        runs = max(ran, self.seeds or 0)
        share = wilson_interval(hits, runs, self.level)
        told = f"{hits} of {runs} runs reached {target}"
        if runs > ran:
            told += f"; {runs - ran} without a finished run count as never"
        elif self.seeds is None and ran < most:
            told += (
                f"; other configurations have {most} runs: those that diverged or failed are in no count here"
            )
        ends = {"low": share.low, "high": share.high}
        rows = [
            {
                "metric": "reached",
                "value": hits / runs,
                "count": runs,
                "unit": "fraction",
                "note": told,
                **ends,
            }
        ]
        censored = f"{told}; the others never did in {_describe_budget(part)}" if hits < runs else ""
        for name in self.quantities:
            column = f"{name}_to.{target}"
            times = part[column].dropna().to_numpy(dtype=float) if column in part else np.empty(0)
            value = float(np.median(times)) if len(times) else np.nan
            rows.append(
                {"metric": name, "value": value, "count": len(times), "unit": "cost", "note": censored}
            )
        return rows


def _has_timed(row: Mapping[Any, Any], target: str, store: Store) -> bool:
    """Return whether a run timed the target: a number that is missing in the frame may also mean never reached."""
    name = f"epochs_to.{target}"
    if row[name] == row[name]:
        return True
    record = store.read(str(row["id"]))
    return record is not None and name in record.metrics


def _describe_budget(part: pd.DataFrame) -> str:
    """Return for how long the runs trained at most, in epochs if they are recorded."""
    for name in ("epochs", "steps"):
        if name in part and part[name].notna().any():
            return f"{float(part[name].max()):g} {name}"
    return "their training"
