"""Find the best of several models, and which of the others are not significantly worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from harness.statistics.align import OneRun, Unpairable, explain_unequal_ids, sort_by_sample
from harness.statistics.checks import Floats, check_level, is_binary
from harness.statistics.multiple import holm
from harness.statistics.paired import mcnemar_p, paired_t_p
from harness.statistics.permutation import sign_flip_test
from harness.statistics.resampling import resampled_p


@dataclass(frozen=True, eq=False)
class PerSample:
    """A model's values by sample: `values` N, or S×N for S seeds; ids may also repeat once per seed."""

    ids: Sequence[str]
    values: ArrayLike


@dataclass(frozen=True, eq=False)
class PerSeed:
    """A model's values by seed, S, for a metric that has no value per sample; `seeds` names them."""

    seeds: Sequence[int] | Sequence[str]
    values: ArrayLike


@dataclass(frozen=True, eq=False)
class PerResample:
    """A model's number of a whole set, and its `values` on R resampled sets (see `harness.statistics.resampling`)."""

    ids: Sequence[str]
    value: float
    values: ArrayLike


_BY = {PerSample: "sample", PerSeed: "seed", PerResample: "resampled set"}


@dataclass(frozen=True)
class BestSet:
    """The best model, and how the others compare with it.

    `best` has the best mean (the first by name of equal ones; None if no model has values). `tied` are the
    sorted names of those not significantly worse at `level`, `p_values` those of each compared model against
    the best (two-sided, after Holm's correction), `undecided` the reasons why a model was not compared.
    """

    best: str | None
    tied: tuple[str, ...]
    p_values: Mapping[str, float]
    undecided: Mapping[str, str]
    level: float


def best_and_tied(
    scores: Mapping[str, PerSample | PerSeed | PerResample],
    higher_is_better: bool = True,
    level: float = 0.05,
) -> BestSet:
    """Pick the best mean and test every other model against it on the same samples.

    Per-sample values are averaged over seeds for each sample, then tested: by McNemar's test if both are all
    0 or 1, otherwise by sign-flip permutation; numbers of whole sets by their differences on the same resampled
    sets; per-seed values by a paired t test on the same seeds. So the statement is about new samples given these
    runs, or about new seeds.

    The data picked the best, so its comparisons were picked from all m(m−1)/2 pairs of the m comparable
    models: Holm's factors begin there and not at m − 1, which would let the winner of many equal models look
    better than the last far more often than `level`. Models with identical values are always tied, and the
    order of models, samples and seeds does not matter. A model on other samples than the best, or with
    missing values, is undecided.
    """
    check_level(level)
    runs: dict[str, OneRun] = {}
    undecided: dict[str, str] = {}
    for name in sorted(scores):
        run = _read_run(scores[name])
        if isinstance(run, Unpairable):
            undecided[name] = run.reason
        else:
            runs[name] = run
    if not runs:
        return BestSet(None, (), {}, undecided, level)
    # fsum rounds correctly: models that are right equally often get the same mean
    means = {
        name: score.value
        if isinstance(score := scores[name], PerResample)
        else math.fsum(run.values) / len(run.values)
        for name, run in runs.items()
    }
    best = (max if higher_is_better else min)(means, key=lambda name: means[name])
    kind = type(scores[best])
    others: list[str] = []
    for name in runs:
        if name == best:
            continue
        if type(scores[name]) is not kind:
            undecided[name] = f"it has values by {_BY[type(scores[name])]}, {best} by {_BY[kind]}"
            continue
        what = "seeds" if kind is PerSeed else "samples"
        reason = explain_unequal_ids(runs[name].ids, runs[best].ids, what)
        if reason is None:
            others.append(name)
        else:
            undecided[name] = f"not comparable with {best}: {reason}"
    if others:
        rows = np.stack([runs[name].values for name in others])
        if kind is PerResample:
            pairs = zip(others, runs[best].values - rows, strict=True)
            p = np.array([resampled_p(means[best] - means[name], draws) for name, draws in pairs])
        else:
            p = _p_values(runs[best].values, rows, by_seed=kind is PerSeed)
        for name in [n for n, value in zip(others, p) if np.isnan(value)]:
            undecided[name] = f"{len(runs[best].ids)} seed(s) show no variation to judge the difference by"
        others, p = [n for n, value in zip(others, p) if not np.isnan(value)], p[~np.isnan(p)]
        m = len(others) + 1
        adjusted = dict(zip(others, holm(p, family=m * (m - 1) // 2).tolist()))
    else:
        adjusted = {}
    tied = tuple(name for name in others if adjusted[name] > level)
    return BestSet(best, tied, adjusted, dict(sorted(undecided.items())), level)


def _read_run(score: PerSample | PerSeed | PerResample) -> OneRun | Unpairable:
    if not isinstance(score, PerResample):
        return sort_by_sample(
            [str(i) for i in (score.ids if isinstance(score, PerSample) else score.seeds)], score.values
        )
    values = np.asarray(score.values, dtype=np.float64)
    if not np.isfinite(values).all():
        return Unpairable("it is not defined on every resampled set")
    return OneRun(np.sort(np.asarray([str(i) for i in score.ids])), values)


def _p_values(best: Floats, others: Floats, by_seed: bool) -> Floats:
    if by_seed:
        return paired_t_p(best - others)
    binary = np.full(len(others), is_binary(best))
    binary &= np.all((others == 0) | (others == 1), axis=1)
    p = np.ones(len(others))
    if binary.any():
        rows = others[binary]
        p[binary] = mcnemar_p((best > rows).sum(axis=1), (best < rows).sum(axis=1))
    if not binary.all():
        p[~binary] = sign_flip_test(best - others[~binary])[0]
    return p
