"""A fixed random subset of a split, the same for every model: what `--limit` evaluates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.declared import ask

if TYPE_CHECKING:
    from harness.contract.data import Sample, Split


class SplitSubset:
    """Some samples of a split, in the split's own order; everything else is the split's.

    Attributes that the split lists in `per_sample` (one value per sample, or mappings of names to such)
    are restricted to the same samples.
    """

    def __init__(self, split: Split, indices: np.ndarray[Any, Any]) -> None:
        self._split, self._indices = split, indices
        self.ids: Sequence[str] = [split.ids[i] for i in indices]
        self.targets = self._cut(split.targets)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Sample:
        return self._split[int(self._indices[index])]

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._split, name)
        return self._cut(value) if name in (ask(self._split, "per_sample") or ()) else value

    def _cut(self, values: Any) -> Any:
        if isinstance(values, Mapping):
            return {name: self._cut(column) for name, column in values.items()}
        if isinstance(values, np.ndarray):
            return values[self._indices]
        if isinstance(values, list | tuple):
            return [values[i] for i in self._indices]
        return LazyValues(values, self._indices)  # such as the masks of a large split


class LazyValues(Sequence[Any]):
    """Some values of a sequence, each read on access."""

    def __init__(self, values: Sequence[Any], indices: np.ndarray[Any, Any]) -> None:
        self._values, self._indices = values, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: Any) -> Any:
        return self._values[int(self._indices[index])]


def draw_subset(split: Split, count: int, seed: int) -> Split:
    """Draw `count` samples without replacement; folders are sorted by class, so not the first ones."""
    drawn = np.random.default_rng(seed).permutation(len(split))[:count]
    return SplitSubset(split, np.sort(drawn))
