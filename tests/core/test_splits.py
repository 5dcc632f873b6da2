"""Splits by role: synonyms are one thing, and nothing trains and tests on the same unasked."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.inference.splits import (
    SYNONYMS,
    find_named_split,
    find_split,
    find_test_split,
    role_of,
    training_split,
    validation_split,
)

KNOWN = [name for names in SYNONYMS.values() for name in names]
NAMES = st.one_of(
    st.sampled_from(KNOWN),
    st.sampled_from(KNOWN).map(str.title),
    st.sampled_from(["train2017", "trainval", "extra", "all", "TRAIN_A", "holdout", "amazon"]),
    st.text(min_size=1, max_size=8),
)


@pytest.mark.parametrize("name", ["valid", "val", "validation", "dev", "eval", "Valid", "DEV"])
def test_without_a_test_split_the_validation_split_is_tested_and_told(name: str) -> None:
    found = find_test_split(["train", name])
    assert found.name == name
    assert found.remark == f"tested on '{name}', a split for validation: the data set has none for testing"


@pytest.mark.parametrize(
    "splits", [["train"], ["Training"], ["train2017"], ["trainval"], ["train", "extra"], []]
)
def test_training_splits_are_not_tested_unasked(splits: list[str]) -> None:
    found = find_test_split(splits)
    assert found.name is None
    assert "neither a split for testing nor one for validation" in str(found.refusal)
    assert "split = …" in str(found.refusal)


def test_several_unknown_splits_are_not_guessed_at() -> None:
    assert "only 'amazon', 'dslr'" in str(find_test_split(["amazon", "dslr"]).refusal)
    assert find_test_split(["amazon", "dslr"], "dslr").name == "dslr"


def test_the_only_split_is_tested_and_told() -> None:
    found = find_test_split(["all"])
    assert (found.name, bool(found.remark)) == ("all", True)
    assert find_test_split(["test"]) == find_test_split(["test", "train"])


def test_a_split_that_is_asked_for_is_found_under_its_other_names() -> None:
    assert find_test_split(["train", "valid"], "val").name == "valid"
    assert find_test_split(["Train", "Test"], "train").name == "Train"
    assert find_named_split(["train", "dev"], "test") is None
    assert "did you mean 'test_small'" in str(find_test_split(["train", "test_small"], "test_smal").refusal)


@given(st.lists(NAMES, max_size=6, unique=True))
def test_whatever_the_names(splits: list[str]) -> None:
    found = find_test_split(splits)
    assert (found.name is None) == (found.refusal is not None)
    if found.name is None:
        assert [find_split(splits, "test"), find_split(splits, "validation")] == [None, None]
        return
    assert found.name in splits
    assert not found.name.casefold().startswith("train")
    assert role_of(found.name) == "test" or found.remark
    assert validation_split(splits, found.name) != found.name
    assert training_split(splits) != found.name
