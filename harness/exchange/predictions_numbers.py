"""Numbers for classes: whether a column's numbers are indices of classes, or names of classes that are numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NUMBER = re.compile(r"\s*-?(\d+(\.\d*)?|\.\d+)\s*")
"""A label that is an index, written as text."""

SHIFTED = 0.5
"""Labels that agree with this share of targets once they are lessened by one were counted from 1."""


def choose_reading(
    columns: Mapping[str, Sequence[Any]], names: Sequence[Mapping[str, int]], count: int | None
) -> tuple[Mapping[str, Sequence[Any]], Sequence[Mapping[str, int]], str | None]:
    """Return columns of labels and tables of names to read them by, and a remark if they could mean other classes.

    It matters where classes are called by numbers that are not their indices, as folders `1`, `10`, `2` are. Texts
    are then names if all of all columns are, else indices; whole numbers are indices if all can be, else names.
    """
    called = {k: i for table in reversed(names) for k, i in table.items() if NUMBER.fullmatch(k)}
    texts = {what: [_to_text(value) for value in labels] for what, labels in columns.items()}
    numbers = {text for column in texts.values() for text in column if text is not None}
    if all(called.get(text) in (None, int(text)) for text in numbers if text.isdecimal()):
        return columns, names, None
    named = numbers <= called.keys()
    indexed = all(t.isdecimal() and (count is None or int(t) < count) for t in numbers)
    said = f"the {'s and '.join(columns)}s are numbers, and were read as"
    if named and (not indexed or any(isinstance(v, str) for column in columns.values() for v in column)):
        read = {
            what: [v if text is None else text for v, text in zip(labels, texts[what], strict=True)]
            for what, labels in columns.items()
        }
        return read, names, f"{said} names of classes, not as indices" if indexed else None
    others = [{k: i for k, i in table.items() if k not in called} for table in names]
    return columns, others, f"{said} indices of classes, not as their names" if named else None


def find_shift(labels: NDArray[np.int64], targets: NDArray[np.int64]) -> str | None:
    """Return a remark if predicted labels seem to be counted from 1, and the targets from 0."""
    agreeing, shifted = np.mean(labels == targets), np.mean(labels - 1 == targets)
    if labels.min() < 1 or shifted < SHIFTED or agreeing > shifted / 2:
        return None
    return (
        f"the predictions seem to be counted from 1: they agree with {agreeing:.1%} of the targets, and less one "
        f"with {shifted:.1%}"
    )


def _to_text(value: Any) -> str | None:
    """Return a number as text, a whole one without decimals; None for what is none."""
    if isinstance(value, str):
        return re.sub(r"\.0*$", "", value.strip()) if NUMBER.fullmatch(value) else None
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating | Decimal):
        return None
    return str(int(value)) if value == value and value % 1 == 0 else None
