"""Matching of imported predictions with a data set, or with the samples of the harness's own records."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError
from harness.exchange.predictions_checks import (
    Place,
    check_ids,
    check_labels,
    check_scores,
    check_shape,
    place_of,
    tabulate_names,
)
from harness.exchange.predictions_contract import ImportedPredictions
from harness.exchange.predictions_numbers import choose_reading, find_shift
from harness.inference.classes import Classes, align_classes, map_logits_to_classes

if TYPE_CHECKING:
    from numpy.typing import NDArray


WORDS = (("the model", "the file"), ("outputs", "columns"), ("output", "column"))
"""What the matching of classes says of a model, and what it means for a file."""


@dataclass(frozen=True)
class Truth:
    """The samples that predictions are matched with: those of a data set, or of the harness's own record."""

    ids: Sequence[str]
    targets: NDArray[np.int64]
    classes: Classes
    name: str
    """How messages call it."""
    binding: bool = True
    """Whether it must have every sample of the file; own records only lend their order and classes."""


@dataclass(frozen=True, eq=False)
class Matched:
    """Predictions in a known order of samples and classes: `labels` N, or `logits` N×C with what they predict."""

    ids: list[str]
    targets: NDArray[np.int64]
    labels: NDArray[np.int64]
    logits: NDArray[Any] | None
    classes: int
    class_names: tuple[str, ...] = ()
    remarks: list[str] = field(default_factory=list)
    how: str = "order"
    """What matched the classes: `name`, `label space` or `order`, if that was assumed."""
    same_samples: bool = False
    """Whether the samples and their targets are all those of the truth, and no others."""


def match_predictions(found: ImportedPredictions, file: Path, truth: Truth | None) -> Matched:
    """Return predictions with checked ids, targets and classes, in the order of the truth, else of their ids.

    Raises DataError in one line, starting with the file and where possible its row, for whatever does not fit.
    """
    count, place, remarks = check_shape(found, file), place_of(found, file), list(found.remarks)
    ids, order, truth = _match_ids(found, count, place, truth, remarks)
    kept = truth if truth is not None and order is not None else None
    logits = None if found.scores is None else check_scores(found, place, ids)
    classes = _find_classes(found, kept)
    moved, how = None, "order"
    if logits is not None:
        logits, moved, how = _align(found, logits, classes, file, remarks)
    width = logits.shape[1] if logits is not None else classes.count
    names = classes.names or (_tuple(found.class_names) if logits is not None else None)
    tables: Sequence[Mapping[str, int]] = [*tabulate_names(names), *tabulate_names(classes.keys)]
    said = {"target": found.targets, "prediction": found.labels}
    columns, tables, doubt = choose_reading({k: v for k, v in said.items() if v is not None}, tables, width)
    remarks += [doubt] if doubt else []

    def read(moved: Mapping[int, int] | None) -> tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]:
        given = [
            check_labels(columns[what], what, place, tables, width, moved) if what in columns else None
            for what in said
        ]
        if kept is not None and order is not None:
            given[0] = _choose_targets(given[0], np.asarray(kept.targets, np.int64)[order], ids, place, kept)
        return given[0], given[1] if logits is None else _read_predicted(logits, given[1], ids, place)

    targets, labels = _read_in_either_order(read, moved, remarks)
    if targets is None:
        raise DataError(
            f"{file}: no targets: name their column with target=…, or a data set that has them with --targets"
        )
    assert labels is not None
    if logits is None and (shift := find_shift(labels, targets)):
        remarks.append(shift)
    if width is None:
        width = max(2, int(max(targets.max(), labels.max())) + 1)
        remarks.append(f"that there are {width} classes was assumed: the highest label is {width - 1}")
    rows = np.argsort(order, kind="stable") if order is not None else _sort_naturally(ids)
    same = kept is not None and order is not None and len(ids) == len(kept.ids)
    return Matched(
        [ids[row] for row in rows],
        targets[rows],
        labels[rows],
        None if logits is None else np.ascontiguousarray(logits[rows]),
        width,
        names or (),
        remarks,
        how,
        same,
    )


def _match_ids(
    found: ImportedPredictions, count: int, place: Place, truth: Truth | None, remarks: list[str]
) -> tuple[list[str], NDArray[np.int64] | None, Truth | None]:
    """Return the ids, and for each row its place in the truth; None if the truth does not have them all."""
    if found.ids is None:
        if truth is None or not truth.binding:
            remarks.append("the file has no ids: its rows were numbered from 0")
            ids = [str(n) for n in range(count)]
            if truth is None:
                return ids, None, None
        elif count != len(truth.ids):
            raise DataError(
                f"{place.file}: {count} rows without ids, and {truth.name} has {len(truth.ids)} samples: "
                "which are which needs ids"
            )
        else:
            remarks.append(f"the file has no ids: its rows were assumed to be in the order of {truth.name}")
            return list(truth.ids), np.arange(count), truth
    else:
        ids = check_ids(found.ids, place)
    if truth is None:
        return ids, None, None
    places = {str(id): n for n, id in enumerate(truth.ids)}
    missing = [row for row, id in enumerate(ids) if id not in places]
    shared = count - len(missing)
    if missing and truth.binding:
        near = f"; its first sample is '{truth.ids[0]}'" if not shared else ""
        raise DataError(
            f"{place.row(missing[0])}: {truth.name} has no sample '{ids[missing[0]]}' "
            f"({len(missing)} of {count} rows{near})"
        )
    if missing or (count < len(places) and not truth.binding):
        remarks.append(
            f"its {count} samples are not the {len(places)} of {truth.name} ({shared} are shared): "
            "they can't be compared sample by sample"
        )
        return ids, None, truth
    if count < len(places):
        remarks.append(f"{count} of the {len(places)} samples of {truth.name} are in the file")
    return ids, np.array([places[id] for id in ids]), truth


