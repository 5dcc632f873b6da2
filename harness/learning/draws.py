"""Draws of samples: shots, hold-outs, the order of an epoch. Imports no torch."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError, OptionError
from harness.learning.recipe import Recipe

if TYPE_CHECKING:
    import torch

Rows = NDArray[np.int64]
DrawnBatch = tuple[int, int, Rows]
"""Step and epoch (from 0), and the rows of a batch."""


def rank_for_draw(ids: Sequence[str], seed: object, *axes: object) -> Rows:
    """Return all samples in an order by a digest of the id, the seed and the axes alone.

    Neither the order of the samples nor the presence of others changes which of two comes first.
    (Samples that share an id are told apart by their order.)
    """
    start = hashlib.sha256("\x1f".join(str(a) for a in (*axes, seed, "")).encode())
    seen: Counter[str] = Counter()
    digests = np.empty((len(ids), 2), np.uint64)
    for row, name in enumerate(ids):
        digest = start.copy()
        digest.update(f"{name}\x1f{seen[name]}".encode())
        digests[row] = np.frombuffer(digest.digest(), ">u8", 2)
        seen[name] += 1
    return np.lexsort((digests[:, 1], digests[:, 0])).astype(np.int64)


def draw_shots(
    ids: Sequence[str],
    targets: Any,
    shots: int,
    seed: object,
    split: str,
    *,
    skip: int = 0,
    classes: int | None = None,
) -> list[Rows]:
    """Return the rows of `shots` samples of each class 0…`classes`, in the order of the draw.

    The draw depends on the split's name, the seed and the samples' ids alone: it is the same for every
    suite and method, and fewer shots are a prefix of more. A class with too few samples yields all of
    them, each once; `skip` leaves out the first of each class, for shots to validate on. `classes` defaults
    to the largest label + 1. Negative labels belong to no class.
    Raises DataError for samples with several labels.
    """
    labels = np.asarray(targets)
    if labels.ndim != 1:
        raise DataError("samples with several labels can't be drawn per class")
    if len(labels) != len(ids):
        raise DataError(f"there are {len(ids)} samples and {len(labels)} labels")
    order = rank_for_draw(ids, seed, "shots", split)
    count = classes if classes is not None else int(labels.max(initial=-1)) + 1
    # a stable sort by label keeps the order of the draw inside each class
    grouped = order[np.argsort(labels[order], kind="stable")]
    bounds = np.searchsorted(labels[grouped], np.arange(count + 1))
    return [grouped[a:b][skip : skip + shots] for a, b in pairwise(bounds)]


def describe_short_draw(drawn: Sequence[Rows], shots: int, split: str) -> str | None:
    """Return a remark if a draw has fewer than `shots` samples of some classes, else None."""
    short = [len(rows) for rows in drawn if len(rows) < shots]
    few = f"{len(short)} of {len(drawn)} classes have fewer than {shots} samples to draw from '{split}'"
    return f"{few} (the fewest: {min(short)}); all of theirs are taken" if short else None


def hold_out(ids: Sequence[str], rows: Any, share: float, seed: object, split: str) -> tuple[Rows, Rows]:
    """Divide `rows` of a split by a draw into those to train on and a `share` to validate on.

    Both ascend. Raises OptionError for a share outside (0, 1), DataError if none would be left.
    """
    if not 0 < share < 1:
        raise OptionError(f"holdout must be between 0 and 1, not {share}")
    rows = np.asarray(rows, np.int64)
    count = max(1, round(share * len(rows)))
    if count >= len(rows):
        raise DataError(f"{len(rows)} samples are too few to hold {share:.0%} out")
    order = rows[rank_for_draw([ids[row] for row in rows], seed, "hold-out", split)]
    return np.sort(order[count:]), np.sort(order[:count])


def epoch_order(count: int, seed: int, epoch: int) -> Rows:
    """Return the order of an epoch, from its number and the seed alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def rows_of_epoch(count: int, recipe: Recipe, seed: int, epoch: int) -> list[Rows]:
    """Return the rows of each of an epoch's updates."""
    order = epoch_order(count, seed, epoch)
    return np.split(order, np.cumsum(recipe.batch_sizes(count)))[:-1]


def plan_rows(
    count: int, recipe: Recipe, seed: int, start: int = 0, rows: Callable[[int], Any] | None = None
) -> Iterator[DrawnBatch]:
    """Yield step, epoch and rows of all updates from `start` on; `rows` overrides those of `rows_of_epoch`."""
    per_epoch = recipe.batches_per_epoch(count)
    order: list[Rows] = []
    for step in range(start, recipe.steps):
        epoch, number = divmod(step, per_epoch)
        if rows is not None:
            yield step, epoch, np.asarray(rows(step), np.int64)
            continue
        if number == 0 or not order:
            order = rows_of_epoch(count, recipe, seed, epoch)
        yield step, epoch, order[number]


def plan_in_order(count: int, size: int, start: int = 0) -> Iterator[DrawnBatch]:
    """Yield all rows from `start` on in their order, `size` at a time, as an evaluation takes them."""
    for at in range(start, count, size):
        yield at // size, 0, np.arange(at, min(at + size, count))


def class_weights(targets: torch.Tensor, classes: int) -> torch.Tensor:
    """Return N/(C·n_c) for each class, float32 C; 1 for a class without a sample."""
    import torch

    counts = torch.bincount(targets, minlength=classes).float()
    return torch.where(counts > 0, len(targets) / (classes * counts.clamp(min=1)), 1.0)
