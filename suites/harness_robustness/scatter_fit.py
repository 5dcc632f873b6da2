"""The plot `scatter-fit`: accuracy under shift against accuracy, with the standard models' line (Taori et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness import HarnessError, OptionError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_robustness.effective_robustness import AccuracyLine

Scale = Literal["logit", "probit", "linear"]
TICKS = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999)


class ScatterFit:
    """One panel per shift: each model's metric on the shift over its metric on the reference.

    The line, with its bootstrap band, is fitted on the axes' scale to the models tagged `standard`; models
    above it have effective robustness. Published models are small grey points, whose names appear under the
    pointer; those tagged standard have a part in the line.

    Args:
        shifts: names of data sets; by default all whose `reference` tag names another data set.
        metric: the accuracy, a fraction, on both axes.
        scale: scale of the axes and the fit: `logit`, `probit` (both clip 0 and 1) or `linear`.
        fit: the tag of the models that the line is fitted to.
        corruptions: whether the default includes corrupted data sets.
        resamples: number of bootstraps.
        level: confidence of the band, in (0, 1).
        seed: seed of the bootstraps.
    """

    takes_published = True

    def __init__(
        self,
        shifts: list[str] | None = None,
        metric: str = "top1",
        scale: Scale = "logit",
        fit: str = "standard",
        corruptions: bool = False,
        resamples: int = 1000,
        level: float = 0.95,
        seed: int = 0,
    ) -> None:
        if scale not in ("logit", "probit", "linear"):
            raise OptionError(f"scatter-fit: scale must be logit, probit or linear, got {scale!r}")
        self.shifts, self.metric, self.scale, self.fit = shifts, metric, scale, fit
        self.corruptions, self.resamples, self.level, self.seed = corruptions, resamples, level, seed

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw the panels and return the caption; standard models are circles, others squares."""
        import numpy as np

        from harness.plotting.hover_names import name_on_hover
        from harness.plotting.style import INK, MUTED, PALETTE
        from harness_plots.axis_labels import inside_sentence, name_quantity
        from harness_plots.labels import NamedPoints, add_key, drop_crowded_ticks, name_points, shorten
        from harness_plots.points import format_key
        from harness_plots.series_and_panels import add_panels
        from harness_robustness.shift_tables import is_true

        pairs, names = self._choose_pairs(data)
        shown = names[:12]
        standard = pairs[f"tag.model.{self.fit}"].map(is_true).astype(bool)
        published = pairs["published"].map(lambda name: isinstance(name, str) and name != "").astype(bool)
        plain = PALETTE[0] if published.any() else MUTED
        handles: dict[str, Any] = {}
        lines: dict[str, AccuracyLine | None] = {}
        named = []
        words = name_quantity(self.metric)
        axes = add_panels(figure, shown, height=3.0, pad=20)
        for name, ax in zip(shown, axes, strict=True):
            here = pairs[pairs["dataset"] == name]
            lines[name], drawn = self._draw_line(ax, here, here[standard.loc[here.index]], handles)
            points = NamedPoints(ax, [], [], [], [], lines=drawn)
            behind = here[published.loc[here.index]]
            if len(behind):
                xs, ys = self._to_axis(behind["reference_value"]), self._to_axis(behind["value"])
                cloud = ax.scatter(xs, ys, s=6, color=MUTED, alpha=0.45, linewidths=0, zorder=1.5)
                name_on_hover(cloud, [str(model) for model in behind["model"]])
                handles.setdefault("published models", cloud)
                drawn.append(np.column_stack([xs, ys]))
            own = here[~published.loc[here.index]]
            for cell, fitted in zip(own.itertuples(), standard.loc[own.index], strict=True):
                (x,), (y,) = self._to_axis([cell.reference_value]), self._to_axis([cell.value])
                color = plain if fitted else PALETTE[1]
                edge: dict[str, Any] = {} if fitted else {"markeredgecolor": INK, "markeredgewidth": 0.5}
                mark = ax.plot([x], [y], "o" if fitted else "s", color=color, markersize=5, zorder=3, **edge)[
                    0
                ]
                handles.setdefault("standard models" if fitted else "other models", mark)
                points.at.append((float(x), float(y)))
                points.names.append(format_key([cell.model, cell.method]))
                points.colors.append(color)
                points.marks.append(3.0)
            named.append(points)
            ax.set_xlabel(f"{words} (%)\non {shorten(here['reference'].iloc[0], 36)}")
            ax.set_ylabel(f"{words} (%)\non {shorten(name, 30)}")
        keys = ("y = x", "fitted line", "standard models", "other models", "published models")
        kept = [k for k in keys if k in handles]
        add_key(figure, kept, [handles[k] for k in kept])
        key = name_points(figure, named)
        drop_crowded_ticks(figure)
        found = "; ".join(f"{name}: {line}" for name, line in lines.items() if line is not None)
        fits = f" Lines: {found}." if found else ""
        if published.any():
            fits += f" {standard[published].sum()} published points have a part in the lines."
        missing = " No line if fewer than two standard models differ." if None in lines.values() else ""
        rest = f" The first 12 of {len(names)} shifts." if len(names) > 12 else ""
        return (
            f"{words} under shift against {inside_sentence(words)} on the reference, {self.scale} axes; line "
            f"and {self.level:.0%} bootstrap band over the models tagged '{self.fit}'.{fits}{missing}{rest}{' ' * bool(key)}{key}"
        )

    def _choose_pairs(self, data: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
        """Return the models' values on shifts and references, and the names of the shifts to show."""
        from harness.errors import did_you_mean
        from harness_robustness.shift_tables import STANDARD, average_seeds, pair_with_references

        tag = f"tag.model.{self.fit}"
        pairs = pair_with_references(
            average_seeds(data, self.metric, also=["published", *([tag] if tag != STANDARD else [])]),
            self.corruptions or self.shifts is not None,
        )
        pairs = pairs[pairs["reference_value"].notna()]
        names = list(dict.fromkeys(pairs["dataset"])) if self.shifts is None else self.shifts
        if unknown := [n for n in names if n not in set(pairs["dataset"])]:
            near = did_you_mean(unknown[0], pairs["dataset"])
            raise HarnessError(f"no record on the shift '{unknown[0]}' and its reference{near}")
        if not names:
            raise HarnessError("no model has records both on a shift and on its reference")
        return pairs, names

    def _draw_line(
        self, ax: Any, here: pd.DataFrame, base: pd.DataFrame, handles: dict[str, Any]
    ) -> tuple[AccuracyLine | None, list[Any]]:
        """Scale the axes, draw the diagonal and the fitted line; return the line, if any, and points on both."""
        import numpy as np
        from matplotlib.ticker import MaxNLocator

        from harness.plotting.style import INK, MUTED
        from harness_robustness.effective_robustness import bootstrap_line_interval, fit_line, from_scale

        ends, drawn = [], []
        for values, which in ((here["reference_value"], "x"), (here["value"], "y")):
            scaled = self._to_axis(values)
            margin = max(0.08 * np.ptp(scaled), 0.05 if self.scale == "linear" else 0.15)
            low, high = scaled.min() - margin, scaled.max() + margin
            if self.scale == "linear":
                low, high = max(low, -0.02), min(high, 1.02)
            ends.append((low, high))
            getattr(ax, f"set_{which}lim")(low, high)
            ticks: Sequence[float] = TICKS
            if self.scale == "linear":
                ticks = [tick / 100 for tick in MaxNLocator(5).tick_values(100 * low, 100 * high)]
            fine = [t for t in ticks if 0 <= t <= 1 and low <= self._to_axis([t])[0] <= high]
            if len(fine) < 3 and self.scale != "linear":
                a, b = from_scale([low, high], self.scale)
                fine = [t / 100 for t in MaxNLocator(4).tick_values(100 * a, 100 * b) if a <= t / 100 <= b]
            getattr(ax, f"set_{which}ticks")(self._to_axis(fine), [f"{100 * t:g}" for t in fine])
        (left, right), (bottom, top) = ends
        both = max(left, bottom), min(right, top)
        if both[0] < both[1]:
            line = ax.plot(both, both, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
            handles.setdefault("y = x", line[0])
            drawn.append(np.repeat(np.linspace(*both, 80)[:, None], 2, 1))
        if len(np.unique(self._to_axis(base["reference_value"]))) < 2:
            return None, drawn
        x, y = base["reference_value"].to_numpy(), base["value"].to_numpy()
        # a linear axis reaches past 0 and 100 %, where there are no accuracies to predict from
        at = np.clip(from_scale(np.linspace(left, right, 80), self.scale), 0, 1)
        fitted = fit_line(x, y, self.scale)
        predicted = self._to_axis(fitted.predict(at))
        line = ax.plot(self._to_axis(at), predicted, color=INK, linewidth=1.3)
        drawn.append(np.column_stack([self._to_axis(at), predicted]))
        handles.setdefault("fitted line", line[0])
        numbers = f"slope {fitted.slope:.2f}, R² {fitted.r2:.2f}"
        ax.text(0, 1.03, numbers, transform=ax.transAxes, va="bottom", fontsize=8, color=INK)
        low_band, high_band = bootstrap_line_interval(
            x, y, at, self.scale, self.resamples, self.level, self.seed
        )
        ax.fill_between(
            self._to_axis(at),
            self._to_axis(low_band),
            self._to_axis(high_band),
            color=MUTED,
            alpha=0.18,
            linewidth=0,
        )
        return fitted, drawn

    def _to_axis(self, accuracies: Any) -> Any:
        """Map accuracies to the axes' scale."""
        import numpy as np

        from harness_robustness.effective_robustness import to_scale

        values = np.asarray(accuracies, dtype=float)
        if self.scale == "linear":
            return values  # unchecked, since a linear fit may leave [0, 1]
        return to_scale(values, self.scale)
