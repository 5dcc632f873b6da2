"""What metrics of generated samples read: samples beside real ones, their modes, their features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class ModeAssignment:
    """The mode of each of N samples, whether it is of high quality, and K, the number of modes."""

    nearest: NDArray[np.int64]
    good: NDArray[np.bool_]
    count: int


@dataclass(frozen=True, eq=False)
class GeneratedSamples:
    """N generated samples, seen through a named feature extractor beside real ones.

    `fake`, `train` and `test` are features N×D, M×D and L×D; `modes` is None where the data set
    has no known modes. `extractor` names what made the features ("points" when they are the samples);
    `is_fid` says that it is the network that the FID is defined by.
    """

    fake: NDArray[np.floating]
    train: NDArray[np.floating]
    test: NDArray[np.floating]
    extractor: str
    modes: ModeAssignment | None = None
    is_fid: bool = False

    def describe_distance(self, real: NDArray[np.floating]) -> str:
        """Extractor, dimensions, and how many generated and real samples a distance rests on."""
        return f"{self.extractor} d={self.fake.shape[1]} n={len(self.fake)}/{len(real)}"
