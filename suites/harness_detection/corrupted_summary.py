"""The summary `corrupted-detection`: what is left of a detector's numbers on corrupted images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from harness import OptionError
from harness_data.corrupted import MOVING

if TYPE_CHECKING:
    import pandas as pd


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
        from harness_robustness.shift_tables import (
            CORRUPTION,
            SEVERITY,
            average_seeds,
            make_shift_table,
            pair_with_references,
        )

        pairs = pair_with_references(average_seeds(records, self.metric), corruptions=True)
        pairs = pairs[pairs[CORRUPTION].notna()]
        pairs = pairs[pairs[SEVERITY].astype(float).isin(self.severities)]
        rows: list[dict[str, Any]] = []
        for _, part in pairs.groupby(["reference", "model", "method"], sort=False):
            values: dict[str, dict[float, float]] = {}
            for name, severity, value in zip(part[CORRUPTION], part[SEVERITY], part["value"]):
                values.setdefault(str(name), {})[float(severity)] = float(value)
            rows += self._summarise(next(part.itertuples()), values)
        return make_shift_table(rows)

    def _summarise(self, cell: Any, values: Mapping[str, Mapping[float, float]]) -> list[dict[str, Any]]:
        from harness_data.corruptions.constants import CORRUPTIONS
        from harness_robustness.shift_tables import make_shift_row

        clean, reference = float(cell.reference_value), str(cell.reference)
        rows = [make_shift_row(cell, "clean", clean, dataset=reference)]
        for suffix, left_out in (("", ()), ("_still", MOVING)):
            wanted = [name for name in CORRUPTIONS if name not in left_out]
            used = {name: values[name] for name in wanted if name in values}
            note = describe_gaps(used, wanted, self.severities)
            mean = average_corruptions(used)
            count = sum(map(len, used.values()))
            rows.append(make_shift_row(cell, f"mpc{suffix}", mean, count=count, note=note, dataset=reference))
            share = mean / clean if clean > 0 else float("nan")
            rows.append(
                make_shift_row(cell, f"rpc{suffix}", share, count=count, note=note, dataset=reference)
            )
        return rows


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
