"""The data set that keeps some classes of another: nested draws, labels, and what it forwards."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.contract.data import Dataset, Sample, Split
from harness.errors import DataError, OptionError
from harness_data.class_subset import ClassSubset

NAMES = ("ant", "bee", "cat", "dog", "elk", "fox")


@dataclass
class Parts:
    """A data set of labels by split, with optional attributes of splits and its own."""

    labels: dict[str, Sequence[int]] = field(default_factory=lambda: {"train": [0, 1, 2, 3, 4, 5] * 2})
    told: dict[str, Any] = field(default_factory=dict)
    own: dict[str, Any] = field(default_factory=dict)

    @property
    def splits(self) -> Sequence[str]:
        return tuple(self.labels)

    def fingerprint(self) -> str:
        return "parts-3"

    def load(self, split: str) -> Part:
        return Part(split, self.labels[split], self.told)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self.own:
            raise AttributeError(name)
        return self.own[name]


class Part:
    def __init__(self, name: str, labels: Sequence[int], told: dict[str, Any]) -> None:
        self.ids = [f"{name}/{n}" for n in range(len(labels))]
        self.targets = np.asarray(labels, np.int64)
        self.__dict__.update(told)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        image = np.full((2, 2, 3), index, np.uint8)
        return Sample(self.ids[index], image, int(self.targets[index]), text=f"text {index}")


def classes_of(split: Any) -> list[str]:
    """The class name of each sample, by its label."""
    return [split.class_names[label] for label in split.targets]


@given(
    keys=st.lists(st.text(min_size=1, max_size=4), min_size=1, max_size=12, unique=True),
    seed=st.integers(0, 5),
    few=st.integers(1, 12),
    data=st.data(),
)
def test_more_classes_contain_fewer_whatever_their_order(
    keys: list[str], seed: int, few: int, data: st.DataObject
) -> None:
    few = min(few, len(keys))
    many = data.draw(st.integers(few, len(keys)))

    def drawn(count: int, order: Sequence[str]) -> list[str]:
        whole = Parts({"train": range(len(order))}, {"class_names": list(order)})
        return ClassSubset(whole, count, seed).load("train").class_names or []

    small, large = drawn(few, keys), drawn(many, keys)
    assert set(small) <= set(large)
    assert (len(small), len(large)) == (few, many)
    assert small == [key for key in keys if key in small]
    assert set(drawn(few, data.draw(st.permutations(keys)))) == set(small)


def test_labels_names_and_samples_belong_together() -> None:
    whole = Parts({"train": [5, 0, 3, 3, 1, 2, 4, 5], "val": [0, 1, 2, 3, 4, 5]}, {"class_names": NAMES})
    data = ClassSubset(whole, 3, 1)
    assert isinstance(data, Dataset)
    for name in whole.splits:
        base, split = whole.load(name), data.load(name)
        assert isinstance(split, Split)
        kept = [i for i, label in enumerate(base.targets) if NAMES[label] in (split.class_names or ())]
        assert list(split.ids) == [base.ids[i] for i in kept]
        assert classes_of(split) == [NAMES[base.targets[i]] for i in kept]
        assert [split[i].label for i in range(len(split))] == split.targets.tolist()
        assert [split[i].text for i in range(len(split))] == [f"text {i}" for i in kept]
        assert split.remarks == []
    assert data.load("train").class_names == data.load("val").class_names
    assert data.fingerprint() == "parts-3|class-subset-1"
    assert data.tags == {"classes": 3}


def test_seeds_draw_different_classes() -> None:
    whole = Parts(told={"class_names": NAMES})
    drawn = {tuple(ClassSubset(whole, 3, seed).load("train").class_names or ()) for seed in range(20)}
    assert len(drawn) > 5
    assert {name for names in drawn for name in names} == set(NAMES)


def test_keys_decide_before_names_and_both_follow() -> None:
    keys = [f"n0{n}" for n in range(6)]
    split = ClassSubset(Parts(told={"class_names": NAMES, "class_keys": keys}), 2).load("train")
    other = ClassSubset(Parts(told={"class_names": NAMES[::-1], "class_keys": keys}), 2).load("train")
    assert split.class_keys == other.class_keys
    assert split.class_keys == [keys[NAMES.index(name)] for name in split.class_names or ()]


def test_what_is_known_without_loading_is_cut_too() -> None:
    data = ClassSubset(Parts(own={"class_names": NAMES, "label_space": "animals"}), 2)
    assert data.class_names == data.load("train").class_names
    assert data.class_keys is None
    assert (data.num_classes, data.label_space) == (2, "animals")
    unknown = ClassSubset(Parts(), 2)
    assert unknown.class_names is None
    assert not hasattr(unknown, "label_space")


def test_indices_in_a_label_space_follow() -> None:
    groups = [[10], [11, 12], [13], [14], [15], [16]]
    split = ClassSubset(Parts(told={"class_names": NAMES, "label_indices": groups}), 4).load("train")
    at = [NAMES.index(name) for name in split.class_names or ()]
    assert split.label_indices == [groups[i] for i in at]
    space = ClassSubset(Parts(told={"class_names": NAMES}, own={"label_space": "animals"}), 4).load("train")
    assert space.label_indices == [[i] for i in at]
    assert ClassSubset(Parts(told={"class_names": NAMES}), 4).load("train").label_indices is None


def test_attributes_of_samples_are_cut_and_others_forwarded() -> None:
    told = {"class_names": NAMES, "per_sample": ("scores",), "scores": np.arange(12), "templates": ["a {}."]}
    split = ClassSubset(Parts(told={**told, "already_cropped": 224, "remarks": ["odd"]}), 2).load("train")
    assert split.scores.tolist() == [int(i.split("/")[1]) for i in split.ids]
    assert (split.templates, split.already_cropped, split.remarks) == (["a {}."], 224, ["odd"])
    again = pickle.loads(pickle.dumps(split))
    assert again.targets.tolist() == split.targets.tolist()


def test_numbers_stand_for_classes_without_names_and_all_splits_count() -> None:
    data = ClassSubset(Parts({"train": [0, 1, 2, 0], "test": [0, 1, 2, 3]}), 4)
    assert data.load("test").targets.tolist() == [0, 1, 2, 3]
    train = data.load("train")
    assert train.class_names is None
    assert train.remarks == ["class '3' has no image in split 'train'"]


def test_samples_without_a_label_are_told() -> None:
    split = ClassSubset(Parts({"train": [0, -1, 1, -1]}, {"class_names": NAMES[:2]}), 2).load("train")
    assert split.targets.tolist() == [0, 1]
    assert split.remarks == ["2 samples without a label are left out of split 'train'"]


def test_what_can_not_be_cut_is_refused() -> None:
    with pytest.raises(OptionError, match=r"classes must be at least 1, not 0"):
        ClassSubset(Parts(), 0)
    with pytest.raises(
        OptionError, match=r"needs one label per sample, the data set has the targets 'boxes'"
    ):
        ClassSubset(Parts(own={"target_kind": "boxes"}), 2)
    said = r"classes = 7, but the data set has only 6"
    with pytest.raises(OptionError, match=said):
        ClassSubset(Parts(told={"class_names": NAMES}), 7).load("train")
    assert said in str(ClassSubset(Parts(own={"class_names": NAMES}), 7).unavailable())
    with pytest.raises(DataError, match=r"split 'test' has no labels to choose classes by"):
        ClassSubset(Parts({"test": [-1, -1]}, {"class_names": NAMES}), 2).load("test")
    chosen = ClassSubset(Parts(told={"class_names": NAMES}), 1).load("train").class_names or []
    others = [label for label, name in enumerate(NAMES) if name not in chosen]
    with pytest.raises(DataError, match=r"split 'train' has no sample of the 1 classes"):
        ClassSubset(Parts({"train": others}, {"class_names": NAMES}), 1).load("train")
    away = Parts(own={"unavailable": lambda: "not here"})
    assert ClassSubset(away, 2).unavailable() == "not here"
