"""Training curves kept by protocols: one panel per quantity, one line per run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness import HarnessError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store

STEPS = ("step", "epoch", "iteration")
"""Columns that count a curve's progress; without one of them, positions do."""

MAX_RECORDS = 200
"""Largest number of records whose curves are opened."""


class TrainingCurves:
    """Values over training steps; runs that differ only in their seed share colour and dash style.

    Args:
        values: columns of the curves; by default all.
        curves: names of the curves; by default all.
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
        log: make the vertical axis logarithmic.
    """

    def __init__(
        self,
        values: list[str] | None = None,
        curves: list[str] | None = None,
        lines: list[str] | None = None,
        log: bool = False,
    ) -> None:
        self.values, self.curves, self.lines, self.log = values, curves, lines, log

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the curves of ok and diverged records; diverged ones end in a cross."""
        from harness_plots.points import find_series_columns, format_key
        from harness_plots.series_and_panels import add_legend, add_panels, series_mark

        kept = data[data["status"].isin(["ok", "diverged"])]
        names = find_series_columns(kept, self.lines) if len(kept) else []
        order = list(dict.fromkeys(kept[names].itertuples(index=False, name=None)))
        runs: dict[tuple[str, str], list[tuple[int, bool, list[float], list[float]]]] = {}
        step_name: dict[tuple[str, str], str] = {}
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
                    at = columns[step][: len(values)] if step else [float(n) for n in range(len(values))]
                    line = (order.index(key), status == "diverged", at, values[: len(at)])
                    runs.setdefault((curve, name), []).append(line)
                    step_name[curve, name] = step or "step"
        if not runs:
            raise HarnessError(self._explain_nothing(kept, store))
        chosen = list(runs)[:12]
        handles: dict[int, Any] = {}
        several = len({c for c, _ in runs}) > 1
        titles = [f"{c}: {n}" if several else n for c, n in chosen]
        for what, ax in zip(chosen, add_panels(figure, titles), strict=True):
            for number, diverged, at, values in runs[what]:
                look = series_mark(number)
                line2d = ax.plot(at, values, color=look.color, linestyle=look.dashes, linewidth=1.3)[0]
                handles.setdefault(number, line2d)
                if diverged and at:
                    ax.plot(at[-1:], values[-1:], marker="x", markersize=7, color=look.color)
            ax.set_xlabel(step_name[what])
            if self.log:
                from harness_plots.series_and_panels import set_log_axis

                set_log_axis(ax, "y")
        add_legend(
            figure, [handles[n] for n in sorted(handles)], [format_key(order[n]) for n in sorted(handles)]
        )
        left = f" The first {MAX_RECORDS} of {len(kept)} records." if len(kept) > MAX_RECORDS else ""
        crosses = " A cross: training diverged." if (kept["status"] == "diverged").any() else ""
        return f"Training curves, one line per run.{crosses}{left}"

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


def _group_by_curve(table: pd.DataFrame) -> dict[str, dict[str, list[float]]]:
    """Convert long rows (curve, column, position, value) to columns of each curve."""
    found: dict[str, dict[str, list[float]]] = {}
    for (curve, column), part in table.groupby(["curve", "column"], sort=False):
        values = part.sort_values("position")["value"].astype(float).tolist()
        found.setdefault(str(curve), {})[str(column)] = values
    return found
