"""The data set `class-subset`: some classes of another data set, in nested draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness import DataError, Dataset, OptionError, Sample, Split
from harness.contract.declared import ask
from harness.contract.targets import target_kind
from harness.inference.classes import Classes
from harness.inference.split_subsets import SplitSubset

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORWARDED = ("label_space", "class_order", "overlapping", "remarks")
"""Optional attributes of a data set that a choice of classes does not change."""


class ClassSubset:
    """The samples of a few classes of another data set, drawn so that more classes contain fewer of the same seed.

    The draw orders the classes by a digest of the seed and of each class's key (folder, WordNet id), else of its
    name, else of its number, and takes the first ones: neither other classes nor their order change which of two
    comes first. Every split is cut to the same classes; labels number them in the original order.

    Raises OptionError for less than one class, or for a data set whose samples don't have one label each.

    Args:
        dataset: the whole data set.
        classes: how many of its classes to keep.
        seed: seed of the draw.
    """

    def __init__(self, dataset: Dataset, classes: int, seed: int = 0) -> None:
        if classes < 1:
            raise OptionError(f"class-subset: classes must be at least 1, not {classes}")
        if (kind := target_kind(dataset)) != "label":
            raise OptionError(
                f"class-subset: needs one label per sample, the data set has the targets '{kind}'"
            )
        self.dataset, self.classes, self.seed = dataset, classes, seed
        self.tags = {"classes": classes}

    @property
    def splits(self) -> Sequence[str]:
        """The splits of the whole data set."""
        return self.dataset.splits

    def unavailable(self) -> str | None:
        """Return why the whole data set can't be used here, or that it has too few classes, or None."""
        own = ask(self.dataset, "unavailable")
        if problem := own() if own else None:
            return str(problem)
        count = _count_stated(Classes.of(self.dataset))
        return None if count is None or count >= self.classes else self._too_many(count)

    def fingerprint(self) -> str:
        """Return the whole data set's fingerprint and the version of the draw."""
        own = ask(self.dataset, "fingerprint")
        return f"{own() if own else ''}|class-subset-1"

    @property
    def num_classes(self) -> int:
        """The number of classes that are kept."""
        return self.classes

    @property
    def class_names(self) -> list[str] | None:
        """The names of the kept classes, if the whole data set's are known without loading it."""
        return self._keep("names")

    @property
    def class_keys(self) -> list[str] | None:
        """The keys of the kept classes, if the whole data set's are known without loading it."""
        return self._keep("keys")

    def load(self, split: str) -> ClassSubsetSplit:
        """Return the kept classes' part of a split.

        Raises OptionError if the data set has too few classes, DataError for a split without a sample of them.
        """
        whole = self.dataset.load(split)
        stated = Classes.of(self.dataset, whole)
        count = _count_stated(stated)
        if count is None:  # only the labels tell, of all splits together
            count = 1 + max(int(np.max(self.dataset.load(name).targets, initial=-1)) for name in self.splits)
        if count < self.classes:
            raise OptionError(self._too_many(count))
        return ClassSubsetSplit(whole, split, self._draw(stated, count), stated)

    def _draw(self, stated: Classes, count: int) -> list[int]:
        """Return the original labels of the kept classes, ascending."""
        from harness.learning.draws import rank_for_draw

        told = stated.keys or stated.names or [str(label) for label in range(count)]
        return sorted(rank_for_draw(told, self.seed, "class-subset")[: self.classes].tolist())

    def _keep(self, what: str) -> list[str] | None:
        if self.unavailable():
            return None
        stated = Classes.of(self.dataset)
        count, texts = _count_stated(stated), getattr(stated, what)
        return None if count is None or not texts else [texts[label] for label in self._draw(stated, count)]

    def _too_many(self, count: int) -> str:
        return f"class-subset: classes = {self.classes}, but the data set has only {count}"

    def __getattr__(self, name: str) -> Any:
        if name in FORWARDED:
            return getattr(self.dataset, name)
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")


class ClassSubsetSplit(SplitSubset):
    """The samples of the classes `chosen` (original labels, ascending), renumbered from 0."""

    def __init__(self, whole: Split, name: str, chosen: Sequence[int], stated: Classes) -> None:
        before = np.asarray(whole.targets)
        kept = np.flatnonzero(np.isin(before, chosen))
        if not len(kept):
            why = (
                "has no labels to choose classes by"
                if (before < 0).all()
                else f"has no sample of the {len(chosen)} classes"
            )
            raise DataError(f"class-subset: split '{name}' {why}")
        super().__init__(whole, kept)
        self.targets: NDArray[np.int64] = np.searchsorted(chosen, before[kept]).astype(np.int64)
        self.num_classes = len(chosen)
        self.class_names, self.class_keys = (
            None if texts is None else [texts[label] for label in chosen]
            for texts in (stated.names, stated.keys)
        )
        self.label_indices: list[list[int]] | None = None
        if stated.indices is not None:
            self.label_indices = [list(stated.indices[label]) for label in chosen]
        elif stated.space is not None:  # a model of this space gives all its classes
            self.label_indices = [[label] for label in chosen]
        self.remarks = [
            *(ask(whole, "remarks") or ()),
            *self._describe_gaps(name, chosen, int((before < 0).sum())),
        ]

    def __getitem__(self, index: int) -> Sample:
        return replace(super().__getitem__(index), label=int(self.targets[index]))

    def _describe_gaps(self, name: str, chosen: Sequence[int], unlabelled: int) -> list[str]:
        from harness_data.leftovers import note_empty_classes

        titles = self.class_keys or self.class_names or [str(label) for label in chosen]
        filled = {titles[label] for label in np.unique(self.targets)}
        said = note_empty_classes(titles, filled, f"in split '{name}'")
        if unlabelled:
            are = "sample without a label is" if unlabelled == 1 else "samples without a label are"
            said.append(f"{unlabelled} {are} left out of split '{name}'")
        return said


def _count_stated(stated: Classes) -> int | None:
    return len(stated.keys) if stated.keys else stated.count
