"""Which split a training method learns, and which splits must then not be tested on."""

from __future__ import annotations

from collections.abc import Sequence

from harness import Dataset, did_you_mean
from harness.contract.declared import ask
from harness.inference.splits import TestSplit, find_named_split, training_split


class TrainsOnSplit:
    """Base of training methods with the option `split`, the split to train on; None for that for training."""

    split: str | None

    def find_split(self, splits: Sequence[str]) -> TestSplit:
        """Return the data set's split to train on, or why there is none."""
        if self.split is None:
            found = training_split(splits)
            return TestSplit(found, None if found else "the data set has no split to train on")
        found = find_named_split(splits, self.split)
        refusal = f"the data set has no split '{self.split}' to train on{did_you_mean(self.split, splits)}"
        return TestSplit(found, None if found else refusal)

    def find_leak(self, dataset: Dataset, tested: str) -> str | None:
        """Return why a model that is trained on the data set must not be tested on one of its splits, or None."""
        trained = self.find_split(dataset.splits).name
        shared = {frozenset(pair) for pair in ask(dataset, "overlapping") or ()}
        if trained == tested:
            return f"split '{tested}' is what models train on: choose another one to test on"
        if frozenset((trained, tested)) in shared:
            return (
                f"split '{tested}' shares images with '{trained}', which models train on: choose another one"
            )
        return None
