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
    above it have effective robustness.

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
        """Draw the panels and return the caption; standard models are grey circles, others have their own marks."""
        from harness.errors import did_you_mean
        from harness.plotting.style import INK
        from harness_plots.points import format_key
        from harness_plots.series_and_panels import add_legend, add_panels, series_mark
        from harness_robustness.shift_tables import STANDARD, average_seeds, is_true, pair_with_references

        tag = f"tag.model.{self.fit}"
        pairs = pair_with_references(
            average_seeds(data, self.metric, also=[tag] if tag != STANDARD else []),
            self.corruptions or self.shifts is not None,
        )
        pairs = pairs[pairs["reference_value"].notna()]
        names = list(dict.fromkeys(pairs["dataset"])) if self.shifts is None else self.shifts
        if unknown := [n for n in names if n not in set(pairs["dataset"])]:
            near = did_you_mean(unknown[0], pairs["dataset"])
            raise HarnessError(f"no record on the shift '{unknown[0]}' and its reference{near}")
        if not names:
            raise HarnessError("no model has records both on a shift and on its reference")
        shown = names[:12]
        standard = pairs[tag].map(is_true).astype(bool)
        others = list(
            dict.fromkeys(pairs.loc[~standard, ["model", "method"]].itertuples(index=False, name=None))
        )
        handles: dict[str, Any] = {}
        lines: dict[str, AccuracyLine | None] = {}
        for name, ax in zip(shown, add_panels(figure, shown), strict=True):
            here = pairs[pairs["dataset"] == name]
            base = here[standard.loc[here.index]]
            lines[name] = self._draw_line(ax, here, base, handles)
            points = ax.plot(
                self._to_axis(base["reference_value"]),
                self._to_axis(base["value"]),
                "o",
                color="#7f7f7f",
                markersize=4,
            )
            handles.setdefault("standard models", points[0])
            for cell in here[~standard.loc[here.index]].itertuples():
                number = others.index((cell.model, cell.method))
                look = series_mark(number + number // 7)  # skips the standard models' grey
                at = self._to_axis([cell.reference_value]), self._to_axis([cell.value])
                point = ax.plot(*at, look.marker, color=look.color, markeredgecolor=INK, markeredgewidth=0.4)
                handles.setdefault(f"model {number}", point[0])
            ax.set_xlabel(f"{self.metric} on {here['reference'].iloc[0]} (%)")
            ax.set_ylabel(f"{self.metric} on {name} (%)")
        kept = [k for k in ("y = x", "fitted line", "standard models") if k in handles]
        marks = [n for n in range(len(others)) if f"model {n}" in handles]
        add_legend(
            figure,
            [handles[k] for k in kept] + [handles[f"model {n}"] for n in marks],
            kept + [format_key(others[n]) for n in marks],
        )
        found = "; ".join(f"{name}: {line}" for name, line in lines.items() if line is not None)
        fits = f" Lines: {found}." if found else ""
        missing = " No line if fewer than two standard models differ." if None in lines.values() else ""
        rest = f" The first 12 of {len(names)} shifts." if len(names) > 12 else ""
        return (
            f"{self.metric} under shift against {self.metric} on the reference, {self.scale} axes; line and "
            f"{self.level:.0%} bootstrap band over the models tagged '{self.fit}'.{fits}{missing}{rest}"
        )

    def _draw_line(
        self, ax: Any, here: pd.DataFrame, base: pd.DataFrame, handles: dict[str, Any]
    ) -> AccuracyLine | None:
        """Scale the axes, draw the diagonal and the fitted line; return the line, or None if none can be fitted."""
        import numpy as np
        from matplotlib.ticker import MaxNLocator

        from harness.plotting.style import INK, MUTED
        from harness_robustness.effective_robustness import bootstrap_line_interval, fit_line, from_scale

        ends = []
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
                fine = [float(t) for t in np.round(np.linspace(a, b, 5)[1:-1], 2)]
            getattr(ax, f"set_{which}ticks")(self._to_axis(fine), [f"{100 * t:g}" for t in fine])
        (left, right), (bottom, top) = ends
        both = max(left, bottom), min(right, top)
        if both[0] < both[1]:
            line = ax.plot(both, both, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
            handles.setdefault("y = x", line[0])
        if len(np.unique(self._to_axis(base["reference_value"]))) < 2:
            return None
        x, y = base["reference_value"].to_numpy(), base["value"].to_numpy()
        # a linear axis reaches past 0 and 100 %, where there are no accuracies to predict from
        at = np.clip(from_scale(np.linspace(left, right, 80), self.scale), 0, 1)
        fitted = fit_line(x, y, self.scale)
        drawn = ax.plot(self._to_axis(at), self._to_axis(fitted.predict(at)), color=INK, linewidth=1.3)
        handles.setdefault("fitted line", drawn[0])
        numbers = f"slope {fitted.slope:.2f}\nR² {fitted.r2:.2f}"
        ax.text(0.03, 0.97, numbers, transform=ax.transAxes, va="top", fontsize=7, color=INK)
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
        return fitted

    def _to_axis(self, accuracies: Any) -> Any:
        """Map accuracies to the axes' scale."""
        import numpy as np

        from harness_robustness.effective_robustness import to_scale

        values = np.asarray(accuracies, dtype=float)
        if self.scale == "linear":
            return values  # unchecked, since a linear fit may leave [0, 1]
        return to_scale(values, self.scale)
