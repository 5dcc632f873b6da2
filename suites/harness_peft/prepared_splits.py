"""Splits whose images are prepared once and cached, for the many trainings that share them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Sample, Split

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

KEPT_BYTES = 2**29


class PreparedSplit:
    """A split whose images are prepared tensors C×H×W, cached in memory after the first access if `keep`."""

    def __init__(self, split: Split, prepare: Callable[[Any], torch.Tensor], keep: bool) -> None:
        self.source, self._prepare = split, prepare
        self.name = ""
        self.ids: Sequence[str] = split.ids
        self.targets: NDArray[np.int64] = np.asarray(split.targets)
        self._kept: dict[int, torch.Tensor] | None = {} if keep else None

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        if self._kept is not None and index in self._kept:
            return Sample(self.ids[index], self._kept[index])  # type: ignore[arg-type]
        sample = self.source[index]
        if sample.image is None:
            raise DataError(f"sample '{sample.id}' has no image")
        image = self._prepare(sample.image)
        if self._kept is not None:
            self._kept[index] = image
        return Sample(sample.id, image)  # type: ignore[arg-type]


class JoinedSplit:
    """Several splits concatenated into one."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.ids: Sequence[str] = [i for part in self.parts for i in part.ids]
        self.targets: NDArray[np.int64] = np.concatenate([np.asarray(part.targets) for part in self.parts])
        self._ends = np.cumsum([len(part) for part in self.parts])

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        part = int(np.searchsorted(self._ends, index, side="right"))
        found: Sample = self.parts[part][index - int(self._ends[part]) + len(self.parts[part])]
        return found


class PreparedSplits:
    """The last few prepared splits, by a key of all that determines their tensors; at most `KEPT_BYTES`."""

    def __init__(self) -> None:
        self._recent: OrderedDict[str, tuple[PreparedSplit, int]] = OrderedDict()

    def get(self, key: str, split: Split, prepare: Callable[[Any], torch.Tensor]) -> PreparedSplit:
        """Return the prepared split of that key; create it if there is none."""
        if key not in self._recent:
            size = _estimate_bytes(split, prepare)
            self._recent[key] = PreparedSplit(split, prepare, keep=size <= KEPT_BYTES), size
            while len(self._recent) > 1 and sum(s for _, s in self._recent.values()) > KEPT_BYTES:
                self._recent.popitem(last=False)
        self._recent.move_to_end(key)
        return self._recent[key][0]


def pass_through(image: torch.Tensor) -> torch.Tensor:
    """Return an image that is already prepared."""
    return image


def _estimate_bytes(split: Split, prepare: Callable[[Any], torch.Tensor]) -> int:
    if not len(split):
        raise DataError("finetuning: a split has no samples")
    sample = split[0]
    if sample.image is None:
        raise DataError(f"sample '{sample.id}' has no image")
    first = prepare(sample.image)
    return len(split) * first.numel() * first.element_size()
