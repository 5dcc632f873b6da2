"""Find the evaluation after which a network overfits, from its held-out and its training loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import HarnessError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def find_overfit_point(
    held_loss: Sequence[float] | NDArray[np.float64],
    train_loss: Sequence[float] | NDArray[np.float64],
    rise: float = 0.05,
    window: int | None = None,
) -> int | None:
    """Return the index of the least smoothed held-out loss if the network overfits afterwards, else None.

    It overfits if, at some later evaluation, the smoothed held-out loss is at least the share `rise` above
    its minimum while the smoothed training loss is below its value there. A held-out loss that rises
    together with the training loss is a training that fails, not overfitting (Goodfellow et al. 2016,
    Deep Learning, 5.2).

    Both vectors have one value per evaluation, E, and are smoothed over `window` evaluations, by default a
    tenth of them and at least 3. The minimum is sought in means of equally many neighbours on both sides,
    which don't move a turn unless it lies at an end (of equal minima the first counts). Later means take in
    all neighbours that there are, also at the end, so that the last evaluation alone proves no rise.
    Evaluations where either loss is not finite are left out; the index is one of the given vectors.

    Raises HarnessError for vectors of different lengths, a negative rise, or a window that is even or
    less than 1.
    """
    import numpy as np

    held, train = np.asarray(held_loss, dtype=np.float64), np.asarray(train_loss, dtype=np.float64)
    if held.ndim != 1 or held.shape != train.shape:
        raise HarnessError(
            f"overfit point: held-out loss {held.shape} and training loss {train.shape} differ"
        )
    if not rise >= 0:
        raise HarnessError(f"overfit point: expected a rise of at least 0, got {rise}")
    places = np.flatnonzero(np.isfinite(held) & np.isfinite(train))
    if window is None:
        window = 2 * max(1, round(len(places) / 20)) + 1
    if window < 1 or window % 2 == 0:
        raise HarnessError(f"overfit point: expected an odd window, got {window}")
    if len(places) == 0:
        return None
    held, train = held[places], train[places]
    balanced = average_neighbours(held, window // 2, balanced=True)
    best = int(np.argmin(balanced))
    least, fitted = float(balanced[best]), average_neighbours(train, window // 2, balanced=True)[best]
    later = average_neighbours(held, window // 2)
    risen = (later >= least + rise * abs(least)) & (later > least)
    overfits = risen & (average_neighbours(train, window // 2) < fitted)
    return int(places[best]) if overfits[best + 1 :].any() else None


def average_neighbours(
    values: NDArray[np.float64], reach: int, balanced: bool = False
) -> NDArray[np.float64]:
    """Return the mean of each value of a vector and its neighbours up to `reach` places before and after it.

    At both ends there are fewer; `balanced` then takes as many after a value as before it, so that neither a
    rising nor a falling line is bent.
    """
    import numpy as np

    last = len(values) - 1
    ends = []
    for place in range(last + 1):
        near = min(reach, place, last - place) if balanced else reach
        ends.append((max(0, place - near), place + near + 1))
    return np.array([values[start:stop].mean() for start, stop in ends])
