"""Which split of a data set trains, validates and tests, whatever its author called it."""

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
"""Names that stand for a role, in any case. Of two that a data set has, the earlier one is meant."""


@dataclass(frozen=True)
class TestSplit:
    """The split to test on, or why there is none; `remark` says what was assumed in choosing it."""

    __test__ = False  # its name must not make pytest collect it

    name: str | None = None
    refusal: str | None = None
    remark: str | None = None


def role_of(name: str) -> Role | None:
    """Return what a split of this name is for, None for a name that says nothing."""
    return next((role for role, names in SYNONYMS.items() if name.casefold() in names), None)


def split_for(splits: Sequence[str], role: Role) -> str | None:
    """Return the data set's split for a role under any of its names, None where it has none."""
    for name in SYNONYMS[role]:
        if name in splits:
            return name
    folded = {split.casefold(): split for split in reversed(splits)}
    return next((folded[name] for name in SYNONYMS[role] if name in folded), None)


def training_split(splits: Sequence[str]) -> str | None:
    """Return the split to learn from, None where no split says that it is one."""
    return split_for(splits, "train")


def validation_split(splits: Sequence[str], tested: str | None) -> str | None:
    """Return the split to choose settings on; None where there is none besides the one that is tested."""
    found = split_for(splits, "validation")
    return None if found == tested else found


def named_split(splits: Sequence[str], asked: str) -> str | None:
    """Return the split that a name asks for: of that name, in another case, or under a synonym."""
    if asked in splits:
        return asked
    same = [split for split in splits if split.casefold() == asked.casefold()]
    role = role_of(asked)
    return same[0] if same else split_for(splits, role) if role else None


def find_test_split(splits: Sequence[str], asked: str | None = None, option: str = "split") -> TestSplit:
    """Return the split to test on; never one for training, or one of several unknown ones, unless asked.

    That is the one `asked` for, else the one for testing, else the one for validation, else the only one.
    `option` is what the user names another with; without it (empty) no option is mentioned.
    """
    if asked is not None:
        if found := named_split(splits, asked):
            return TestSplit(found)
        return TestSplit(
            refusal=f"the data set has no split '{asked}' to test on{did_you_mean(asked, splits)}"
        )
    if test := split_for(splits, "test"):
        return TestSplit(test)
    if validation := split_for(splits, "validation"):
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
