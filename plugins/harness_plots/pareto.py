"""Cost against quality, with the Pareto front: the points that no other one dominates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness import HarnessError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store


def find_pareto_front(
    costs: Sequence[float], qualities: Sequence[float], lower_quality: bool = False
) -> list[int]:
    """Return the indices of the points that no other point dominates, in order of cost.

    One point dominates another if it costs no more, is no worse, and is better in one of the two.
    """
    sign = -1.0 if lower_quality else 1.0
    order = sorted(range(len(costs)), key=lambda n: (costs[n], -sign * qualities[n]))
    kept: list[int] = []
    for n in order:
        if not kept or sign * qualities[n] > sign * qualities[kept[-1]]:
            kept.append(n)
        elif costs[n] == costs[kept[-1]] and qualities[n] == qualities[kept[-1]]:
            kept.append(n)  # equal points don't dominate each other
    return kept


class Pareto:
    """Points of cost and metric, averaged over all else, with their labelled front.

    Args:
        cost: a column of costs, for which less is better (`parameters`, `seconds`, `peak_memory`), or
            `samples_per_second`, for which more is.
        metric: by default the records' first one.
        points: coordinates or tags that distinguish points; by default model and method, if they vary.
        log: make the axis of costs logarithmic if all costs are positive.
        level: confidence of the intervals, in (0, 1).
    """

    def __init__(
        self,
        cost: str = "parameters",
        metric: str | None = None,
        points: list[str] | None = None,
        log: bool = True,
        level: float = 0.95,
    ) -> None:
        self.cost, self.metric, self.points, self.log, self.level = cost, metric, points, log, level

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the points with the intervals of the metric, and the front as steps."""
        from harness.errors import did_you_mean
        from harness.plotting.style import INK
        from harness_plots.points import (
            choose_scale,
            find_metric,
            find_series_columns,
            format_key,
            group_points,
            select_measured,
        )
        from harness_plots.series_and_panels import add_legend, format_si, series_mark, set_log_axis, shorten

        metric = find_metric(data, self.metric)
        if self.cost not in data.columns:
            known = data.attrs.get("costs", [])
            raise HarnessError(f"the records have no cost '{self.cost}'{did_you_mean(self.cost, known)}")
        kept = select_measured(data, metric)
        kept = kept[kept[self.cost].notna()]
        if kept.empty:
            raise HarnessError(f"no record that is ok has both '{self.cost}' and '{metric}'")
        scale, words = choose_scale(data, metric)
        names = find_series_columns(kept, self.points)
        found = group_points(kept, names, metric, store, self.level)
        costs = [p.value for p in group_points(kept, names, self.cost, None)]
        more_is_better = self.cost == "samples_per_second"
        lower = metric in data.attrs.get("lower", ())
        best = find_pareto_front(
            [-c if more_is_better else c for c in costs], [p.value for p in found], lower
        )
        figure.set_size_inches(5.8, 3.8)
        ax = figure.add_subplot()
        values = [p.value * scale for p in found]
        steps = [(costs[n], values[n]) for n in best]
        ax.step(*zip(*steps, strict=True), where="post", color=INK, linewidth=1.0, alpha=0.6, zorder=1)
        # labels of more points would overlap: label only the front, and draw the others as plain dots
        many = len(found) > 16
        handles, labels = [], []
        for n, point in enumerate(found):
            look, on_front = series_mark(n), n in best
            if many:
                look = series_mark(0) if on_front else series_mark(7)
            if point.low is not None and point.high is not None:
                ax.vlines(costs[n], point.low * scale, point.high * scale, color=look.color, linewidth=1.2)
            handle = ax.plot(
                [costs[n]],
                [values[n]],
                linestyle="none",
                marker=look.marker,
                markersize=7 if on_front else 5,
                markeredgecolor=INK if on_front else "none",
                color=look.color,
                clip_on=False,
            )[0]
            handles.append(handle)
            labels.append(format_key(point.key))
        if many:
            self._annotate(ax, best, costs, values, labels)
        else:
            add_legend(figure, handles, labels)
        if max(costs) == min(costs):
            ax.set_xticks(costs[:1], [format_si(costs[0])])
        elif self.log and min(costs) > 0:
            set_log_axis(ax, "x")
        else:
            ax.xaxis.set_major_formatter(lambda value, _: format_si(value))
        ax.set_xlabel(self.cost.replace("_", " "))
        ax.set_ylabel(words)
        shown = ", ".join(shorten(labels[n], 30) for n in best[:8]) + (", …" if len(best) > 8 else "")
        return (
            f"{words} against {self.cost.replace('_', ' ')}; ringed and joined: the Pareto front ({shown})."
        )

    @staticmethod
    def _annotate(
        ax: Any, best: list[int], costs: list[float], values: list[float], labels: list[str]
    ) -> None:
        from harness_plots.series_and_panels import shorten

        for n in best[:12]:
            ax.annotate(
                shorten(labels[n], 24),
                (costs[n], values[n]),
                xytext=(5, -9),
                textcoords="offset points",
                fontsize=7,
            )
