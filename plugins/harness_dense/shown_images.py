"""Which of a split's images a record keeps pictures of."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from numpy.typing import ArrayLike


def choose_images(worst: Mapping[str, ArrayLike], errors: ArrayLike, count: int) -> dict[str, int]:
    """Return the rows of at most `count` of N images by name: in turns those with the most of each kind, and typical ones.

    A kind's images are named `KIND-1`, `KIND-2`, …, the most first; those without any are not among them. Typical
    images, `typical-1`, …, have as many errors as the median image, or nearly. Of equal ones the first row is taken, so
    that the choice depends on their order alone.

    Args:
        worst: how many errors of each kind each image has, N per kind.
        errors: how many it has in all, N.
        count: how many images are chosen, each once.
    """
    total = np.asarray(errors, np.float64)
    known = np.isfinite(total)
    middle = np.median(total[known]) if known.any() else 0.0
    queues = {}
    for kind, given in worst.items():
        values = np.nan_to_num(np.asarray(given, np.float64))
        order = np.argsort(-values, kind="stable")
        queues[kind] = order[values[order] > 0].tolist()
    distance = np.where(known, abs(total - middle), np.inf)
    queues["typical"] = np.argsort(distance, kind="stable").tolist()

    chosen: dict[str, int] = {}
    taken: set[int] = set()
    numbers = dict.fromkeys(queues, 0)
    for kind in cycle(queues):
        if len(chosen) >= min(count, len(total)):
            return chosen
        row = next((row for row in queues[kind] if row not in taken), None)
        if row is not None:
            numbers[kind] += 1
            chosen[f"{kind}-{numbers[kind]}"] = row
            taken.add(row)
    return chosen
