"""Training curves kept by protocols: one panel per quantity, one line per configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import HarnessError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_plots.label_places import Array

STEPS = ("step", "epoch", "iteration")
"""Columns that count a curve's progress; without one of them, positions do."""

MAX_RECORDS = 200
"""Largest number of records whose curves are opened."""


@dataclass
class Quantity:
    """The runs of one column of one curve, by the key of their line."""

    step: str
    runs: dict[tuple[Any, ...], list[tuple[Array, Array]]] = field(default_factory=dict)
    diverged: dict[tuple[Any, ...], list[tuple[float, float]]] = field(default_factory=dict)


class TrainingCurves:
    """Values over training steps: the median of the runs of a line, and the range of all of them.

    Up to 8 lines are named at their ends; more get a small panel each.

    Args:
        values: columns of the curves; by default all.
        curves: names of the curves; by default all.
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
        log: make the vertical axis logarithmic.
        runs: also draw a thin line for each run.
    """

    def __init__(
        self,
        values: list[str] | None = None,
        curves: list[str] | None = None,
        lines: list[str] | None = None,
        log: bool = False,
        runs: bool = False,
    ) -> None:
        self.values, self.curves, self.lines = values, curves, lines
        self.log, self.runs = log, runs

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the curves of ok and diverged records; each diverged run has a cross at its end."""
        from harness_plots.axis_labels import name_quantity
        from harness_plots.line_panels import LineAxes, LinePanel, draw_line_panels, summarise_runs
        from harness_plots.points import find_series_columns, format_key

        kept = data[data["status"].isin(["ok", "diverged"])]
        names = find_series_columns(kept, self.lines) if len(kept) else []
        found = self._read_curves(kept, names, store)
        if not found:
            raise HarnessError(self._explain_nothing(kept, store))
        keys = dict.fromkeys(key for quantity in found.values() for key in quantity.runs)
        order = {key: n for n, key in enumerate(keys)}
        several = len({curve for curve, _ in found}) > 1
        panels = []
        for (curve, name), quantity in found.items():
            lines = {}
            for key, runs in quantity.runs.items():
                lines[order[key]] = summarise_runs(format_key(key), runs)
                lines[order[key]].crosses = quantity.diverged.get(key, [])
            words = name_quantity(name)
            title = f"{name_quantity(curve)}: {words}" if several else words
            panels.append(LinePanel(title, name_quantity(quantity.step), words, lines))
        layout = draw_line_panels(figure, panels, LineAxes(log_y=self.log, runs=self.runs))
        left = f" The first {MAX_RECORDS} of {len(kept)} records." if len(kept) > MAX_RECORDS else ""
        crosses = " A cross: training diverged." if any(q.diverged for q in found.values()) else ""
        if all(len(runs) == 1 for q in found.values() for runs in q.runs.values()):
            return f"Training curves, one run per line.{layout}{crosses}{left}"
        thin = " Thin lines: single runs." if self.runs else ""
        ends = " A line ends where fewer than half of its runs go on."
        return f"Training curves. Lines: median over runs (seeds); bands: minimum to maximum.{ends}{thin}{layout}{crosses}{left}"

    def _read_curves(
        self, kept: pd.DataFrame, names: list[str], store: Store
    ) -> dict[tuple[str, str], Quantity]:
        """Return the runs of each curve's chosen columns, without values that are not finite."""
        found: dict[tuple[str, str], Quantity] = {}
        opened = 0
        keys = kept[names].itertuples(index=False, name=None)
        for id, status, key in zip(kept["id"], kept["status"], keys, strict=True):
            table = store.curves(id) if opened < MAX_RECORDS else None
            if table is None:
                continue
            opened += 1
            for curve, columns in _group_by_curve(table).items():
                if self.curves is not None and curve not in self.curves:
                    continue
                step = next((s for s in STEPS if s in columns), None)
                for name, values in columns.items():
                    if name == step or (self.values is not None and name not in self.values):
                        continue
                    at = columns[step][: len(values)] if step else np.arange(len(values), dtype=float)
                    values = values[: len(at)]
                    finite = np.isfinite(values) & np.isfinite(at)
                    if not finite.any():
                        continue
                    quantity = found.setdefault((curve, name), Quantity(step or "step"))
                    x, y = at[finite], values[finite]
                    quantity.runs.setdefault(key, []).append((x, y))
                    if status == "diverged":
                        quantity.diverged.setdefault(key, []).append((float(x[-1]), float(y[-1])))
        return found

    def _explain_nothing(self, kept: pd.DataFrame, store: Store) -> str:
        known: set[str] = set()
        for id in list(kept["id"])[:20]:
            table = store.curves(id)
            if table is not None:
                known |= {*map(str, table["curve"]), *map(str, table["column"])}
        wanted = [*(self.curves or []), *(self.values or [])]
        if known and wanted:
            return f"no training curve '{wanted[0]}'{did_you_mean(wanted[0], known)}"
        return "no record keeps training curves"


def _group_by_curve(table: pd.DataFrame) -> dict[str, dict[str, Array]]:
    """Convert long rows (curve, column, position, value) to columns of each curve."""
    found: dict[str, dict[str, Array]] = {}
    for (curve, column), part in table.groupby(["curve", "column"], sort=False):
        values = part.sort_values("position")["value"].to_numpy(dtype=float)
        found.setdefault(str(curve), {})[str(column)] = values
    return found
