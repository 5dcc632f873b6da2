"""Mean and intervals of one aggregated number: over seeds, over samples, and over both."""

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
    """A mean over seeds with its spread; an interval is None if the data do not suffice.

    `std` is the sample standard deviation over seeds (NaN for one). `over_samples` uses the samples' values
    averaged over seeds, `over_both` both sources of randomness.
    """

    mean: float
    std: float
    seeds: int
    over_seeds: Interval | None
    over_samples: Interval | None
    over_both: Interval | None

    @property
    def interval(self) -> Interval | None:
        """The most general interval: over both sources, else over samples, else over seeds."""
        return self.over_both or self.over_samples or self.over_seeds


def summarise_seeds(
    per_seed: ArrayLike, samples: ArrayLike | None = None, level: float = 0.95
) -> SeedSummary:
    """Return mean and intervals of S per-seed values, optionally with S×N per-sample values.

    `samples` has one row per seed over the same samples in the same order, whose means are the per-seed
    values. The result depends on nothing else, so other models never change it. Raises StatisticsError for
    no values, or for a number of rows other than S.
    """
    x = check_vector(per_seed, "per-seed values")
    if len(x) == 0:
        raise StatisticsError("per-seed values: found none")
    over_samples = over_both = None
    if samples is not None:
        rows = np.atleast_2d(np.asarray(samples, dtype=np.float64))
        if len(rows) != len(x):
            raise StatisticsError(f"per-sample values: expected {len(x)} rows, one per seed, got {len(rows)}")
        over_samples = sample_interval(rows.mean(axis=0), level)
        over_both = seeds_samples_interval(rows, level)
    std = float(x.std(ddof=1)) if len(x) > 1 else math.nan
    return SeedSummary(float(x.mean()), std, len(x), t_interval(x, level), over_samples, over_both)
