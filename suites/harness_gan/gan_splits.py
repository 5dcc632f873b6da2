"""The splits of a data set that a GAN learns from and is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.inference.splits import find_test_split, training_split


@dataclass(frozen=True)
class GanSplits:
    """Names of the training and test split, equal if one split is to be divided; or why there are none."""

    train: str = ""
    test: str = ""
    refusal: str | None = None
    remark: str | None = None


def find_gan_splits(splits: Sequence[str]) -> GanSplits:
    """Return the training and test split; a lone training split, or the only split, is used for both."""
    train, found = training_split(splits), find_test_split(splits, option="")
    if train is None and len(splits) != 1:
        there = ", ".join(f"'{split}'" for split in splits)
        return GanSplits(
            refusal=f"the data set has no split for training ('train'), which a GAN learns from; there are: {there}"
        )
    only = train if train is not None and found.name is None else splits[0] if len(splits) == 1 else None
    if only is not None:
        return GanSplits(only, only)
    return GanSplits(train or "", found.name or "", remark=found.remark)
