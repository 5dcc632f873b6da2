"""The summary `corrupted-detection`: what is left of a detector's numbers on corrupted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError, did_you_mean
from harness_data.corrupted import MOVING

if TYPE_CHECKING:
    import pandas as pd


KEY = ("model", "method", "dataset")
OUTPUT = (*KEY, "metric", "value", "count", "note")
REFERENCE, CORRUPTION, SEVERITY = (f"tag.dataset.{tag}" for tag in ("reference", "corruption", "severity"))

SEVERITIES = (1.0, 2.0, 3.0, 4.0, 5.0)


class CorruptedDetection:
    """Mean performance under corruption (mPC), and its share of the clean one (rPC = mPC / clean).

    After Michaelis et al. 2019, "Benchmarking Robustness in Object Detection": the mean over 15 corruptions and 5
    severities, severities first. `mpc_still` and `rpc_still` leave out the corruptions that move pixels, whose boxes
    stay where they were.

    Args:
        metric: the number that is averaged.
        severities: those that count; by default all five.
    """

    titles: ClassVar = {
        "clean": "Clean",
        "mpc": "mPC",
        "rpc": "rPC",
        "mpc_still": "mPC without moved pixels",
        "rpc_still": "rPC without moved pixels",
    }
    unit = "fraction"
    higher_is_better = True

    def __init__(self, metric: str = "coco-ap.AP", severities: list[int] | None = None) -> None:
        self.metric = metric
        self.severities = SEVERITIES if severities is None else tuple(map(float, severities))
        if not self.severities or not set(self.severities) <= set(SEVERITIES):
            raise OptionError(f"corrupted-detection: severities must be from 1 to 5, not {severities}")

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return rows `clean`, `mpc`, `rpc`, `mpc_still` and `rpc_still` for each model, method and clean data set.

        What is missing of the benchmark's 15 corruptions and of the severities is noted, since the means then are not
        comparable with others'.
        """
        import pandas as pd

        cells = _average_seeds(records, self.metric)
        clean = {(c["model"], c["method"], c["dataset"]): c["value"] for c in cells}
        groups: dict[tuple[str, str, str], dict[str, dict[float, float]]] = {}
        for cell in cells:
            if pd.notna(cell[CORRUPTION]) and float(cell[SEVERITY]) in self.severities:
                key = cell["model"], cell["method"], str(cell[REFERENCE])
                values = groups.setdefault(key, {}).setdefault(str(cell[CORRUPTION]), {})
                values[float(cell[SEVERITY])] = cell["value"]
        rows = [row for key, values in groups.items() for row in self._summarise(key, clean.get(key), values)]
        return pd.DataFrame(rows, columns=list(OUTPUT))

    def _summarise(
        self, key: tuple[str, str, str], clean: float | None, values: Mapping[str, Mapping[float, float]]
    ) -> list[dict[str, Any]]:
        from harness_data.corruptions.constants import CORRUPTIONS

        def make_row(metric: str, value: float, count: int, note: str) -> dict[str, Any]:
            return dict(zip(OUTPUT, (*key, metric, value, count, note), strict=True))

        nan = float("nan")
        missing = "" if clean is not None else f"no clean number on '{key[2]}'"
        rows = [make_row("clean", nan if clean is None else clean, 1, missing)]
        for suffix, left_out in (("", ()), ("_still", MOVING)):
            wanted = [name for name in CORRUPTIONS if name not in left_out]
            used = {name: values[name] for name in wanted if name in values}
            note = describe_gaps(used, wanted, self.severities)
            mean, count = average_corruptions(used), sum(map(len, used.values()))
            share = mean / clean if clean else nan
            rows.append(make_row(f"mpc{suffix}", mean, count, note))
            rows.append(make_row(f"rpc{suffix}", share, count, "; ".join(filter(None, (missing, note)))))
        return rows


def _average_seeds(records: pd.DataFrame, metric: str) -> list[dict[str, Any]]:
    """Return a mapping per model, method and data set: its tags, and the mean of the metric over seeds as `value`.

    Raises OptionError if there are records, but none with such a metric.
    """
    if records.empty:
        return []
    if metric not in records:
        known = [c for c in records.select_dtypes("number").columns if c != "seed"]
        raise OptionError(
            f"corrupted-detection: the records have no metric '{metric}'{did_you_mean(metric, known)}"
        )
    table = records.reindex(columns=[*KEY, "status", metric, REFERENCE, CORRUPTION, SEVERITY])
    table = table[table[metric].notna() & table["status"].isin(["ok"])]
    table = table.assign(method=table["method"].astype(object).where(table["method"].notna(), ""))
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in table.to_dict("records"):
        cell = found.setdefault(
            tuple(row[name] for name in KEY),
            {"values": [], **{str(name): value for name, value in row.items()}},
        )
        cell["values"].append(float(row[metric]))
    return [cell | {"value": sum(cell["values"]) / len(cell["values"])} for cell in found.values()]


def average_corruptions(values: Mapping[str, Mapping[float, float]]) -> float:
    """Return the mean over corruptions of the mean over severities; NaN for none."""
    if not values:
        return float("nan")
    return sum(sum(one.values()) / len(one) for one in values.values()) / len(values)


def describe_gaps(
    values: Mapping[str, Mapping[float, float]], wanted: Sequence[str], severities: Sequence[float]
) -> str:
    """Return what is missing of the wanted corruptions and severities, in words; empty if nothing is."""
    said = []
    if missing := [name for name in wanted if name not in values]:
        shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
        said.append(f"over {len(values)} of {len(wanted)} corruptions, without {shown}")
    if short := [name for name, one in values.items() if len(one) < len(severities)]:
        said.append(f"not all severities of {', '.join(short[:3])}{', …' if len(short) > 3 else ''}")
    if len(severities) < len(SEVERITIES):
        said.append(f"severities {', '.join(f'{s:g}' for s in severities)} only")
    return "; ".join(said)