def _find_classes(found: ImportedPredictions, truth: Truth | None) -> Classes:
    """Return what is known of the classes: the truth's, else the names of the file's columns."""
    if truth is not None and (truth.classes.names or truth.classes.count):
        return truth.classes
    return Classes(
        names=_tuple(found.class_names), count=None if found.scores is None else found.scores.shape[1]
    )


def _align(
    found: ImportedPredictions, logits: NDArray[Any], classes: Classes, file: Path, remarks: list[str]
) -> tuple[NDArray[Any], dict[int, int] | None, str]:
    """Return logits over the classes, where the file's own indices went if they moved, and what decided."""
    own = Classes(names=_tuple(found.class_names), count=logits.shape[1])
    if own.names is not None and len(own.names) != logits.shape[1]:
        raise DataError(
            f"{file}: {len(own.names)} names of classes for {logits.shape[1]} columns of {found.kind}"
        )
    aligned = align_classes(own, replace(classes, order=""))
    if aligned.refusal is not None:
        raise DataError(f"{file}: {_reword(aligned.refusal)}")
    remarks += [_reword(text) for text in aligned.remarks]
    if aligned.columns is None:
        return logits, None, aligned.how
    moved = None
    if own.names is not None:
        moved = {place: index for index, group in enumerate(aligned.columns) for place in group}
    return map_logits_to_classes(logits, aligned.columns), moved, aligned.how


def _reword(text: str) -> str:
    """Return a statement about a model's outputs as one about the file's columns."""
    parts = re.split(r"((?<=[\s(])'[^']*'(?=[\s.,;:?)]|$))", text)  # names in quotes stay as they are
    for model, file in WORDS:
        parts[::2] = [part.replace(model, file) for part in parts[::2]]
    return "".join(parts)


Labels = tuple["NDArray[np.int64] | None", "NDArray[np.int64] | None"]


def _read_in_either_order(
    read: Callable[[Mapping[int, int] | None], Labels], moved: Mapping[int, int] | None, remarks: list[str]
) -> Labels:
    """Return targets and predicted labels, read as indices of the data set's classes, else of the file's columns.

    Where the two orders differ, targets that must agree, and predictions of the largest score, tell which is meant.
    """
    try:
        return read(None)
    except DataError:
        if moved is None or all(place == index for place, index in moved.items()):
            raise
        try:
            found = read(moved)
        except DataError:
            found = None
        if found is None:
            raise
    remarks.append(
        "whole numbers for classes were read in the order of the file's columns: in the data set's they disagree"
    )
    return found


def _choose_targets(
    targets: NDArray[np.int64] | None,
    truths: NDArray[np.int64],
    ids: Sequence[str],
    place: Place,
    truth: Truth,
) -> NDArray[np.int64] | None:
    """Return the targets to use. Raises DataError if the file's are not the truth's."""
    if targets is None:
        return truths if truth.binding else None
    wrong = np.flatnonzero(targets != truths)
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{place.row(row, ids[row])}: target {targets[row]} in the file, {truths[row]} in {truth.name} "
            f"({len(wrong)} of {len(targets)} samples differ)"
        )
    return targets


def _read_predicted(
    logits: NDArray[Any], labels: NDArray[np.int64] | None, ids: Sequence[str], place: Place
) -> NDArray[np.int64]:
    """Return the classes of the largest logits. Raises DataError if predicted labels have smaller ones."""
    best: NDArray[np.int64] = logits.argmax(axis=1)
    if labels is not None:
        rows = np.arange(len(labels))
        wrong = np.flatnonzero(logits[rows, labels] < logits[rows, best])
        if len(wrong):
            row = int(wrong[0])
            raise DataError(
                f"{place.row(row, ids[row])}: prediction {labels[row]}, and the largest score is that of class "
                f"{best[row]} ({len(wrong)} of {len(labels)} samples)"
            )
    return best


def _sort_naturally(ids: Sequence[str]) -> NDArray[np.int64]:
    """Return the order of ids with numbers in them by size, so that the order of rows decides nothing."""

    def key(row: int) -> tuple[list[tuple[int, int, str]], str]:
        parts = re.split(r"(\d+)", ids[row])
        return [(0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p], ids[row]

    return np.array(sorted(range(len(ids)), key=key))


def _tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(str(name) for name in names) if names else None
