"""Precision over recall of detectors, as records keep it at 101 recalls."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import HarnessError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store
    from harness_plots.label_places import Array
    from harness_plots.line_panels import Line

CURVES = {"boxes": "precision-recall", "masks": "mask-precision-recall"}
"""Names of the kept curves."""

KEPT_IOUS = tuple(n / 100 for n in range(50, 100, 5))


class PrecisionRecallCurves:
    """A line per model and method: the best precision at each recall or beyond, a mean over classes.

    A number at each line is its average precision, the mean over the 101 recalls. Several runs are shown by their
    median and their range.

    Args:
        iou: overlaps from which an object is a hit, .5 to .95 in steps of .05, a panel for each; by default .5.
        classes: names of classes, or patterns with `*` and `?`: a panel for each class at an overlap of .5, instead of
            their mean.
        shape: overlap of "boxes" or of "masks".
        lines: coordinates or tags that distinguish lines; by default model and method, if they vary.
    """

    def __init__(
        self,
        iou: list[float] | None = None,
        classes: list[str] | None = None,
        shape: Literal["boxes", "masks"] = "boxes",
        lines: list[str] | None = None,
    ) -> None:
        if shape not in CURVES:
            raise OptionError(f"precision-recall: shape must be 'boxes' or 'masks', got {shape!r}")
        if wrong := [one for one in iou or () if round(one, 6) not in KEPT_IOUS]:
            raise OptionError(f"precision-recall: iou must be .5 to .95 in steps of .05, not {wrong[0]}")
        if classes and iou not in (None, [0.5]):
            raise OptionError("precision-recall: single classes have curves at an iou of .5 only")
        self.iou, self.classes, self.shape, self.lines = iou, classes, shape, lines

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw a panel per overlap or class, with a line per model and method."""
        from harness_plots.line_panels import LineAxes, LinePanel, draw_line_panels
        from harness_plots.points import find_series_columns, format_key

        kept = data[data["status"] == "ok"]
        names = find_series_columns(kept, self.lines) if len(kept) else []
        runs = self._read_runs(kept, names, store)
        columns = self._choose_columns(list(dict.fromkeys(c for own in runs.values() for c in own)))
        order = {key: n for n, key in enumerate(runs)}
        panels = []
        for column, title in columns.items():
            lines = {
                order[key]: _make_line(format_key(key), own[column])
                for key, own in runs.items()
                if column in own
            }
            shown_title = (
                "" if len(columns) == 1 and not self.classes else title if self.classes else f"IoU {title}"
            )
            panels.append(LinePanel(shown_title, "Recall (%)", "Precision (%)", lines))
        layout = draw_line_panels(figure, panels, LineAxes(limits=((0.0, 100.0), (0.0, 102.0))))
        what = "of single classes" if self.classes else "a mean over classes"
        alone = self.classes or len(columns) == 1
        least = f" from {'.50' if self.classes else next(iter(columns.values()))}" if alone else ""
        bands = any(len(own) > 1 for one in runs.values() for own in one.values())
        several = " Lines: median over seeds; bands: minimum to maximum." if bands else ""
        return (
            f"Precision over recall, {what}; a hit has an IoU of {self.shape}{least or ' as above its panel'}. A line "
            f"ends at the largest recall that is reached. Numbers: average precision in percent.{several}{layout}"
        )

    def _read_runs(
        self, kept: pd.DataFrame, names: Sequence[str], store: Store
    ) -> dict[tuple[Any, ...], dict[str, list[tuple[Array, Array]]]]:
        """Return the runs of each line by the columns of their curves."""
        from harness_plots.training_curves import MAX_RECORDS, group_by_curve

        curve = CURVES[self.shape]
        found: dict[tuple[Any, ...], dict[str, list[tuple[Array, Array]]]] = {}
        keys = kept[list(names)].itertuples(index=False, name=None)
        opened = 0
        for id, key in zip(kept["id"], keys, strict=True):
            table = store.curves(id) if opened < MAX_RECORDS else None
            if table is None or not (table["curve"] == curve).any():
                continue
            opened += 1
            columns = group_by_curve(table[table["curve"] == curve])[curve]
            recall = columns.pop("recall")
            for name, values in columns.items():
                found.setdefault(key, {}).setdefault(name, []).append((recall, values))
        if not found:
            raise HarnessError(f"no record keeps precision and recall of {self.shape}")
        return found

    def _choose_columns(self, known: Sequence[str]) -> dict[str, str]:
        """Return the columns of the panels with their titles."""
        if not self.classes:
            return {f"precision_{one * 100:.0f}": f".{one * 100:.0f}" for one in self.iou or [0.5]}
        prefix = "precision_50 "
        names = [column.removeprefix(prefix) for column in known if column.startswith(prefix)]
        chosen = [name for name in names if any(fnmatchcase(name, one) for one in self.classes)]
        for pattern in self.classes:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise HarnessError(
                    f"no record keeps precision of the class '{pattern}'{did_you_mean(pattern, names)}"
                )
        return {prefix + name: name for name in chosen}


def _make_line(name: str, runs: Sequence[tuple[Array, Array]]) -> Line:
    """Return the line of some runs in percent, up to the largest recall with any precision, named with its AP."""
    from harness_plots.line_panels import summarise_runs

    average = float(np.mean([values.mean() for _, values in runs]))
    line = summarise_runs(f"{name}: {100 * average:.1f}", [(100 * x, 100 * y) for x, y in runs])
    reached = int(np.flatnonzero(line.high > 0)[-1]) + 1 if (line.high > 0).any() else 1
    line.x, line.y, line.low, line.high = (
        values[:reached] for values in (line.x, line.y, line.low, line.high)
    )
    return line
