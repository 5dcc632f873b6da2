"""Training curves kept by protocols: a panel per quantity with a line per configuration, or the reverse."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import HarnessError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_plots.label_places import Array
    from harness_plots.line_panels import Line, LinePanel

STEPS = ("step", "epoch", "iteration")
"""Columns that count a curve's progress; without one of them, positions do."""

OTHERS = ("confusion", "precision-recall", "mask-precision-recall")
"""Kept curves that other plots draw, which are drawn here only if they are named."""

MAX_RECORDS = 200
"""Largest number of records whose curves are opened."""


@dataclass
class Quantity:
    """The runs of one column of one curve, by the key of their line."""

    step: str
    runs: dict[tuple[Any, ...], list[tuple[Array, Array]]] = field(default_factory=dict)
    diverged: dict[tuple[Any, ...], list[tuple[float, float]]] = field(default_factory=dict)
    marks: dict[tuple[Any, ...], list[float]] = field(default_factory=dict)


class TrainingCurves:
    """Values over training steps: the median of the runs of a line, and the range of all of them.

    Up to 8 lines are named at their ends; more get a small panel each.

    Args:
        values: columns of the curves; by default all that don't count progress.
        curves: names of the curves; by default all but those of other plots.
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
        log: make the vertical axis logarithmic.
        runs: also draw a thin line for each run.
        x: column on the horizontal axis, such as `epoch` or `seconds`; by default the first of `step`,
            `epoch` and `iteration` that a curve has.
        panels: `values` for a panel per column with all lines in it, `lines` for a panel per line with all
            columns in it.
        mark: a number of the records to mark on their lines, in the unit of the column that its name ends
            with: `overfit_epoch` lies on `epoch`, also if `x` is another one.
        names: what to call columns, by their names.
    """

    def __init__(
        self,
        values: list[str] | None = None,
        curves: list[str] | None = None,
        lines: list[str] | None = None,
        log: bool = False,
        runs: bool = False,
        x: str | None = None,
        panels: Literal["values", "lines"] = "values",
        mark: str | None = None,
        names: dict[str, str] | None = None,
    ) -> None:
        if panels not in ("values", "lines"):
            raise OptionError(f"training: panels must be values or lines, got {panels!r}")
        self.values, self.curves, self.lines = values, curves, lines
        self.log, self.runs = log, runs
        self.x, self.panels, self.mark, self.names = x, panels, mark, dict(names or {})

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the curves of ok and diverged records; each diverged run has a cross at its end."""
        from harness_plots.axis_labels import inside_sentence, name_quantity
        from harness_plots.line_panels import LineAxes, draw_line_panels
        from harness_plots.points import find_series_columns

        if self.mark is not None and self.mark not in data.columns:
            known = map(str, data.columns)
            raise HarnessError(f"the records have no '{self.mark}' to mark{did_you_mean(self.mark, known)}")
        kept = data[data["status"].isin(["ok", "diverged"])]
        names = find_series_columns(kept, self.lines) if len(kept) else []
        found = self._read_curves(kept, names, store)
        if not found:
            raise HarnessError(self._explain_nothing(kept, store))
        panels = self._panels_by_line(found) if self.panels == "lines" else self._panels_by_value(found)
        layout = draw_line_panels(figure, panels, LineAxes(log_y=self.log, runs=self.runs))
        left = f" The first {MAX_RECORDS} of {len(kept)} records." if len(kept) > MAX_RECORDS else ""
        crosses = " A cross: training diverged." if any(q.diverged for q in found.values()) else ""
        if self.mark is not None:
            marked = max(sum(map(len, q.marks.values())) for q in found.values())
            every = max(sum(map(len, q.runs.values())) for q in found.values())
            words = inside_sentence(name_quantity(self.mark))
            crosses += f" A diamond: {words} (median of the runs that have one, {marked} of {every})."
        if all(len(runs) == 1 for q in found.values() for runs in q.runs.values()):
            return f"Training curves, one run per line.{layout}{crosses}{left}"
        thin = " Thin lines: single runs." if self.runs else ""
        ends = " A line ends where fewer than half of its runs go on."
        return f"Training curves. Lines: median over runs (seeds); bands: minimum to maximum.{ends}{thin}{layout}{crosses}{left}"

    def _panels_by_value(self, found: dict[tuple[str, str], Quantity]) -> list[LinePanel]:
        from harness_plots.axis_labels import name_quantity
        from harness_plots.line_panels import LinePanel
        from harness_plots.points import format_key

        keys = dict.fromkeys(key for quantity in found.values() for key in quantity.runs)
        order = {key: n for n, key in enumerate(keys)}
        several = len({curve for curve, _ in found}) > 1
        panels = []
        for (curve, name), quantity in found.items():
            lines = {order[key]: _make_line(format_key(key), quantity, key) for key in quantity.runs}
            words = self._name(name)
            title = f"{name_quantity(curve)}: {words}" if several else words
            panels.append(LinePanel(title, name_quantity(quantity.step), words, lines))
        return panels

    def _panels_by_line(self, found: dict[tuple[str, str], Quantity]) -> list[LinePanel]:
        from harness_plots.axis_labels import name_quantity
        from harness_plots.line_panels import LinePanel
        from harness_plots.points import format_key

        several = len({curve for curve, _ in found}) > 1
        kinds = {name.rpartition("_")[2] for _, name in found}
        y_words = name_quantity(kinds.pop()) if len(kinds) == 1 else "Value"
        panels: dict[tuple[Any, ...], LinePanel] = {}
        for number, ((curve, name), quantity) in enumerate(found.items()):
            words = f"{name_quantity(curve)}: {self._name(name)}" if several else self._name(name)
            for key in quantity.runs:
                panel = LinePanel(format_key(key), name_quantity(quantity.step), y_words, {})
                panels.setdefault(key, panel).lines[number] = _make_line(words, quantity, key)
        return list(panels.values())

    def _name(self, column: str) -> str:
        from harness_plots.axis_labels import name_quantity

        return self.names.get(column) or name_quantity(column)

    def _read_curves(
        self, kept: pd.DataFrame, names: list[str], store: Store
    ) -> dict[tuple[str, str], Quantity]:
        """Return the runs of each curve's chosen columns, without values that are not finite."""
        found: dict[tuple[str, str], Quantity] = {}
        opened = 0
        keys = kept[names].itertuples(index=False, name=None)
        marks = kept[self.mark].tolist() if self.mark is not None else [None] * len(kept)
        for id, status, key, mark in zip(kept["id"], kept["status"], keys, marks, strict=True):
            table = store.curves(id) if opened < MAX_RECORDS else None
            if table is None:
                continue
            opened += 1
            for curve, columns in group_by_curve(table).items():
                if curve in OTHERS if self.curves is None else curve not in self.curves:
                    continue
                step = self.x or next((s for s in STEPS if s in columns), None)
                if step is not None and step not in columns:
                    continue
                place = self._place_mark(mark, curve, columns, step)
                for name, values in columns.items():
                    if name == step or not self._shows(name):
                        continue
                    at = columns[step][: len(values)] if step else np.arange(len(values), dtype=float)
                    values = values[: len(at)]
                    finite = np.isfinite(values) & np.isfinite(at)
                    if not finite.any():
                        continue
                    quantity = found.setdefault((curve, name), Quantity(step or "step"))
                    x, y = at[finite], values[finite]
                    quantity.runs.setdefault(key, []).append((x, y))
                    if place is not None:
                        quantity.marks.setdefault(key, []).append(place)
                    if status == "diverged":
                        quantity.diverged.setdefault(key, []).append((float(x[-1]), float(y[-1])))
        return found

    def _shows(self, column: str) -> bool:
        return column not in STEPS if self.values is None else column in self.values

    def _place_mark(
        self, mark: float | None, curve: str, columns: dict[str, Array], step: str | None
    ) -> float | None:
        """Return where a record's mark lies on the horizontal axis; None if it has none."""
        if self.mark is None or mark is None or not np.isfinite(mark):
            return None
        unit = self.mark.rpartition("_")[2]
        if unit == step:
            return float(mark)
        if step is None or unit not in columns:
            raise HarnessError(f"'{self.mark}' can't be marked: the curve '{curve}' has no column '{unit}'")
        return float(np.interp(mark, columns[unit], columns[step]))

    def _explain_nothing(self, kept: pd.DataFrame, store: Store) -> str:
        known: set[str] = set()
        for id in list(kept["id"])[:20]:
            table = store.curves(id)
            if table is not None:
                known |= {*map(str, table["curve"]), *map(str, table["column"])}
        wanted = [*(self.curves or []), *(self.values or []), *([self.x] if self.x else [])]
        if known and wanted:
            first = next((name for name in wanted if name not in known), wanted[0])
            return f"no training curve '{first}'{did_you_mean(first, known)}"
        return "no record keeps training curves"


def _make_line(name: str, quantity: Quantity, key: tuple[Any, ...]) -> Line:
    """Return the line of a quantity's runs, with a dot at the median of their marks."""
    from harness_plots.line_panels import summarise_runs

    line = summarise_runs(name, quantity.runs[key])
    line.crosses = quantity.diverged.get(key, [])
    if len(line.x) and (places := quantity.marks.get(key)):
        at = float(np.median(places))
        line.dots = [(at, float(np.interp(at, line.x, line.y)))]
    return line


def group_by_curve(table: pd.DataFrame) -> dict[str, dict[str, Array]]:
    """Convert long rows (curve, column, position, value) to columns of each curve."""
    found: dict[str, dict[str, Array]] = {}
    for (curve, column), part in table.groupby(["curve", "column"], sort=False):
        values = part.sort_values("position")["value"].to_numpy(dtype=float)
        found.setdefault(str(curve), {})[str(column)] = values
    return found
