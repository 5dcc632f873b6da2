"""Held-out accuracy of trainings after equal seconds, from the evaluations on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Store

CURVE = "evaluation"


def find_time_budget(totals: Iterable[Mapping[Any, float]]) -> float | None:
    """Return the least median of the arms' total training seconds (by seed), or None if no arm has any."""
    import numpy as np

    medians = [float(np.median(list(seconds.values()))) for seconds in totals if seconds]
    return min(medians, default=None)


def read_accuracies(store: Store, id: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return training seconds so far and held-out accuracy at each evaluation E of a record, of all its phases.

    The phases' curves are `evaluation`, `evaluation-2`, …; the seconds of each begin at zero, and go on here
    from those of the phase before. Both are empty if the record keeps none.
    """
    import numpy as np

    table = store.curves(id)
    seconds, accuracies, before = [np.empty(0)], [np.empty(0)], 0.0
    for number in range(1, 1 + (0 if table is None else table["curve"].nunique())):
        part = table[table["curve"] == (CURVE if number == 1 else f"{CURVE}-{number}")]
        wide = part.pivot(index="position", columns="column", values="value")
        if not {"seconds", "accuracy"} <= set(wide):
            break
        seconds.append(before + wide["seconds"].to_numpy(dtype=float))
        accuracies.append(wide["accuracy"].to_numpy(dtype=float))
        before = float(seconds[-1][-1])
    return np.concatenate(seconds), np.concatenate(accuracies)


def read_accuracy_within(store: Store, id: str, seconds: float) -> float | None:
    """Return the accuracy at the last evaluation after at most so many training seconds, or None before the first."""
    import numpy as np

    at, accuracies = read_accuracies(store, id)
    inside = np.flatnonzero((at <= seconds) & np.isfinite(accuracies))
    return float(accuracies[inside[-1]]) if len(inside) else None
