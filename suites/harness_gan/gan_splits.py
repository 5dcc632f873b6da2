"""Which splits of a data set a GAN learns from and is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.inference.splits import find_test_split, training_split


@dataclass(frozen=True)
class GanSplits:
    """The split to train on and the one to compare with, the same where one is to be divided; or why not."""

    train: str = ""
    test: str = ""
    refusal: str | None = None
    remark: str | None = None


def find_gan_splits(splits: Sequence[str]) -> GanSplits:
    """Return the splits for training and testing; a data set with one of these, or one split, is divided."""
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
