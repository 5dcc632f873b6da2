"""Checks of imported predictions, row by row: ids, labels, logits and probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.errors import DataError, did_you_mean
from harness.exchange.predictions_contract import ImportedPredictions
from harness.exchange.predictions_numbers import NUMBER
from harness.inference.classes import normalise_class_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

SUM_TOLERANCE = 1e-3
"""By how much the probabilities of a sample may miss a sum of one: float16 rounds a thousand of them less."""


LARGEST = 1 << 20
"""There are fewer classes than this: a label beyond is something else, such as an id."""


@dataclass(frozen=True)
class Place:
    """Where rows stand: a file, and what it calls its rows."""

    file: Path
    word: str
    first: int

    def row(self, index: int, id: str | None = None) -> str:
        """Return file, row and sample for the beginning of a message."""
        return f"{self.file}: {self.word} {self.first + index}" + (f" ('{id}')" if id is not None else "")


def place_of(found: ImportedPredictions, file: Path) -> Place:
    """Return where the rows of imported predictions stand."""
    return Place(file, found.row_word, found.first_row)


def check_shape(found: ImportedPredictions, file: Path) -> int:
    """Return the number of samples. Raises DataError if columns differ in length, or there is nothing to score."""
    if found.labels is None and found.scores is None:
        raise DataError(
            f"{file}: holds neither predicted labels nor logits or probabilities: name their column with an option"
        )
    if found.scores is not None and (found.scores.ndim != 2 or found.scores.shape[1] < 2):
        raise DataError(
            f"{file}: {found.kind} of the shape {found.scores.shape}: expected samples × classes, at least two classes"
        )
    names = ("ids", "targets", "labels", "scores")
    sizes = {name: len(column) for name in names if (column := getattr(found, name)) is not None}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(
            f"{count} {'predictions' if name == 'labels' else found.kind if name == 'scores' else name}"
            for name, count in sizes.items()
        )
        raise DataError(f"{file}: lengths differ: {shown}")
    count = next(iter(sizes.values()))
    if not count:
        raise DataError(f"{file}: no rows")
    return count


def check_ids(ids: Sequence[Any], place: Place) -> list[str]:
    """Return ids as texts. Raises DataError for missing and duplicate ones, and numbers that are not whole."""
    found = [_to_id(value, index, place) for index, value in enumerate(ids)]
    seen: dict[str, int] = {}
    for index, id in enumerate(found):
        if id in seen:
            raise DataError(
                f"{place.row(index)}: the id '{id}' is also that of {place.word} {place.first + seen[id]}: "
                "expected one row for each sample"
            )
        seen[id] = index
    return found


def check_scores(found: ImportedPredictions, place: Place, ids: Sequence[str] | None) -> NDArray[Any]:
    """Return the scores as logits, N×C: the logarithms of probabilities.

    Raises DataError for NaN or infinite logits (−∞, which masks a class, is let through if another is finite), and
    for probabilities that are negative or miss a sum of one by more than `SUM_TOLERANCE`.
    """
    assert found.scores is not None
    scores = np.asarray(found.scores)
    if scores.dtype.kind not in "fiu":
        raise DataError(f"{place.file}: {found.kind} of the type {scores.dtype}: expected numbers")
    if scores.dtype.kind != "f" or scores.dtype.itemsize < 4:  # metrics would sum in half precision
        scores = scores.astype(np.float32 if scores.dtype.itemsize < 4 else np.float64)

    def refuse(bad: Any, what: str) -> None:
        if bad.any():
            row = int(bad.argmax())
            raise DataError(f"{place.row(row, None if ids is None else ids[row])}: {what}")

    refuse(np.isnan(scores).any(axis=1), f"its {found.kind} hold a NaN")
    if found.kind == "logits":
        refuse(np.isposinf(scores).any(axis=1), "its logits hold an infinity")
        refuse(np.isneginf(scores).all(axis=1), "its logits are all −∞")
        return scores
    refuse((scores < 0).any(axis=1), "its probabilities hold a negative number")
    sums = scores.sum(axis=1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) <= SUM_TOLERANCE)
    if wrong.any():
        refuse(
            wrong,
            f"its probabilities sum to {sums[int(wrong.argmax())]:.6g}: expected 1 ± {SUM_TOLERANCE:g} "
            "(if they are logits, name them so)",
        )
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(scores))


def check_labels(
    labels: Sequence[Any],
    what: str,
    place: Place,
    names: Sequence[Mapping[str, int]],
    count: int | None,
    moved: Mapping[int, int] | None = None,
) -> NDArray[np.int64]:
    """Return labels as indices of classes.

    `names` are tables from names of classes to indices, the first that has a name counts; `count` is the number
    of classes if it is known; `moved` maps indices of the file's own classes. `what` names the column in errors.
    Raises DataError for a name that is no class's, and for an index that is not whole or outside the classes.
    """
    found = np.empty(len(labels), np.int64)
    words = [v for v in labels if isinstance(v, str) and not NUMBER.fullmatch(v)] if not any(names) else []
    if words:
        raise DataError(
            f"{place.file}: {what}s are names, such as '{words[0]:.60}', and nothing says what classes there are: "
            "name a data set with --targets"
        )
    for index, value in enumerate(labels):
        found[index] = _to_label(value, what, index, place, names, moved)
    highest = count if moved is None else None
    outside = (found < 0) | (found >= highest if highest is not None else False)
    if outside.any():
        row = int(outside.argmax())
        expected = f"0 to {highest - 1}" if highest is not None else "0 or more"
        raise DataError(f"{place.row(row)}: {what} {found[row]} is no class: expected {expected}")
    return found


def tabulate_names(names: Sequence[str] | None) -> list[dict[str, int]]:
    """Return tables from class names to indices: as written, then without differences of writing."""
    if not names:
        return []
    plain = {name: index for index, name in enumerate(names)}
    folded: dict[str, int] = {}
    twice: set[str] = set()
    for name, index in plain.items():
        key = normalise_class_name(name)
        twice |= {key} & folded.keys()
        folded[key] = index
    return [plain, {k: v for k, v in folded.items() if k not in twice}]


def _to_id(value: Any, index: int, place: Place) -> str:
    if isinstance(value, float | np.floating | Decimal):
        if not float(value).is_integer():
            raise DataError(f"{place.row(index)}: the id {value!s} is not a whole number")
        return str(int(value))
    if isinstance(value, list | dict):
        raise DataError(f"{place.row(index)}: the id {value!s:.60} is a list or a table")
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = "" if value is None else str(value)
    if not text.strip():
        raise DataError(f"{place.row(index)}: it has no id")
    return text


def _to_label(
    value: Any,
    what: str,
    index: int,
    place: Place,
    names: Sequence[Mapping[str, int]],
    moved: Mapping[int, int] | None,
) -> int:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        for table in names:
            for key in (value, normalise_class_name(value)):
                if key in table:
                    return table[key]
        if NUMBER.fullmatch(value):
            value = float(value)
        else:
            known = names[0] if names else {}
            raise DataError(
                f"{place.row(index)}: {what} '{value:.60}' is no class{did_you_mean(value, known)}"
            )
    is_number = isinstance(value, int | float | np.integer | np.floating | Decimal)
    if not is_number or isinstance(value, bool) or value != value:
        raise DataError(f"{place.row(index)}: {what} {value!s:.60}: expected a class")
    if value % 1 != 0:  # of infinity, too
        raise DataError(f"{place.row(index)}: {what} {value} is not a whole number")
    if not -LARGEST <= value < LARGEST:
        raise DataError(
            f"{place.row(index)}: {what} {value!s:.60} is no class: there are fewer than {LARGEST}"
        )
    label = int(value)
    if moved is None:
        return label
    if label not in moved:
        raise DataError(
            f"{place.row(index)}: {what} {label} is no class of the data set, by the names of the file's columns"
        )
    return moved[label]
