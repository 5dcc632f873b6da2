"""Targets of a table of media: a label, several labels, or a number cut into quantile bins of the training split."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError
from harness.inference.splits import training_split
from harness_data.media_rows import MediaRow
from harness_data.media_splits import ByName
from harness_data.question_cells import read_text_cell, shorten_text

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TargetedSplit:
    """The items of a split that have a target, and the targets: N labels, or N×C of 1 and 0."""

    rows: Sequence[MediaRow]
    targets: NDArray[np.int64]


@dataclass(frozen=True)
class MediaTargets:
    """The splits with their targets, the classes (in order, if `ordered`), and remarks."""

    splits: dict[str, TargetedSplit]
    class_names: list[str]
    ordered: bool
    remarks: list[str]


def read_labels(divided: ByName, separator: str | None, where: str) -> MediaTargets:
    """Return one label per item, or with a `separator` several; items without any are left out, with a remark.

    The classes are all labels of all splits, sorted. Raises DataError if there are fewer than two.
    """
    read = {
        name: [(row, _split_labels(row.target, separator)) for row in rows] for name, rows in divided.items()
    }
    names = sorted({label for rows in read.values() for _, labels in rows for label in labels})
    if len(names) < 2:
        raise DataError(f"{where}: has {len(names)} different labels, expected at least two")
    number = {name: n for n, name in enumerate(names)}
    found: dict[str, TargetedSplit] = {}
    remarks: list[str] = []
    for split, rows in read.items():
        kept = [(row, labels) for row, labels in rows if labels]
        remarks += _remark_missing(split, len(rows) - len(kept), len(rows), "label")
        if separator is None:
            targets = np.array([number[labels[0]] for _, labels in kept], np.int64)
        else:
            targets = np.zeros((len(kept), len(names)), np.int64)
            for n, (_, labels) in enumerate(kept):
                targets[n, [number[label] for label in labels]] = 1
        found[split] = TargetedSplit([row for row, _ in kept], targets)
    if (train := training_split(list(read))) is not None:
        known = {label for _, labels in read[train] for label in labels}
        if unknown := [name for name in names if name not in known]:
            shown = ", ".join(map(shorten_text, unknown[:6])) + (", …" if len(unknown) > 6 else "")
            remarks.append(f"{len(unknown)} of {len(names)} labels do not occur in '{train}': {shown}")
    return MediaTargets(found, names, False, remarks)


def read_bins(divided: ByName, bins: int, where: str) -> MediaTargets:
    """Return the quantile bin of each item's number; the quantiles are those of the training split alone.

    A number equal to an edge belongs to the lower bin. Equal edges count once, so that there may be fewer bins; a remark
    tells edges and counts. Raises DataError for a cell that is no number, without a training split, and if a single bin
    is left.
    """
    train = training_split(list(divided))
    if train is None:
        raise DataError(f"{where}: bins are quantiles of the training split, and none of its splits is one")
    read = {name: [(row, _read_number(row)) for row in rows] for name, rows in divided.items()}
    values = [value for _, value in read[train] if value is not None]
    if not values:
        raise DataError(f"{where}: no item of '{train}' has a number")
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    edges = edges[edges < max(values)]
    if not len(edges):
        raise DataError(f"{where}: the numbers of '{train}' are too alike to be cut into {bins} bins")
    shown = [f"{edge:.6g}" for edge in edges]
    between = [f"over {a} up to {b}" for a, b in pairwise(shown)]
    names = [f"up to {shown[0]}", *between, f"over {shown[-1]}"]
    if len(set(names)) < len(names):
        raise DataError(
            f"{where}: edges of bins are too close to be told apart in six digits: {', '.join(shown)}"
        )
    found: dict[str, TargetedSplit] = {}
    remarks = [f"bins are {bins} quantiles of '{train}', cut at {', '.join(shown)}"]
    if len(names) < bins:
        remarks.append(f"equal quantiles count once: there are {len(names)} bins, not {bins}")
    for split, rows in read.items():
        kept = [(row, value) for row, value in rows if value is not None]
        remarks += _remark_missing(split, len(rows) - len(kept), len(rows), "number")
        targets = np.searchsorted(edges, [value for _, value in kept], side="left").astype(np.int64)
        counts = np.bincount(targets, minlength=len(names))
        remarks.append(f"items of '{split}' by bin: {', '.join(map(str, counts))}")
        found[split] = TargetedSplit([row for row, _ in kept], targets)
    return MediaTargets(found, names, True, remarks)


def _split_labels(value: Any, separator: str | None) -> list[str]:
    if separator is None:
        text = read_text_cell(value)
        return [] if text is None else [text]
    parts = value if isinstance(value, list) else (read_text_cell(value) or "").split(separator)
    return list(dict.fromkeys(text for part in parts if (text := read_text_cell(part)) is not None))


def _read_number(row: MediaRow) -> float | None:
    text = read_text_cell(row.target)
    if text is None:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise DataError(f"{row.where}: '{shorten_text(text)}' is no number")
    return found


def _remark_missing(split: str, missing: int, count: int, what: str) -> list[str]:
    return [f"{missing} of {count} items of '{split}' have no {what}, and are left out"] if missing else []
