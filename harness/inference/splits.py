"""Splits to train, validate and test on, whatever a data set's author called them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from harness.errors import did_you_mean

Role = Literal["train", "validation", "test"]

SYNONYMS: dict[Role, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("val", "validation", "valid", "dev", "eval"),
    "test": ("test", "testing"),
}
"""Names of each role, in any case. If a data set has several, the first in this order counts."""


@dataclass(frozen=True)
class TestSplit:
    """The split to test on, or why there is none; `remark` says what its choice assumed."""

    __test__ = False  # its name must not make pytest collect it

    name: str | None = None
    refusal: str | None = None
    remark: str | None = None


def role_of(name: str) -> Role | None:
    """Return the role that a split's name tells, or None."""
    return next((role for role, names in SYNONYMS.items() if name.casefold() in names), None)


def find_split(splits: Sequence[str], role: Role) -> str | None:
    """Return the data set's split for a role under any of its names, or None."""
    for name in SYNONYMS[role]:
        if name in splits:
            return name
    folded = {split.casefold(): split for split in reversed(splits)}
    return next((folded[name] for name in SYNONYMS[role] if name in folded), None)


def training_split(splits: Sequence[str]) -> str | None:
    """Return the split to learn from, or None if no name tells one."""
    return find_split(splits, "train")


def validation_split(splits: Sequence[str], tested: str | None) -> str | None:
    """Return the split to choose settings on, or None if there is none besides the tested one."""
    found = find_split(splits, "validation")
    return None if found == tested else found


def find_named_split(splits: Sequence[str], asked: str) -> str | None:
    """Return the split of a name, of its other spelling in case, or of its synonym; else None."""
    if asked in splits:
        return asked
    same = [split for split in splits if split.casefold() == asked.casefold()]
    role = role_of(asked)
    return same[0] if same else find_split(splits, role) if role else None


def find_test_split(splits: Sequence[str], asked: str | None = None, option: str = "split") -> TestSplit:
    """Return the split to test on; never one for training, or one of several unknown ones, unless asked.

    The order is: the one `asked` for, one for testing, one for validation, the only one.
    `option` is the option by which a user names another; if empty, no option is mentioned.
    """
    if asked is not None:
        if found := find_named_split(splits, asked):
            return TestSplit(found)
        return TestSplit(
            refusal=f"the data set has no split '{asked}' to test on{did_you_mean(asked, splits)}"
        )
    if test := find_split(splits, "test"):
        return TestSplit(test)
    if validation := find_split(splits, "validation"):
        remark = f"tested on '{validation}', a split for validation: the data set has none for testing"
        return TestSplit(validation, remark=remark)
    if len(splits) == 1 and not splits[0].casefold().startswith("train"):
        remark = f"tested on '{splits[0]}', the only split: its name does not say that it is for testing"
        return TestSplit(splits[0], remark=remark)
    cure = f"name the one to test on ({option} = …)" if option else "it needs one, such as 'test' or 'val'"
    there = ", ".join(f"'{split}'" for split in splits[:6]) + (", …" if len(splits) > 6 else "")
    held = f"only {there}" if splits else "nor any other"
    return TestSplit(
        refusal=f"the data set has neither a split for testing nor one for validation, {held}: {cure}"
    )
