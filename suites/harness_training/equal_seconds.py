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


def read_curve(store: Store, id: str, curve: str = CURVE) -> dict[str, NDArray[np.float64]]:
    """Return the columns of a record's curve, in the order of its evaluations; empty if it keeps none."""
    table = store.curves(id)
    if table is None:
        return {}
    part = table[table["curve"] == curve].sort_values("position")
    return {
        str(name): rows["value"].to_numpy(dtype=float) for name, rows in part.groupby("column", sort=False)
    }


def read_accuracy_within(store: Store, id: str, seconds: float) -> float | None:
    """Return the accuracy at the last evaluation after at most so many training seconds, or None before the first."""
    import numpy as np

    curve = read_curve(store, id)
    if "seconds" not in curve or "accuracy" not in curve:
        return None
    inside = np.flatnonzero((curve["seconds"] <= seconds) & np.isfinite(curve["accuracy"]))
    return float(curve["accuracy"][inside[-1]]) if len(inside) else None
