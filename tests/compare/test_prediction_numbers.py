"""Labels that are numbers, of classes that are called by other numbers, or counted from 1."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from harness import ImportedPredictions
from harness.exchange.predictions_matching import Truth, match_predictions
from harness.inference.classes import Classes

NAMES = ("1", "10", "2", "3")
"""Names of folders in the order of texts."""


def match(labels, truths, names=NAMES, **more):
    ids = [str(n) for n in range(len(labels))]
    truth = Truth(ids, np.array(truths), Classes(names=names, count=len(names)), "data set 'x'")
    return match_predictions(ImportedPredictions(ids=ids, labels=labels, **more), Path("a.csv"), truth)


@pytest.mark.parametrize("size", [2, 3])
def test_a_column_is_read_in_one_way(size):
    """Never one label as a name and another as an index: classes that differ in the file differ afterwards."""
    for labels in itertools.permutations("0123", size):
        assert len(set(match(list(labels), [0] * size).labels.tolist())) == size


def test_texts_are_names_if_all_are_and_indices_if_one_is_none():
    assert match(["1", "10", "2", "3"], [0, 1, 2, 3]).labels.tolist() == [0, 1, 2, 3]
    assert match(["0", "1", "2", "3"], [0, 1, 2, 3]).labels.tolist() == [0, 1, 2, 3]
    assert match(["1.0", "10.0"], [0, 1]).labels.tolist() == [0, 1]
    assert match([1, 10], [0, 1]).labels.tolist() == [0, 1]


def test_what_could_be_both_is_told():
    text, whole = match(["1", "2"], [0, 2]), match([1, 2], [1, 2])
    assert text.labels.tolist() == [0, 2]
    assert whole.labels.tolist() == [1, 2]
    said = "the predictions are numbers, and were read as "
    assert text.remarks == [said + "names of classes, not as indices"]
    assert whole.remarks == [said + "indices of classes, not as their names"]


def test_targets_tell_how_predictions_are_meant():
    found = match(["1", "2"], [0, 2], targets=["0", "2"])
    assert found.labels.tolist() == [1, 2]


def test_names_that_are_their_indices_leave_no_doubt():
    assert match(["0", "1", "2"], [0, 1, 2], names=("0", "1", "2")).remarks == []


def test_labels_counted_from_1_carry_a_remark():
    found = match([1, 2, 3, 2], [0, 1, 2, 0], names=("cat", "dog", "owl", "fox"))
    assert found.labels.tolist() == [1, 2, 3, 2]
    assert found.remarks == [
        "the predictions seem to be counted from 1: they agree with 0.0% of the targets, and less one with 75.0%"
    ]
    assert match([1, 1, 2, 3], [1, 1, 2, 3], names=("cat", "dog", "owl", "fox")).remarks == []
