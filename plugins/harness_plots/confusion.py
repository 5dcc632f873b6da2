"""Confusion matrices from per-sample predictions, or from counts that records keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness import HarnessError
from harness.plotting.style import COLUMN_WIDTH, PAGE_WIDTH, SMALL_TEXT
from harness_plots.labels import shorten, wrap
from harness_plots.points import format_key

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from harness import Record, Store


NOTHING = -1
"""In kept counts, the class of what is there and not found, or found and not there; in samples a number as any other."""


def confusion_matrix(
    targets: NDArray[np.int64],
    predictions: NDArray[np.int64],
    classes: NDArray[np.int64],
    counts: NDArray[np.float64] | None = None,
) -> NDArray[np.float64]:
    """Return the shares of each true class's samples (rows) that were predicted as each class, K×K.

    Rows sum to 1, or to less if there are predictions outside `classes`. Each pair counts once, or `counts` times.
    """
    place = {int(c): n for n, c in enumerate(classes)}
    weights = np.ones(len(targets)) if counts is None else counts
    shares = np.zeros((len(classes), len(classes)))
    sums = np.zeros(len(classes))
    for target, prediction, weight in zip(
        targets.tolist(), predictions.tolist(), weights.tolist(), strict=True
    ):
        if target in place:
            sums[place[target]] += weight
            if prediction in place:
                shares[place[target], place[prediction]] += weight
    return shares / np.where(sums > 0, sums, 1)[:, None]


@dataclass
class Group:
    """The predictions of one panel, pooled over records, how often each counts, and what the classes are called.

    `nothing` tells whether −1 is no class but the absence of any.
    """

    title: str
    names: Sequence[str]
    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]
    counts: NDArray[np.float64]
    nothing: bool


class Confusion:
    """One matrix per model, method and data set, pooled over seeds.

    It is made from samples with targets and predictions, or from the counts that protocols of objects and regions keep
    as the curve `confusion` (columns `target`, `prediction`, `count`): the row and column "background" are then what
    was found where nothing is, and what was not found. If there are more than `classes` classes, only those with the
    most mistakes are shown.

    Args:
        panels: largest number of matrices.
        classes: largest number of classes in a matrix.
    """

    def __init__(self, panels: int = 4, classes: int = 20) -> None:
        self.panels, self.classes = panels, classes

    def draw(self, data: pd.DataFrame, store: Store, figure: Figure) -> str | None:
        """Draw matrices of row-wise shares, with numbers if the matrices are small enough to read."""
        kept = data[data["status"] == "ok"]
        columns = [n for n in ("model", "method", "dataset") if n in kept.columns]
        total = len(kept[columns].drop_duplicates())
        groups = self._read_groups(kept, columns, store)
        if not groups:
            raise HarnessError(
                "no record has per-sample targets and predictions as class numbers, or counts of them"
            )
        chosen = [self._choose_classes(g) for g in groups]
        cut = any(
            len(c) < len(np.union1d(g.targets, g.predictions)) for g, c in zip(groups, chosen, strict=True)
        )
        labels = [
            [_name_class(c, g) for c in classes.tolist()] for g, classes in zip(groups, chosen, strict=True)
        ]
        most = max(map(len, chosen))
        alike = all(names == labels[0] for names in labels)
        side = max(1.5, 0.22 * most)
        longest = max(len(n) for names in labels for n in names)
        titles = [wrap(group.title, int(side * 72 / 6.4)) for group in groups]
        axes = _add_matrices(figure, titles, side, longest, alike)
        for n, (group, classes, ax) in enumerate(zip(groups, chosen, axes, strict=True)):
            matrix = confusion_matrix(group.targets, group.predictions, classes, group.counts)
            _draw_matrix(ax, matrix, labels[n], upright=longest * 5.0 + 3 > side * 72 / most)
            ax.set_title(titles[n], loc="left")
            grid = ax.get_gridspec()
            if alike and n % grid.ncols:
                ax.tick_params(labelleft=False)
            else:
                ax.set_ylabel("True class")
            if alike and n + grid.ncols < len(groups):
                ax.tick_params(labelbottom=False)
            else:
                ax.set_xlabel("Predicted class")
        rest = f" The first {len(groups)} of {total}." if total > len(groups) else ""
        few = f" Only the {self.classes} classes with the most mistakes are shown." if cut else ""
        nameless = "" if all(g.names for g in groups) else " Classes whose names are unknown have numbers."
        nothing = (
            " Background: found where nothing is (row), or not found (column)."
            if any(g.nothing and NOTHING in (*g.targets, *g.predictions) for g in groups)
            else ""
        )
        return f"Confusion matrices in percent of each true class (rows).{nothing}{few}{nameless}{rest}"

    def _read_groups(self, kept: pd.DataFrame, columns: list[str], store: Store) -> list[Group]:
        found: dict[tuple[Any, ...], tuple[str, list[ClassPairs]]] = {}
        for id, key in zip(kept["id"], kept[columns].itertuples(index=False, name=None), strict=True):
            if key not in found and len(found) == self.panels:
                continue
            if (pairs := _read_samples(store, id) or _read_counts(store, id)) is not None:
                found.setdefault(key, (id, []))[1].append(pairs)
        varying = [n for n in range(len(columns)) if len({key[n] for key in found}) > 1] or [0]
        groups = []
        for key, (id, pairs_of_runs) in found.items():
            targets, predictions, counts = (
                np.concatenate([pairs[n] for pairs in pairs_of_runs]) for n in range(3)
            )
            names = read_class_names(store.read(id))
            nothing = any(pairs.nothing for pairs in pairs_of_runs)
            title = format_key([key[n] for n in varying])
            groups.append(Group(title, names, targets, predictions, counts, nothing))
        return groups

    def _choose_classes(self, group: Group) -> NDArray[np.int64]:
        """Return the classes of a matrix in their order, nothing behind them."""
        classes = np.union1d(group.targets, group.predictions)
        if len(classes) > self.classes:
            wrong = np.where(group.targets != group.predictions, group.counts, 0)
            mistakes = {
                int(c): float(wrong[(group.targets == c) | (group.predictions == c)].sum())
                for c in classes.tolist()
            }
            most = sorted(mistakes, key=lambda c: (-mistakes[c], c))[: self.classes]
            classes = np.array(sorted(most), dtype=np.int64)
        last = (classes == NOTHING) & group.nothing
        return np.concatenate([classes[~last], classes[last]])


class ClassPairs(NamedTuple):
    """True and predicted classes, how often each pair counts, and whether −1 stands for nothing."""

    targets: NDArray[np.int64]
    predictions: NDArray[np.int64]
    counts: NDArray[np.float64]
    nothing: bool = False


def _read_samples(store: Store, id: str) -> ClassPairs | None:
    samples = store.samples(id)
    if samples is None or not {"target", "prediction"} <= set(samples.columns):
        return None
    targets, predictions = samples["target"].to_numpy(), samples["prediction"].to_numpy()
    if not all(np.issubdtype(side.dtype, np.integer) for side in (targets, predictions)):
        return None
    return ClassPairs(targets, predictions, np.ones(len(targets)))


def _read_counts(store: Store, id: str) -> ClassPairs | None:
    from harness_plots.training_curves import group_by_curve

    table = store.curves(id)
    columns = {} if table is None else group_by_curve(table[table["curve"] == "confusion"]).get("confusion")
    if not columns or not {"target", "prediction", "count"} <= set(columns):
        return None
    targets, predictions = (columns[side].astype(np.int64) for side in ("target", "prediction"))
    return ClassPairs(targets, predictions, columns["count"], nothing=True)


def _name_class(number: int, group: Group) -> str:
    if group.nothing and number == NOTHING:
        return "background"
    return shorten(group.names[number], 24) if 0 <= number < len(group.names) else str(number)


def read_class_names(record: Record | None) -> Sequence[str]:
    """Return the names of a record's classes in their order: its own note, else its data set's; empty if unknown."""
    if record is None:
        return ()
    noted = record.notes.get("class_names", record.notes.get("classes"))
    if isinstance(noted, list):
        return [str(name) for name in noted]
    from harness.contract.declared import ask
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import Reference

    part: Any = record.cell.get("dataset")
    try:
        where = f"{part['distribution']}/{part['plugin']}"
        found = Resolver().resolve("datasets", Reference(where, part.get("options", {})), "plot").object
        split = "test" if "test" in found.splits else found.splits[-1]
        names = ask(found, "class_names") or ask(found.load(split), "class_names")
        return [str(name) for name in names or ()]
    except Exception:  # without the data set here, numbers must do
        return ()


def _add_matrices(figure: Figure, titles: Sequence[str], side: float, longest: int, alike: bool) -> list[Any]:
    """Add axes of `side` inches, with room for the names of classes: once per row and column if they are alike."""
    count, lines = len(titles), max(title.count("\n") + 1 for title in titles)
    names = longest * 0.068 + 0.35
    own, shared = (0.1, names) if alike else (names, 0.0)
    columns = next((c for c in (4, 3, 2) if c <= count and c * (side + own) + shared <= PAGE_WIDTH), 1)
    rows = -(-count // columns)
    width = max(columns * (side + own) + shared + 0.1, COLUMN_WIDTH)
    figure.set_size_inches(width, rows * (side + own + 0.06 + 0.17 * lines) + shared)
    return [figure.add_subplot(rows, columns, n + 1) for n in range(count)]


def _draw_matrix(ax: Any, matrix: NDArray[np.float64], names: Sequence[str], upright: bool) -> None:
    ax.grid(False)
    ax.imshow(matrix, cmap="cividis", vmin=0, vmax=1, interpolation="nearest", aspect="equal")
    places = range(len(names))
    ax.set_xticks(places, names, fontsize=SMALL_TEXT, rotation=90 if upright else 0)
    ax.set_yticks(places, names, fontsize=SMALL_TEXT)
    for (i, j), value in np.ndenumerate(matrix):
        if value >= 0.005:
            color = "#000000" if value > 0.55 else "#ffffff"
            ax.text(j, i, f"{value * 100:.0f}", ha="center", va="center", fontsize=SMALL_TEXT, color=color)
