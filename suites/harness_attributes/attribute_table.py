"""What a data set says of its classes: their attributes, and which of them a model may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import DataError, Split
from harness.contract.declared import ask

NEEDED = ("class_attributes", "class_attributes_binary", "attribute_names", "unseen")


@dataclass(frozen=True)
class AttributeTable:
    """C classes and A attributes."""

    class_names: Sequence[str]
    attribute_names: Sequence[str]
    binary: NDArray[np.float64]
    """C×A of 1 and 0, NaN where it is not known."""
    continuous: NDArray[np.float64]
    """C×A strengths, NaN where they are not known."""
    unseen: NDArray[np.bool_]
    """C: the classes of which there are no images to learn from."""

    @property
    def seen_classes(self) -> NDArray[np.int64]:
        """The labels of seen classes."""
        return np.flatnonzero(~self.unseen)

    @property
    def unseen_classes(self) -> NDArray[np.int64]:
        """The labels of unseen classes."""
        return np.flatnonzero(self.unseen)


def read_attribute_table(split: Split, where: str) -> AttributeTable:
    """Return the classes of a split as it describes them; `where` starts messages.

    Raises DataError for a split that describes none, shapes that do not fit, other values than 0, 1 and NaN in the
    binary table, and less than two seen or unseen classes.
    """
    names = ask(split, "class_names")
    if missing := [name for name in NEEDED if getattr(split, name, None) is None]:
        raise DataError(
            f"{where}: does not describe its classes by attributes (no `{missing[0]}`), as awa2 and scene-attributes do"
        )
    if not names:
        raise DataError(f"{where}: does not name its classes")
    given: Any = split
    attributes = [str(name) for name in given.attribute_names]
    shape = (len(names), len(attributes))
    tables = {name: np.asarray(getattr(given, name), np.float64) for name in NEEDED[:2]}
    for name, table in tables.items():
        if table.shape != shape:
            raise DataError(
                f"{where}: expected `{name}` of {shape[0]} classes × {shape[1]} attributes, got {table.shape}"
            )
    binary = tables["class_attributes_binary"]
    odd = np.argwhere(~(np.isnan(binary) | (binary == 0) | (binary == 1)))
    if len(odd):
        row, column = odd[0]
        raise DataError(
            f"{where}: class '{names[row]}' has {binary[row, column]:g} for attribute '{attributes[column]}', expected 0, 1, "
            "or NaN where it is not known"
        )
    unseen = np.asarray(given.unseen)
    if unseen.shape != (len(names),) or unseen.dtype != bool:
        raise DataError(f"{where}: expected `unseen` to be true or false for each of {len(names)} classes")
    for what, count in (("seen", int((~unseen).sum())), ("unseen", int(unseen.sum()))):
        if count < 2:
            raise DataError(f"{where}: needs two {what} classes or more, has {count}")
    return AttributeTable([str(n) for n in names], attributes, binary, tables["class_attributes"], unseen)


def check_side(table: AttributeTable, split: Split, unseen: bool, where: str) -> None:
    """Raise DataError for a sample whose class is not on the split's side: seen or unseen."""
    targets = np.asarray(split.targets)
    wrong = np.flatnonzero((targets < 0) | (targets >= len(table.unseen)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{where}: sample '{split.ids[row]}' has label {targets[row]} of {len(table.unseen)} classes"
        )
    wrong = np.flatnonzero(table.unseen[targets] != unseen)
    if len(wrong):
        row = int(wrong[0])
        name = table.class_names[targets[row]]
        side, other = ("unseen", "seen") if unseen else ("seen", "unseen")
        raise DataError(
            f"{where}: sample '{split.ids[row]}' is of the {other} class '{name}', and the split is for {side} classes"
        )


def describe_twins(table: AttributeTable, used: Sequence[int], candidates: Sequence[int]) -> list[str]:
    """Return a remark on candidate classes that no attribute in use tells apart: the first of them is predicted."""
    first: dict[bytes, int] = {}
    twins = []
    for label in candidates:
        key = np.nan_to_num(table.binary[label, list(used)], nan=-1.0).tobytes()
        if (twin := first.setdefault(key, label)) != label:
            twins.append(f"'{table.class_names[twin]}' and '{table.class_names[label]}'")
    if not twins:
        return []
    are = "class has" if len(twins) == 1 else "classes have"
    return [
        f"{len(twins)} candidate {are} the attributes of another, and can't be predicted (first: {twins[0]})"
    ]
