"""Training and test split of a run, including data sets with only one split and limited ones."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import DataError, Job, Split, derive_seed
from harness.inference.split_subsets import SplitSubset
from harness_data.stacked_images import StackedSplit
from harness_gan.gan_splits import find_gan_splits

HELD_OUT = 0.1
"""Share of a data set's only split that is held out of training."""


def ensure_two_parts(job: Job) -> Job:
    """Return the job with distinct training and test splits, dividing the only one if needed.

    Scores need images that were not trained on, and their floor compares two different sets: so a tenth
    of a folder without a test split is held out, the same for every method and seed.
    """

    def open_split(name: str) -> Split:
        return _restore_stacked(job.splits(name))

    found = find_gan_splits(job.dataset.splits)
    if found.refusal:
        raise DataError(f"{job.cell.dataset.label}: {found.refusal}")
    if found.train != found.test:
        return replace(job, splits=open_split)
    parts = dict(zip(("train", "test"), divide_split(open_split(found.train)), strict=True))
    return replace(job, dataset=SimpleNamespace(splits=tuple(parts)), splits=parts.__getitem__)


def divide_split(split: Split) -> tuple[Split, Split]:
    """Return a random nine tenths and one tenth of a split, at least one sample each.

    Of stacked images the base is divided, so that the parts share no image.
    """
    if isinstance(split, StackedSplit):
        train, test = divide_split(split.base)
        return StackedSplit(train, len(split), "train"), StackedSplit(test, len(split), "test")
    count = len(split)
    order = np.random.default_rng(derive_seed("gan", "held out", count)).permutation(count)
    cut = max(1, min(round(HELD_OUT * count), count - 1))
    return SplitSubset(split, np.sort(order[cut:])), SplitSubset(split, np.sort(order[:cut]))


def _restore_stacked(split: Any) -> Split:
    """Return a limited split of stacked images as a StackedSplit; any other split unchanged."""
    stacked = getattr(split, "stacked", None)
    whole: Split = split
    if not isinstance(split, StackedSplit) and isinstance(stacked, StackedSplit):
        whole = stacked.select_rows(split.rows, split.ids)
    return whole
