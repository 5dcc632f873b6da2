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
    window: int = 3,
) -> int | None:
    """Return the index of the least smoothed held-out loss if the network overfits afterwards, else None.

    It overfits if, at some later evaluation, the smoothed held-out loss is at least the share `rise` above
    its minimum while the smoothed training loss is below its value there. A held-out loss that rises
    together with the training loss is a training that fails, not overfitting (Goodfellow et al. 2016,
    Deep Learning, 5.2). Both vectors have one value per evaluation, E, and are smoothed by
    `smooth_centred`; of equal minima the first counts. Evaluations where either loss is not finite are
    left out; the index is one of the given vectors.

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
    if len(places) == 0:
        return None
    held, train = smooth_centred(held[places], window), smooth_centred(train[places], window)
    best = int(np.argmin(held))
    least = float(held[best])
    later = (held >= least + rise * abs(least)) & (held > least) & (train < train[best])
    return int(places[best]) if later[best + 1 :].any() else None


def smooth_centred(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Return means over `window` neighbours, of which as many lie before a value as after it.

    Towards both ends the window narrows to the value itself, so that neither a rising nor a falling line is
    bent there. Raises HarnessError unless the window is odd.
    """
    import numpy as np

    if window < 1 or window % 2 == 0:
        raise HarnessError(f"smoothing: expected an odd window, got {window}")
    n, half = len(values), window // 2
    reach = [min(half, place, n - 1 - place) for place in range(n)]
    return np.array([values[p - r : p + r + 1].mean() for p, r in enumerate(reach)])
