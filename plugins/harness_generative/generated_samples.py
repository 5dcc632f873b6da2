"""Evidence for metrics of generated samples: their features beside real ones, and their modes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
    """Features of N generated samples beside those of real training and test samples.

    `fake`, `train` and `test` are features N×D, M×D and L×D; `modes` is None if the data set has no
    known modes. `extractor` names the origin of the features ("points" if they are the samples);
    `is_fid` tells if it is the network that defines the FID.
    """

    fake: NDArray[np.floating]
    train: NDArray[np.floating]
    test: NDArray[np.floating]
    extractor: str
    modes: ModeAssignment | None = None
    is_fid: bool = False

    def pack(self) -> dict[str, Any]:
        """Return arrays and lists from which `unpack` makes the same evidence."""
        import numpy as np

        parts: dict[str, Any] = {n: np.array(getattr(self, n), order="K") for n in ("fake", "train", "test")}
        if self.modes is not None:
            parts |= {"nearest": self.modes.nearest, "good": self.modes.good, "count": self.modes.count}
        return {**parts, "extractor": self.extractor, "is_fid": self.is_fid}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> GeneratedSamples:
        """Return the evidence that `pack` took apart."""
        own = dict(parts)
        found = {name: own.pop(name) for name in ("nearest", "good", "count") if name in own}
        return cls(**own, modes=ModeAssignment(**found) if found else None)

    def describe_distance(self, real: NDArray[np.floating]) -> str:
        """Name a distance by extractor, dimensions, and the numbers of generated and real samples."""
        return f"{self.extractor} d={self.fake.shape[1]} n={len(self.fake)}/{len(real)}"
