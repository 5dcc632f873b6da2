"""Which class of a data set each class of a model is: by name, by alias, and which aliases are of no use."""

from __future__ import annotations

import pytest

from harness import DataError, OptionError
from harness_dense.class_matching import match_classes_by_name, read_aliases


def test_a_model_with_the_data_sets_own_names_needs_no_alias() -> None:
    data, aliases = ["aeroplane", "cat"], ["aeroplane=airplane"]
    trained = match_classes_by_name(data, data, aliases)
    assert trained.places.tolist() == [0, 1]
    assert trained.remarks == trained.missing == []
    assert match_classes_by_name(["cat", "airplane"], data, aliases).places.tolist() == [1, 0]


def test_an_alias_goes_before_names() -> None:
    found = match_classes_by_name(["red", "green"], ["red", "green"], ["red=green"])
    assert found.places.tolist() == [-1, 0]
    assert found.missing == ["green"]
    assert match_classes_by_name(["red", "green"], ["green", "red"], ["red=green"]).places.tolist() == [-1, 1]


def test_aliases_of_no_use_are_told() -> None:
    found = match_classes_by_name(["cat", "dog"], ["cat", "hound"], ["hund=dog", "hound=dogg", "cat=tiger"])
    assert found.places.tolist() == [0, -1]
    assert found.remarks[0] == (
        "2 of 3 aliases not used: the data set or the model has no such class ('hund=dog', 'hound=dogg')"
    )


def test_two_aliases_of_one_class_are_refused() -> None:
    with pytest.raises(OptionError, match="segmentation: aliases has two entries for the class 'Red'"):
        read_aliases(["red=green", "Red=blue"], "segmentation")
    with pytest.raises(OptionError, match="segmentation: aliases give two classes the model's 'Car'"):
        read_aliases(["bus=car", "van=Car"], "segmentation")


def test_names_that_differ_only_in_how_they_are_written_stay_apart() -> None:
    data = ["red", "Red", "blue"]
    assert match_classes_by_name(["Red", "blue", "red"], data).places.tolist() == [1, 2, 0]
    assert match_classes_by_name(["RED", "blue"], data).places.tolist() == [
        -1,
        2,
    ]  # which of both, nobody can say


def test_two_classes_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="d: two of its classes are called 'red'"):
        match_classes_by_name(["red"], ["red", "blue", "red"], where="d")
