"""Divide pairs into training, early stopping and reporting, by the reference protocol's rule or a clean one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import DataError, OptionError
from harness.errors import did_you_mean
from harness.inference.splits import Role, find_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness import Split

SplitRule = Literal["reference", "clean"]
RULES: tuple[SplitRule, ...] = ("reference", "clean")

SEED = 42
"""The reference protocol's `random_state`; the division never depends on a training's seed."""

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
"""Share of the training part that validates under the clean rule."""

ALL = "all"
ROLES: tuple[Role, ...] = ("train", "validation", "test")
UNLABELLED = "unlabelled"


@dataclass(frozen=True, eq=False)
class Division:
    """Rows (int64, ascending) of each part. Under the reference rule `validation` is `test` itself."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    kept_whole: tuple[int, ...] = ()
    """Labels with too few pairs to divide; all their pairs train."""


def _hold_out(
    rows: NDArray[np.int64], targets: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], tuple[int, ...]]:
    """Return rows kept and rows held out, stratified, and the labels with a single pair, which are kept.

    Raises DataError if there are too few pairs.
    """
    from sklearn.model_selection import train_test_split

    labels, counts = np.unique(targets[rows], return_counts=True)
    single = labels[counts < 2]
    apart = np.isin(targets[rows], single)
    divided = rows[~apart]
    classes = len(labels) - len(single)
    needed = int((max(1, classes) - 1) / share) + 1  # scikit-learn holds out the share rounded up
    if not classes:
        raise DataError(
            f"no class has two labelled pairs or more ({len(rows)} in all), so that {share:.0%} of each can't be "
            "held out; add pairs, or raise --limit"
        )
    if len(divided) < needed:
        raise DataError(
            f"{len(divided)} labelled pairs of {classes} classes are too few to hold out {share:.0%} "
            f"of them with every class in it; at least {needed} are needed"
        )
    kept, out = train_test_split(divided, test_size=share, stratify=targets[divided], random_state=seed)
    return np.sort(np.concatenate([kept, rows[apart]])), np.sort(out), tuple(int(s) for s in single)


def divide_by_reference(targets: NDArray[np.int64], seed: int = SEED) -> Division:
    """Divide into 80 % to train and 20 % that both stop the training and are reported.

    Equals `train_test_split(test_size=0.2, stratify=targets, random_state=seed)` if every class has two
    pairs. Reported results are optimistic, since the same part selects the epoch. Rows with target −1
    are in no part. Raises DataError if there are too few labelled pairs.
    """
    labelled = np.flatnonzero(targets >= 0)
    train, test, whole = _hold_out(labelled, targets, TEST_SHARE, seed)
    return Division(train, test, test, whole)


def divide_cleanly(targets: NDArray[np.int64], seed: int = SEED) -> Division:
    """Report the same 20 % as under the reference rule, and stop training on 10 % of the others.

    Rows with target −1 are in no part. Raises DataError if there are too few labelled pairs.
    """
    first = divide_by_reference(targets, seed)
    train, validation, whole = _hold_out(first.train, targets, VALIDATION_SHARE, seed)
    return Division(train, validation, first.test, tuple(sorted({*first.kept_whole, *whole})))


@dataclass(frozen=True, eq=False)
class SplitPortion:
    """Some rows (ascending) of a loaded split; features are cached for the whole split and taken by row."""

    name: str
    split: Split
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> NDArray[np.int64]:
        """Labels of the rows, none of them −1."""
        return np.asarray(self.split.targets)[self.rows]

    @property
    def ids(self) -> list[str]:
        """Ids of the rows."""
        return [self.split.ids[r] for r in self.rows]


@dataclass(frozen=True)
class Arrangement:
    """The parts of a data set under a rule; `validation` is `test` under the reference rule."""

    rule: SplitRule
    train: SplitPortion
    validation: SplitPortion
    test: SplitPortion
    unlabelled: str | None
    """The name of the split without labels, if the data set has one."""
    notes: dict[str, Any] = field(default_factory=dict)
    """JSON-able: the number of pairs of each part, and what was left out or kept whole."""


def arrange_pair_splits(
    names: Sequence[str], open_split: Callable[[str], Split], rule: SplitRule, seed: int = SEED
) -> Arrangement:
    """Arrange the parts of a data set whose splits are `names`, opened by `open_split`.

    A split `all` is divided by `divide_by_reference` or `divide_cleanly`. A data set with a split `train`
    keeps its own splits: `test` is reported or, if it is missing or has no labels, the validation split.
    Under the reference rule the reported part also stops the training; under the clean one the
    validation split does or, if it is missing or reported itself, a stratified 10 % of `train`.
    Rows without a label are left out and counted.

    Raises OptionError for an unknown rule, DataError if parts are missing or too small.
    """
    if rule not in RULES:
        raise OptionError(f"split: there is no rule '{rule}'{did_you_mean(rule, RULES)}")
    spare = UNLABELLED if UNLABELLED in names else None
    notes: dict[str, Any] = {}
    if ALL in names:
        split = open_split(ALL)
        targets = np.asarray(split.targets)
        division = (divide_by_reference if rule == "reference" else divide_cleanly)(targets, seed)
        parts = [SplitPortion(ALL, split, r) for r in (division.train, division.validation, division.test)]
        whole, opened = division.kept_whole, [split]
    else:
        parts, whole, opened, spare = _use_own_splits(names, open_split, rule, seed, spare)
    if rule == "reference":
        parts[1] = parts[2]
    if left := sum(int((np.asarray(s.targets) < 0).sum()) for s in opened):
        notes["pairs without a label, left out"] = left
    if whole:
        notes["labels with too few pairs to divide, kept for training"] = list(whole)
    for role, part in zip(("train", "validation", "test"), parts, strict=True):
        notes[role] = {"split": part.name, "pairs": len(part)}
    train, validation, test = parts
    return Arrangement(rule, train, validation, test, spare, notes)


def _use_own_splits(
    names: Sequence[str], open_split: Callable[[str], Split], rule: SplitRule, seed: int, spare: str | None
) -> tuple[list[SplitPortion], tuple[int, ...], list[Split], str | None]:
    train_name, validation_name, test_name = (find_split(names, role) for role in ROLES)
    if train_name is None:
        raise DataError(f"fusion needs a split 'all', or 'train' and one to report; there are: {list(names)}")
    found: dict[str, SplitPortion] = {}
    for name in (train_name, validation_name, test_name):
        if name is not None:
            split = open_split(name)
            rows = np.flatnonzero(np.asarray(split.targets) >= 0)
            if len(rows):
                found[name] = SplitPortion(name, split, rows)
            elif name == test_name and spare is None:
                spare = name
    if train_name not in found:
        raise DataError(f"the split '{train_name}' has no labelled pairs")
    train, test = found[train_name], found.get(test_name or "") or found.get(validation_name or "")
    if test is None:
        raise DataError(
            f"no split besides '{train_name}' has labels, so none can be reported; there are: {list(names)}"
        )
    opened: list[Split] = [portion.split for portion in found.values()]
    if rule == "reference" or (validation_name in found and found[validation_name] is not test):
        return [train, found.get(validation_name or "", test), test], (), opened, spare
    kept, out, whole = _hold_out(train.rows, np.asarray(train.split.targets), VALIDATION_SHARE, seed)
    parts = [SplitPortion(train_name, train.split, kept), SplitPortion(train_name, train.split, out), test]
    return parts, whole, opened, spare
