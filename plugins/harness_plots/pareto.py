"""Cost against quality, with the Pareto front: the points that no other one dominates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

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


def sample_steps(ax: Any, corners: Any) -> list[Any]:
    """Return points every few pixels along steps through these corners (horizontal first), in data coordinates."""
    there, back = ax.transData, ax.transData.inverted()
    at = there.transform(corners)
    turns = np.column_stack([at[1:, 0], at[:-1, 1]])
    ends = np.stack([at[:-1], turns, at[1:]], axis=1)
    shares = np.linspace(0, 1, 40)[:, None]
    return [back.transform(a + shares * (b - a)) for piece in ends for a, b in pairwise(piece)]


class Pareto:
    """Points of cost and metric, averaged over all else, with their labelled front.

    Published models of known cost are small grey points outside the front, whose names appear under the pointer.

    Args:
        cost: a column of costs, for which less is better (`parameters`, `seconds`, `peak_memory`), or
            `samples_per_second`, for which more is.
        metric: by default the records' first one.
        points: coordinates or tags that distinguish points; by default model and method, if they vary.
        log: make the axis of costs logarithmic if all costs are positive.
        level: confidence of the intervals, in (0, 1).
    """

    takes_published = True

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
        """Draw the named points with the intervals of the metric, and the front as steps."""
        from harness.errors import did_you_mean
        from harness.plotting.hover_names import name_on_hover
        from harness.plotting.style import COLUMN_WIDTH, INK, MUTED, PALETTE
        from harness_plots.axis_labels import choose_scale, inside_sentence, name_quantity
        from harness_plots.labels import NamedPoints, drop_crowded_ticks, name_points, shorten
        from harness_plots.points import (
            find_metric,
            find_series_columns,
            format_key,
            group_points,
            select_measured,
        )

        metric = find_metric(data, self.metric)
        if self.cost not in data.columns:
            known = data.attrs.get("costs", [])
            raise HarnessError(f"the records have no cost '{self.cost}'{did_you_mean(self.cost, known)}")
        kept = select_measured(data, metric)
        kept = kept[kept[self.cost].notna()]
        behind = kept.iloc[:0]
        if "published" in kept:
            behind, kept = kept[kept["published"] != ""], kept[kept["published"] == ""]
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
        figure.set_size_inches(COLUMN_WIDTH, 4.2 if len(found) > 8 else 3.8)
        ax = figure.add_subplot()
        values = [p.value * scale for p in found]
        front = ax.step(
            [costs[n] for n in best], [values[n] for n in best], where="post", color=PALETTE[0], linewidth=1.0,
            alpha=0.6, zorder=1,
        )[0]  # fmt: skip
        off_front = PALETTE[1] if len(behind) else MUTED  # grey are the published ones
        colors = [PALETTE[0] if n in best else off_front for n in range(len(found))]
        lines = []
        for n, point in enumerate(found):
            if point.low is not None and point.high is not None:
                ends = (point.low * scale, point.high * scale)
                ax.vlines(costs[n], *ends, color=colors[n], linewidth=1.0, alpha=0.5)
                lines.append([(costs[n], y) for y in np.linspace(*ends, 12)])
            on_front = n in best
            ax.plot(
                [costs[n]],
                [values[n]],
                linestyle="none",
                marker="o" if on_front else "s",
                markersize=7 if on_front else 4.5,
                markeredgecolor=INK if on_front else "none",
                color=colors[n],
                clip_on=False,
            )
        around = _average_published(behind, kept, names)[[self.cost, metric]]
        if len(around):
            cloud = ax.scatter(
                around[self.cost],
                around[metric] * scale,
                s=6,
                color=MUTED,
                alpha=0.45,
                linewidths=0,
                zorder=0.5,
            )
            name_on_hover(cloud, [_name_published(key) for key in around.index])
            lines += [[pair] for pair in zip(around[self.cost], around[metric] * scale, strict=True)]
        self._scale_costs(ax, [*costs, *around[self.cost]])
        ax.set_xlabel(name_quantity(self.cost))
        ax.set_ylabel(words)
        ax.margins(x=0.08, y=0.1)
        labels = [format_key(p.key) for p in found]
        figure.draw_without_rendering()
        lines += sample_steps(ax, front.get_xydata())
        at = list(zip(costs, values, strict=True))
        marks = [4.0 if n in best else 3.0 for n in range(len(found))]
        weights = ["bold" if n in best else "normal" for n in range(len(found))]
        named = name_points(figure, [NamedPoints(ax, at, labels, colors, marks, weights, lines)])
        drop_crowded_ticks(figure)
        shown = ", ".join(shorten(labels[n], 30) for n in best[:8]) + (", …" if len(best) > 8 else "")
        bars = any(p.low is not None for p in found)
        count = around.index.get_level_values("model").nunique()
        grey = f" Grey: {count} published models, outside the front." if len(around) else ""
        intervals = f" Vertical bars: {self.level:.0%} intervals." if bars else ""
        return (
            f"{words} against {inside_sentence(name_quantity(self.cost))}; bold and joined: the Pareto front ({shown})."
            f"{intervals}{grey}{' ' * bool(named)}{named}"
        )

    def _scale_costs(self, ax: Any, costs: list[float]) -> None:
        from harness_plots.series_and_panels import format_si, set_log_axis

        if max(costs) == min(costs):
            ax.set_xticks(costs[:1], [format_si(costs[0])])
        elif self.log and min(costs) > 0:
            set_log_axis(ax, "x")
        else:
            ax.xaxis.set_major_formatter(lambda value, _: format_si(value))


def _average_published(behind: pd.DataFrame, own: pd.DataFrame, names: Sequence[str]) -> pd.DataFrame:
    """Return the means of published models, by model and by those of `names` that tell data sets apart.

    A mean over some of the data sets of one's own would stand among means over all: such models are left out.
    """
    apart = [name for name in names if name == "dataset" or name.startswith("tag.dataset.")]
    needed = _count_datasets(own, apart)
    means = behind.groupby(["model", *apart], sort=False, dropna=False).mean(numeric_only=True)
    found = _count_datasets(behind, ["model", *apart])
    whole = [found[key] == needed.get(key[1:]) for key in map(_as_tuple, means.index)]
    return means.loc[whole]


def _count_datasets(data: pd.DataFrame, names: Sequence[str]) -> dict[tuple[object, ...], int]:
    """Return the number of data sets in each group of rows with equal `names`."""
    groups: dict[tuple[object, ...], set[str]] = {}
    columns = [data[name].tolist() for name in names]
    for place, dataset in enumerate(data["dataset"].tolist()):
        groups.setdefault(tuple(column[place] for column in columns), set()).add(str(dataset))
    return {key: len(datasets) for key, datasets in groups.items()}


def _as_tuple(key: object) -> tuple[object, ...]:
    return key if isinstance(key, tuple) else (key,)


def _name_published(key: object) -> str:
    """Return the name of a published point by its place in the means' index."""
    from harness_plots.points import format_key

    return format_key(_as_tuple(key))
