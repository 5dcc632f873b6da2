"""Differences of arms from a baseline over common seeds, and the verdict whether they stand out of the noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.statistics import Interval, Superiority

NOISE = "inside the noise"


@dataclass
class Difference:
    """How an arm differs from the baseline: arm − baseline over `seeds` common seeds, and P(arm better).

    `over_seeds` and `over_both` (seeds and samples) are intervals or None, `p` is corrected for the arms of
    the family and NaN without variation over seeds; `verdict` is `better`, `worse` (with `over seeds` if no
    interval over samples was to be had) or `NOISE`, the last for these `reasons`.
    """

    seeds: int
    mean: float
    over_seeds: Interval | None
    over_both: Interval | None
    superiority: Superiority
    p: float
    verdict: str = NOISE
    reasons: list[str] = field(default_factory=list)


def compare_with_baseline(
    values: Mapping[str, Mapping[Any, float]],
    baseline: str,
    by_sample: Mapping[str, NDArray[np.float64]],
    level: float = 0.95,
    least: int = 5,
    lower: bool = False,
) -> dict[str, Difference]:
    """Return the difference of each arm that has a seed in common with the baseline.

    `values` holds each arm's metric by seed, `by_sample` the per-sample differences arm − baseline S×N of
    some arms. p is Student's paired test over seeds with Holm's correction over these arms.
    """
    import numpy as np

    from harness.statistics import (
        estimate_superiority,
        holm,
        paired_t_p,
        seeds_samples_difference,
        t_interval,
    )

    base = values.get(baseline, {})
    found: dict[str, Difference] = {}
    for label, own in values.items():
        common = [seed for seed in own if seed in base]
        if label == baseline or not common:
            continue
        gaps = np.array([own[seed] - base[seed] for seed in common])
        both = seeds_samples_difference(by_sample[label], level) if label in by_sample else None
        better = estimate_superiority(list(own.values()), list(base.values()), level, not lower)
        p = float(paired_t_p(gaps[None])[0])
        seeds = t_interval(gaps, level)
        found[label] = Difference(len(common), float(gaps.mean()), seeds, both, better, p)
    tested = [d for d in found.values() if not math.isnan(d.p)]
    if tested:
        for one, p in zip(tested, holm([d.p for d in tested], family=len(found)), strict=True):
            one.p = float(p)
    for one in found.values():
        _judge(one, len(found), level, least, lower)
    return found


def _judge(one: Difference, arms: int, level: float, least: int, lower: bool) -> None:
    if one.seeds < least:
        one.reasons.append(f"{one.seeds} of at least {least} common seeds")
    if one.over_seeds is not None and 0.0 in one.over_seeds:
        one.reasons.append("the interval over seeds contains 0")
    if one.over_both is not None and 0.0 in one.over_both:
        one.reasons.append("the interval over seeds and samples contains 0")
    if math.isnan(one.p):
        if one.seeds > 1:
            one.reasons.append("all seeds differ by the same amount, which shows no variation to judge it by")
    elif one.p > 1 - level and not one.reasons:
        one.reasons.append(f"not significant after Holm's correction for {arms} arms")
    if not one.reasons:
        one.verdict = "better" if (one.mean < 0) == lower else "worse"
        if one.over_both is None:
            one.verdict += " over seeds"
