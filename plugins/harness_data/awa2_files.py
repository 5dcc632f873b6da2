"""Reads the text files of Animals with Attributes 2: classes, attributes, and the matrices of both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness import DataError, did_you_mean
from harness_data.file_names import is_plain_name

MISSING = -1.0
"""A strength that nobody judged, in the matrix of strengths."""


def read_numbered_names(file: Path) -> list[str]:
    """Return the names of lines `1<TAB>name`. Raises DataError for other numbers, repeated names, or none."""
    lines: dict[str, int] = {}
    for number, line in _number_lines(file):
        words = line.split(None, 1)
        if len(words) != 2 or words[0] != str(len(lines) + 1):
            raise DataError(f"{file}:{number}: expected '{len(lines) + 1}' and a name, found '{line}'")
        name = words[1].strip()
        if name in lines:
            raise DataError(f"{file}:{number}: '{name}' is listed already in line {lines[name]}")
        lines[name] = number
    if not lines:
        raise DataError(f"{file}: lists nothing")
    return list(lines)


def read_class_folders(file: Path) -> list[str]:
    """Return the classes of classes.txt; DataError also for a name that can't be that of a folder."""
    names = read_numbered_names(file)
    if strange := next((name for name in names if not is_plain_name(name)), None):
        raise DataError(f"{file}: class '{strange}' can't be the name of a class folder")
    return names


def read_unseen(train: Path, test: Path, classes: Sequence[str]) -> NDArray[np.bool_]:
    """Return which classes are for testing, C; each must be in one of the two lists of names."""
    sides: dict[str, Path] = {}
    for file in (train, test):
        for number, name in _number_lines(file):
            if name not in classes:
                raise DataError(
                    f"{file}:{number}: class '{name}' is not in classes.txt{did_you_mean(name, classes)}"
                )
            if name in sides:
                other = "twice" if sides[name] == file else f"also in {sides[name].name}"
                raise DataError(f"{file}:{number}: class '{name}' is listed {other}")
            sides[name] = file
    if neither := [name for name in classes if name not in sides]:
        raise DataError(f"{train}: class '{neither[0]}' is neither there nor in {test.name}")
    return np.array([sides[name] == test for name in classes])


def read_matrix(file: Path, classes: Sequence[str], attributes: Sequence[str]) -> NDArray[np.float64]:
    """Return numbers C×A, a line for each class. Raises DataError naming a line of other length, or no number."""
    rows: list[list[float]] = []
    for number, line in _number_lines(file):
        words = line.split()
        if len(rows) == len(classes):
            raise DataError(f"{file}:{number}: expected {len(classes)} lines, one for each class, found more")
        if len(words) != len(attributes):
            raise DataError(
                f"{file}:{number}: expected {len(attributes)} numbers for class '{classes[len(rows)]}', found {len(words)}"
            )
        try:
            rows.append([float(word) for word in words])
        except ValueError as error:
            raise DataError(f"{file}:{number}: expected numbers ({error})") from None
        if not np.isfinite(rows[-1]).all():
            raise DataError(f"{file}:{number}: expected finite numbers")
    if len(rows) != len(classes):
        raise DataError(f"{file}: expected {len(classes)} lines, one for each class, found {len(rows)}")
    return np.array(rows)


def read_strengths(file: Path, classes: Sequence[str], attributes: Sequence[str]) -> NDArray[np.float64]:
    """Return strengths C×A, NaN where they are missing (−1)."""
    table = read_matrix(file, classes, attributes)
    if (odd := np.argwhere((table < 0) & (table != MISSING))).size:
        row, column = odd[0]
        raise DataError(
            f"{file}: class '{classes[row]}' has {table[row, column]:g} for '{attributes[column]}', expected a strength of "
            "at least 0, or -1 where it is missing"
        )
    return np.where(table == MISSING, np.nan, table)


def read_binary(file: Path, classes: Sequence[str], attributes: Sequence[str]) -> NDArray[np.float64]:
    """Return ones and zeros C×A."""
    table = read_matrix(file, classes, attributes)
    if (odd := np.argwhere((table != 0) & (table != 1))).size:
        row, column = odd[0]
        raise DataError(
            f"{file}: class '{classes[row]}' has {table[row, column]:g} for '{attributes[column]}', expected 0 or 1"
        )
    return table


def _number_lines(file: Path) -> list[tuple[int, str]]:
    """Return the number and the text of each line that is not blank."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read: {error}") from None
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.strip()) for number, line in lines if line.strip()]
