"""The data set `stacked`: three grey images of another data set as the channels of one (1,000 modes)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import Dataset, OptionError
from harness.contract.declared import ask

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Sample, Split


class Stacked:
    """Random triples of grey images as RGB: stacked MNIST, or stacked digits without a download.

    A base data set with C classes has C³ modes (ten classes: 1,000); the label is C²·r + C·g + b.

    Args:
        dataset: the base data set; its images are converted to grey.
        count: number of triples in each split (128,000 for training in the literature).
    """

    def __init__(self, dataset: Dataset, count: int = 128_000) -> None:
        if count < 1:
            raise OptionError(f"stacked: count must be at least 1, found {count}")
        self.base, self.count = dataset, count

    @property
    def splits(self) -> Sequence[str]:
        """The splits of the base data set."""
        return self.base.splits

    def unavailable(self) -> str | None:
        """Return why the base data set can't be used here, or None."""
        own = ask(self.base, "unavailable")
        return own() if own else None

    @property
    def remarks(self) -> Sequence[str]:
        """The remarks of the base data set."""
        return ask(self.base, "remarks") or ()

    def load(self, split: str) -> StackedSplit:
        """Return triples of the same split of the base data set."""
        return StackedSplit(self.base.load(split), self.count, split)


class StackedSplit:
    """A split of triples, the same in every run; `rows` N×3 are their indices in `base`."""

    per_sample = ("rows",)

    def __init__(self, base: Split, count: int, name: str) -> None:
        import numpy as np

        from harness import derive_seed

        rng = np.random.default_rng(derive_seed("stacked", count, name))
        self.base = base
        self.remarks: Sequence[str] = ask(base, "remarks") or ()
        self.classes = int(np.max(base.targets)) + 1
        self.rows = rng.integers(len(base), size=(count, 3))
        labels = np.asarray(base.targets)[self.rows]
        self.targets: NDArray[np.int64] = labels @ np.array([self.classes**2, self.classes, 1])
        self.ids: Sequence[str] = [f"{name}/{n}" for n in range(count)]

    @property
    def stacked(self) -> StackedSplit:
        """The split itself; a part of it forwards this attribute."""
        return self

    def select_rows(self, rows: NDArray[np.int64], ids: Sequence[str]) -> StackedSplit:
        """Return a split of the triples `rows` N×3 of the same base."""
        import copy

        import numpy as np

        some = copy.copy(self)
        some.rows, some.ids = rows, ids
        some.targets = np.asarray(self.base.targets)[rows] @ np.array([self.classes**2, self.classes, 1])
        return some

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        import numpy as np

        from harness import Sample
        from harness.inference.images import decode

        parts = [decode(self.base[int(row)].image).convert("L") for row in self.rows[index]]
        image = np.stack([np.asarray(part) for part in parts], -1)
        return Sample(self.ids[index], image, int(self.targets[index]))
