"""Paired differences of probes on the same questions, clustered by image, and whether they show that a model looked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.statistics import Interval
    from harness_mllm.probe_arms import QuestionValues

MUST_FALL = ("no image", "another image")
"""The probes under which a model that looks must fall."""

LOOKED = "looked"
NOT_SHOWN = "not shown to look"
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class ProbeDifference:
    """The mean of arm − base over `runs` runs on the same `questions` about `clusters` images.

    `p` is that of a permutation test over images, uncorrected; `interval` is over images, and with several runs over
    runs and images together; None for a single image.
    """

    mean: float
    interval: Interval | None
    p: float
    runs: int
    questions: int
    clusters: int

    def falls(self, p: float, level: float) -> bool:
        """Return whether this is a fall at a level, given the corrected p: the interval lies below 0 as well."""
        return self.interval is not None and self.interval.high < 0 and p <= 1 - level


def measure_probe_difference(
    pairs: Sequence[tuple[QuestionValues, QuestionValues]], level: float = 0.95
) -> ProbeDifference | str:
    """Return the difference arm − base of the pairs (arm, base) of each run, or why there is none.

    Each run's differences by question become values by image with the same mean (`linearise_clusters`). The interval
    of one run is a BCa bootstrap over images, that of several `seeds_samples_difference`. The test flips the signs of
    images' differences, averaged over runs; with one question per image, one run and answers that are right or wrong
    it is McNemar's exact test.
    """
    import numpy as np

    from harness.statistics import (
        Unpairable,
        align_samples,
        bootstrap_mean_interval,
        linearise_clusters,
        permutation_test,
        seeds_samples_difference,
    )

    rows, first = [], pairs[0][0]
    for arm, base in pairs:
        aligned = align_samples(arm.ids, arm.values, base.ids, base.values)
        if isinstance(aligned, Unpairable):
            return aligned.reason
        if arm.ids != first.ids or arm.clusters != first.clusters:
            return "the runs were not asked the same questions"
        rows.append(linearise_clusters(aligned.a - aligned.b, first.clusters)[1])
    by_run = np.stack(rows)
    runs, clusters = by_run.shape
    mean = by_run.mean(axis=0)
    found = bootstrap_mean_interval(mean, level) if runs == 1 else seeds_samples_difference(by_run, level)
    test = permutation_test(mean, np.zeros(clusters))
    interval = found if clusters > 1 else None
    return ProbeDifference(test.difference, interval, test.p_value, runs, len(first.ids), clusters)


def average_runs(runs: Sequence[QuestionValues]) -> QuestionValues | str:
    """Return the values by question averaged over runs, or that these were asked different questions."""
    import numpy as np

    from harness_mllm.probe_arms import QuestionValues

    first = runs[0]
    if any(run.ids != first.ids or run.clusters != first.clusters for run in runs):
        return "the runs were not asked the same questions"
    return QuestionValues(first.ids, first.clusters, np.mean([run.values for run in runs], axis=0))


def judge_looking(
    differences: Mapping[str, ProbeDifference | str], p_values: Mapping[str, float], level: float = 0.95
) -> tuple[str, list[str]]:
    """Return the verdict and its reasons, from the differences of probes (or why there are none) and corrected p.

    `LOOKED` only if the metric falls significantly without the image and under another one. A fall without the image
    alone may come from refusals or from an unusual prompt, one under another image alone from confusion; the
    absence of a significant fall does not show that a model did not look.
    """
    missing, steady = [], []
    for probe in MUST_FALL:
        one = differences.get(probe)
        if one is None:
            missing.append(f"'{probe}' was not measured")
        elif isinstance(one, str):
            missing.append(f"'{probe}' has no difference: {one}")
        elif not one.falls(p_values[probe], level):
            steady.append(f"no significant fall under '{probe}'")
    if steady:
        return NOT_SHOWN, [*steady, *missing]
    return (NOT_JUDGED, missing) if missing else (LOOKED, [])
