"""The training and the test part that a run reads, also of data sets that have one part only, or are limited."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from harness import DataError, Job, Split, derive_seed
from harness.inference.limits import Part
from harness_data.stacked_images import StackedSplit
from harness_gan.splits import parts_of

HELD_OUT = 0.1
"""Share of a data set's only part that no training sees."""


def with_two_parts(job: Job) -> Job:
    """The job as it is where training and test part are two; else with the only one divided.

    Scores rest on images that were not trained on, and the floor beside them on two different sets:
    so of a folder without a test part a tenth is held out, the same for every method and seed.
    """

    def opened(name: str) -> Split:
        return _whole_triples(job.splits(name))

    found = parts_of(job.dataset.splits)
    if found.refusal:
        raise DataError(f"{job.cell.dataset.label}: {found.refusal}")
    if found.train != found.test:
        return replace(job, splits=opened)
    parts = dict(zip(("train", "test"), divided(opened(found.train)), strict=True))
    return replace(job, dataset=SimpleNamespace(splits=tuple(parts)), splits=parts.__getitem__)


def divided(split: Split) -> tuple[Split, Split]:
    """Nine tenths and one tenth of a split, by chance; of stacked images the base is divided.

    One sample at least is held out, and one at least is left.
    """
    if isinstance(split, StackedSplit):
        train, test = divided(split.base)
        return StackedSplit(train, len(split), "train"), StackedSplit(test, len(split), "test")
    count = len(split)
    order = np.random.default_rng(derive_seed("gan", "held out", count)).permutation(count)
    cut = max(1, min(round(HELD_OUT * count), count - 1))
    return Part(split, np.sort(order[cut:])), Part(split, np.sort(order[:cut]))


def _whole_triples(split: Any) -> Split:
    """A limited split of stacked images as stacked images again."""
    stacked = getattr(split, "stacked", None)
    whole: Split = split
    if not isinstance(split, StackedSplit) and isinstance(stacked, StackedSplit):
        whole = stacked.select_rows(split.rows, split.ids)
    return whole
