"""Bring per-sample values of several runs into one order by sample id, or explain why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from harness.statistics.checks import Floats


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two vectors N on the same samples, in the order of the sorted `ids`."""

    ids: Sequence[str]
    a: Floats
    b: Floats


@dataclass(frozen=True, eq=False)
class OneRun:
    """One model's values N, in the order of its sorted ids."""

    ids: NDArray[Any]
    values: Floats


@dataclass(frozen=True)
class Unpairable:
    """Why a comparison on the same samples is impossible."""

    reason: str


def align(
    ids_a: Sequence[str], values_a: ArrayLike, ids_b: Sequence[str], values_b: ArrayLike
) -> Pairs | Unpairable:
    """Return both sides' values in the order of their sorted ids, if these are all the same.

    Never an intersection: the mean over shared samples is another number than the table's. Values are
    vectors N, or S×N for S seeds on the same samples, which are averaged over the seeds; an id may also occur
    once per seed, if all occur equally often.
    """
    a = sort_by_sample(ids_a, values_a)
    if isinstance(a, Unpairable):
        return Unpairable(f"on one side {a.reason}")
    b = sort_by_sample(ids_b, values_b)
    if isinstance(b, Unpairable):
        return Unpairable(f"on the other side {b.reason}")
    reason = explain_unequal_ids(a.ids, b.ids)
    return Unpairable(reason) if reason else Pairs(a.ids.tolist(), a.values, b.values)


def sort_by_sample(ids: Sequence[str], values: ArrayLike) -> OneRun | Unpairable:
    """Return one run's values N by sorted id, averaged over several seeds (see `align`)."""
    x = np.atleast_1d(np.asarray(values, dtype=np.float64))
    if x.ndim > 2 or x.shape[-1] != len(ids):
        return Unpairable(f"there are {len(ids)} ids for values of the shape {x.shape}")
    if len(ids) == 0:
        return Unpairable("there are no samples")
    missing = int(np.count_nonzero(~np.isfinite(x)))
    if missing:
        return Unpairable(f"{missing} of {x.size} values are missing")
    names = np.asarray(ids)
    if names.dtype.kind != "U":  # whole numbers, or text in a column of objects
        names = names.astype(str)
    order = np.argsort(names, kind="stable")
    names, x = names[order], np.atleast_2d(x)[:, order]
    starts = np.flatnonzero(np.concatenate([[True], names[1:] != names[:-1]]))
    repeats = np.diff(np.append(starts, len(names)))
    if np.any(repeats != repeats[0]):
        odd = starts[np.flatnonzero(repeats != repeats[0])[0]]
        return Unpairable(f"sample {str(names[odd])!r} does not occur as often as the others")
    # sorted over the seeds, so that their order can't move the last digit of an average
    per_sample = x.reshape(len(x), len(starts), -1).transpose(1, 0, 2).reshape(len(starts), -1)
    per_sample = np.sort(per_sample, axis=1)
    return OneRun(names[starts], per_sample.mean(axis=1))


def explain_unequal_ids(a: NDArray[Any], b: NDArray[Any], what: str = "samples") -> str | None:
    """Return how two sorted vectors of distinct ids (of samples or seeds) differ, or None if they do not."""
    if len(a) == len(b) and bool(np.all(a == b)):
        return None
    only_a, only_b = np.setdiff1d(a, b), np.setdiff1d(b, a)
    example = str((only_a if len(only_a) else only_b)[0])
    return (
        f"different {what}: {len(only_a)} only on one side, {len(only_b)} only on the other, "
        f"{len(a) - len(only_a)} shared (for example {example!r} is on one side only)"
    )
