"""The spread of one aggregated number: over seeds, over samples, and over both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.statistics.bootstrap import sample_interval
from harness.statistics.checks import StatisticsError, check_vector
from harness.statistics.intervals import Interval, seeds_samples_interval, t_interval


@dataclass(frozen=True)
class SeedSummary:
    """A mean over seeds with its spread; an interval is None where the data can't give it.

    `std` is the sample standard deviation over seeds (NaN for one). `over_samples` is for the
    samples' values averaged over seeds, `over_both` counts both sources of chance.
    """

    mean: float
    std: float
    seeds: int
    over_seeds: Interval | None
    over_samples: Interval | None
    over_both: Interval | None

    @property
    def interval(self) -> Interval | None:
        """The widest statement there is: over both sources, else over samples, else over seeds."""
        return self.over_both or self.over_samples or self.over_seeds


def summarise_seeds(
    per_seed: ArrayLike, samples: ArrayLike | None = None, level: float = 0.95
) -> SeedSummary:
    """Mean and intervals of S per-seed values, with S×N per-sample values where there are any.

    `samples` has one row per seed over the same samples in the same order, and the rows' means
    are the per-seed values. Nothing but these decides the result, so other models never change it.
    Raises StatisticsError for no values, or for a number of rows other than S.
    """
    x = check_vector(per_seed, "per-seed values")
    if len(x) == 0:
        raise StatisticsError("per-seed values: there are none")
    over_samples = over_both = None
    if samples is not None:
        rows = np.atleast_2d(np.asarray(samples, dtype=np.float64))
        if len(rows) != len(x):
            raise StatisticsError(f"per-sample values: expected {len(x)} rows, one per seed, got {len(rows)}")
        over_samples = sample_interval(rows.mean(axis=0), level)
        over_both = seeds_samples_interval(rows, level)
    std = float(x.std(ddof=1)) if len(x) > 1 else math.nan
    return SeedSummary(float(x.mean()), std, len(x), t_interval(x, level), over_samples, over_both)
