"""Divisions: equal to scikit-learn's, stratified, disjoint, the same for all; own splits are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from harness.errors import DataError, OptionError
from harness_fusion.pair_splits import arrange_pair_splits, divide_by_reference, divide_cleanly


def _targets(n=400, seed=0):
    return np.random.default_rng(seed).choice(3, size=n, p=[0.28, 0.12, 0.6])


def _split(targets):
    return SimpleNamespace(targets=np.asarray(targets), ids=[f"p{i}" for i in range(len(targets))])


def test_the_reference_rule_is_scikit_learns_split_with_seed_42():
    targets = _targets()
    train, test = train_test_split(np.arange(400), test_size=0.2, stratify=targets, random_state=42)
    division = divide_by_reference(targets)
    assert division.train.tolist() == sorted(train)
    assert division.test.tolist() == sorted(test)
    assert division.validation is division.test


def test_the_clean_rule_reports_the_same_pairs_and_stops_on_others():
    targets = _targets()
    reference, clean = divide_by_reference(targets), divide_cleanly(targets)
    assert clean.test.tolist() == reference.test.tolist()
    assert len(clean.validation) == round(0.1 * len(reference.train))
    parts = [set(p.tolist()) for p in (clean.train, clean.validation, clean.test)]
    assert set.union(*parts) == set(range(400))
    assert sum(map(len, parts)) == 400


@pytest.mark.parametrize("rule", [divide_by_reference, divide_cleanly])
def test_each_part_has_its_share_of_each_class(rule):
    targets = _targets(997)
    division = rule(targets)
    counts = np.bincount(targets)
    assert np.abs(np.bincount(targets[division.test]) - 0.2 * counts).max() <= 1
    if rule is divide_cleanly:
        left = counts - np.bincount(targets[division.test])
        assert np.abs(np.bincount(targets[division.validation]) - 0.1 * left).max() <= 1


def test_unlabelled_rows_are_in_no_part():
    targets = _targets()
    targets[::10] = -1
    division = divide_cleanly(targets)
    rows = np.concatenate([division.train, division.validation, division.test])
    assert (targets[rows] >= 0).all()
    assert len(rows) == 360


def test_a_class_of_one_pair_trains():
    targets = np.append(_targets(), 3)
    division = divide_by_reference(targets)
    assert 400 in division.train
    assert division.kept_whole == (3,)


def test_too_few_pairs_are_refused_with_the_number_needed():
    with pytest.raises(DataError, match="at least 11"):
        divide_by_reference(np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2]))
    division = divide_by_reference(np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]))
    assert len(division.test) == 3


def test_arranging_all_opens_one_split_and_counts_what_is_left_out():
    targets = _targets()
    targets[:7] = -1
    opened = []

    def open_split(name):
        opened.append(name)
        return _split(targets)

    found = arrange_pair_splits(("all", "unlabelled"), open_split, "clean")
    assert opened == ["all"]
    assert found.unlabelled == "unlabelled"
    assert found.notes["pairs without a label, left out"] == 7
    assert found.notes["test"] == {"split": "all", "pairs": len(found.test)}
    assert (found.train.targets >= 0).all()
    assert found.test.ids == [f"p{r}" for r in found.test.rows]
    same = arrange_pair_splits(("all",), open_split, "reference")
    assert same.validation is same.test
    assert same.test.rows.tolist() == found.test.rows.tolist()


def test_own_splits_are_kept():
    splits = {"train": _split(_targets(200)), "dev": _split(_targets(40)), "test": _split(_targets(50))}
    clean = arrange_pair_splits(tuple(splits), splits.__getitem__, "clean")
    assert [p.name for p in (clean.train, clean.validation, clean.test)] == ["train", "dev", "test"]
    assert len(clean.train) == 200
    reference = arrange_pair_splits(tuple(splits), splits.__getitem__, "reference")
    assert reference.validation is reference.test
    assert reference.test.name == "test"


def test_with_an_unlabelled_test_split_the_validation_split_is_reported():
    splits = {"train": _split(_targets(200)), "val": _split(_targets(40)), "test": _split([-1] * 30)}
    clean = arrange_pair_splits(tuple(splits), splits.__getitem__, "clean")
    assert clean.test.name == "val"
    assert clean.validation.name == "train"
    assert set(clean.validation.rows).isdisjoint(clean.train.rows)
    assert len(clean.validation) + len(clean.train) == 200
    assert clean.unlabelled == "test"


@pytest.mark.parametrize("name", ["valid", "Eval", "validation"])
def test_splits_are_found_under_their_other_names(name):
    splits = {"Training": _split(_targets(200)), name: _split(_targets(40)), "testing": _split(_targets(50))}
    clean = arrange_pair_splits(tuple(splits), splits.__getitem__, "clean")
    assert [p.name for p in (clean.train, clean.validation, clean.test)] == ["Training", name, "testing"]
    del splits["testing"]
    clean = arrange_pair_splits(tuple(splits), splits.__getitem__, "clean")
    assert [p.name for p in (clean.train, clean.validation, clean.test)] == ["Training", "Training", name]


@pytest.mark.parametrize(("names", "message"), [(("test",), "'train'"), (("train",), "none can be reported")])
def test_missing_parts_are_named(names, message):
    with pytest.raises(DataError, match=message):
        arrange_pair_splits(names, lambda name: _split(_targets(100)), "clean")


def test_an_unknown_rule_is_refused():
    with pytest.raises(OptionError, match="clean"):
        arrange_pair_splits(("all",), lambda name: _split(_targets()), "cleen")


def test_without_two_pairs_of_any_class_the_message_says_so():
    with pytest.raises(
        DataError, match=r"no class has two labelled pairs or more \(3 in all\).* raise --limit"
    ):
        divide_cleanly(np.array([0, 1, 2]))
