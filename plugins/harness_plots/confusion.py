"""Confusion matrices from per-sample predictions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness import HarnessError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Store


def confusion_matrix(
    targets: NDArray[np.int64], predictions: NDArray[np.int64], classes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return the shares of each true class's samples (rows) that were predicted as each class, K×K.

    Rows sum to 1, or to less if there are predictions outside `classes`.
    """
    place = {int(c): n for n, c in enumerate(classes)}
    counts = np.zeros((len(classes), len(classes)))
    sums = np.zeros(len(classes))
    for target, prediction in zip(targets.tolist(), predictions.tolist(), strict=True):
        if target in place:
            sums[place[target]] += 1
            if prediction in place:
                counts[place[target], place[prediction]] += 1
    return counts / np.maximum(sums, 1)[:, None]


class Confusion:
    """One matrix per model, method and data set, pooled over seeds.

    If there are more than `classes` classes, only those with the most mistakes are shown.

    Args:
        panels: largest number of matrices.
        classes: largest number of classes in a matrix.
    """

    def __init__(self, panels: int = 4, classes: int = 20) -> None:
        self.panels, self.classes = panels, classes

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw matrices of row-wise shares, with numbers if the matrices are small enough to read."""
        from harness_plots.points import format_key
        from harness_plots.series_and_panels import add_panels

        kept = data[data["status"] == "ok"]
        names = [n for n in ("model", "method", "dataset") if n in kept.columns]
        groups: dict[tuple[Any, ...], list[tuple[NDArray[Any], NDArray[Any]]]] = {}
        total = len(kept[names].drop_duplicates())
        for id, key in zip(kept["id"], kept[names].itertuples(index=False, name=None), strict=True):
            if key not in groups and len(groups) == self.panels:
                continue
            samples = store.samples(id)
            if samples is not None and {"target", "prediction"} <= set(samples.columns):
                pair = (samples["target"].to_numpy(), samples["prediction"].to_numpy())
                if all(np.issubdtype(side.dtype, np.integer) for side in pair):
                    groups.setdefault(key, []).append(pair)
        if not groups:
            raise HarnessError("no record has per-sample targets and predictions as class numbers")
        varying = [n for n, column in enumerate(names) if len({k[n] for k in groups}) > 1] or [0]
        titles = [format_key([key[n] for n in varying]) for key in groups]
        cut = False
        axes = add_panels(figure, titles, width=3.4, height=3.1)
        for pairs, ax in zip(groups.values(), axes, strict=True):
            targets, predictions = (np.concatenate([p[n] for p in pairs]) for n in (0, 1))
            classes, whole = self._choose_classes(targets, predictions)
            cut |= not whole
            self._draw_matrix(ax, confusion_matrix(targets, predictions, classes), classes)
        rest = f" The first {len(groups)} of {total}." if total > len(groups) else ""
        chosen = f" Only the {self.classes} classes with the most mistakes are shown." if cut else ""
        return f"Confusion matrices in percent of each true class (rows).{chosen}{rest}"

    def _choose_classes(
        self, targets: NDArray[Any], predictions: NDArray[Any]
    ) -> tuple[NDArray[np.int64], bool]:
        classes = np.union1d(targets, predictions)
        if len(classes) <= self.classes:
            return classes, True
        wrong = targets != predictions
        mistakes = {
            int(c): int((wrong & ((targets == c) | (predictions == c))).sum()) for c in classes.tolist()
        }
        most = sorted(mistakes, key=lambda c: (-mistakes[c], c))[: self.classes]
        return np.array(sorted(most), dtype=np.int64), False

    @staticmethod
    def _draw_matrix(ax: Any, matrix: NDArray[np.float64], classes: NDArray[np.int64]) -> None:
        ax.grid(False)
        ax.imshow(matrix, cmap="cividis", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
        step = max(1, len(classes) // 10)
        shown = range(0, len(classes), step)
        ax.set_xticks(shown, [str(classes[n]) for n in shown], fontsize=7)
        ax.set_yticks(shown, [str(classes[n]) for n in shown], fontsize=7)
        ax.set_xlabel("predicted class")
        ax.set_ylabel("true class")
        if len(classes) <= 12:
            for (i, j), value in np.ndenumerate(matrix):
                if value >= 0.005:
                    color = "#000000" if value > 0.55 else "#ffffff"
                    size = 6.5 if len(classes) > 6 else 8
                    ax.text(j, i, f"{value * 100:.0f}", ha="center", va="center", fontsize=size, color=color)
