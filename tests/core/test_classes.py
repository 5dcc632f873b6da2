"""Which output is which class: the right number, a refusal, or a remark; never a wrong number alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import DataError
from harness.inference.classes import (
    ClassAlignment,
    Classes,
    align_classes,
    check_same_classes,
    map_logits_to_classes,
    normalise_class_name,
    synonyms,
)

COLOURS = ("blue", "green", "red")


def sides(model: dict[str, object], data: dict[str, object]) -> tuple[Classes, Classes]:
    return Classes.of(SimpleNamespace(**model)), Classes.of(SimpleNamespace(splits=("test",), **data))


@pytest.mark.parametrize("space", [{}, {"label_space": "colours"}])
def test_names_on_both_sides_decide(space: dict[str, object]) -> None:
    found = align_classes(
        *sides({"class_names": ["Red", "blue", "GREEN"], **space}, {"class_names": COLOURS, **space})
    )
    assert found.columns == [(1,), (2,), (0,)]
    assert found.remarks == ["the outputs of the model were put into the order of the classes, by name"]
    same = align_classes(*sides({"class_names": list(COLOURS), **space}, {"class_names": COLOURS, **space}))
    assert (same.columns, same.refusal, same.remarks) == (None, None, [])


def test_outputs_beyond_the_classes_are_left_out_and_told() -> None:
    found = align_classes(
        *sides({"class_names": ["red", "white", "blue", "green"]}, {"class_names": COLOURS})
    )
    assert found.columns == [(2,), (3,), (0,)]
    assert found.remarks == ["3 of the model's 4 outputs are read, those with the classes' names"]


def test_folders_and_wordnet_ids_are_names_too() -> None:
    names = ["goldfish, Carassius auratus", "tench, Tinca tinca"]
    data = {"class_names": ["tench", "goldfish"], "class_keys": ["n01440764", "n01443537"]}
    assert align_classes(*sides({"class_names": names}, data)).columns == [(1,), (0,)]
    assert align_classes(*sides({"class_names": ["n01443537", "n01440764"]}, data)).columns == [(1,), (0,)]
    assert align_classes(*sides({"class_names": ["n01443537 gold", "n01440764 tench"]}, data)).columns == [
        (1,),
        (0,),
    ]
    assert synonyms("n01440764 tench, Tinca tinca") >= {"n01440764", "tench", "tinca tinca"}


@pytest.mark.parametrize(("one", "other"), [("-1", "1"), ("rh-", "rh"), ("A-", "A"), (" -2", "2")])
def test_a_minus_tells_classes_apart(one: str, other: str) -> None:
    assert normalise_class_name(one) != normalise_class_name(other)
    found = align_classes(*sides({"class_names": ["0", other]}, {"class_names": [one, "0"]}))
    assert "no output for 1 of the data set's 2 classes" in str(found.refusal)


def test_what_a_label_space_calls_its_classes_finds_outputs_without_names() -> None:
    model = {
        "label_space": "s",
        "num_classes": 3,
        "class_keys": ["n00000001 tench", "n00000002 crane", "n00000003 crane, lift"],
    }
    assert align_classes(*sides(model, {"class_names": ["lift", "tench"]})).columns == [(2,), (0,)]
    unknown = align_classes(*sides(model, {"class_names": ["lift", "dog"]}))
    assert "no output for 1 of the data set's 2 classes, 'dog'" in str(unknown.refusal)
    assert "may be any of" in str(align_classes(*sides(model, {"class_names": ["crane", "tench"]})).refusal)
    whole = {"class_names": ["a", "b", "c"], "label_space": "s"}
    assert align_classes(*sides(model, whole)) == ClassAlignment()
    indexed = {"class_names": ["crane", "lift"], "label_space": "s", "label_indices": [[1], [2]]}
    assert align_classes(*sides(model, indexed)) == ClassAlignment(((1,), (2,)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["blue", "gren", "red"],
            "no output for 1 of the data set's 3 classes, 'green'; did you mean 'gren'?",
        ),
        (["blue", "red"], "no output for 1 of the data set's 3 classes, 'green'"),
        (["blue", "green", "Red", "RED"], "'red' may be any of the model's outputs 'Red' and 'RED'"),
    ],
)
def test_what_differs_is_said(names: list[str], said: str) -> None:
    assert said in str(align_classes(*sides({"class_names": names}, {"class_names": COLOURS})).refusal)


def test_long_names_of_outputs_are_shortened_in_messages() -> None:
    long = "n00000001 " + "great white shark, " * 9
    refusal = str(align_classes(*sides({"class_names": [long] * 9}, {"class_names": COLOURS})).refusal)
    assert "its outputs are 'n00000001 great white shark, great" in refusal
    assert len(refusal) < 250


def test_two_classes_can_not_share_an_output() -> None:
    found = align_classes(*sides({"class_names": ["red", "blue"]}, {"class_names": ["Red", "rED"]}))
    assert "'Red' and 'rED' both may be the model's output 'red'" in str(found.refusal)
    exact = align_classes(*sides({"class_names": ["red", "Red"]}, {"class_names": ["Red", "red"]}))
    assert exact.columns == [(1,), (0,)]


def test_an_equal_label_space_defines_the_order_unless_names_speak_against_it() -> None:
    space = {"label_space": "pets"}
    silent = align_classes(*sides(space, {"class_names": COLOURS, **space}))
    assert (silent.columns, silent.refusal, silent.remarks) == (None, None, [])
    other = align_classes(
        *sides({"class_names": ["bleu", "vert", "rouge"], **space}, {"class_names": COLOURS, **space})
    )
    assert other.refusal is None
    assert "3 of 3 classes are named otherwise" in other.remarks[0]
    turned = align_classes(
        *sides({"class_names": ["red", "vert", "bleu"], **space}, {"class_names": COLOURS, **space})
    )
    assert "both named 'red'" in str(turned.refusal)


@pytest.mark.parametrize(
    ("model", "data", "who"),
    [
        ({"num_classes": 3}, {"class_names": COLOURS}, "its outputs have no names"),
        ({"num_classes": 3, "label_space": "x"}, {"class_names": COLOURS}, "its outputs have no names"),
        ({"num_classes": 3}, {"class_names": COLOURS, "label_space": "x"}, "its outputs have no names"),
        ({"class_names": COLOURS}, {}, "the data set's classes have no names"),
        ({}, {}, "its outputs have no names"),
    ],
)
def test_a_silent_side_makes_the_order_an_assumption(
    model: dict[str, object], data: dict[str, object], who: str
) -> None:
    (remark,) = align_classes(*sides(model, data)).remarks
    assert remark.startswith("output i of the model was assumed to be class i of the data set")
    assert who in remark


def test_planning_waits_for_names_that_loading_may_bring() -> None:
    model, data = sides({"class_names": COLOURS}, {})
    assert align_classes(model, data, planning=True).remarks == []
    assert align_classes(model, data).remarks != []
    assert align_classes(*sides({}, {"class_names": COLOURS}), planning=True).remarks != []


def test_numbers_are_compared() -> None:
    text = str(align_classes(*sides({"num_classes": 4}, {"class_names": COLOURS}), planning=True).refusal)
    assert text.startswith("the model has 4 outputs, the data set 3 classes")
    space = {"label_space": "imagenet-1k"}
    assert "1000 outputs, the data set 3 classes" in str(
        align_classes(*sides(space, {"class_names": COLOURS, **space})).refusal
    )
    own = {"label_space": "x"}
    assert "label space 'x'" in str(
        align_classes(*sides({**own, "num_classes": 2}, {**own, "num_classes": 3})).refusal
    )


def test_indices_into_the_label_space() -> None:
    data = {"label_space": "imagenet-1k", "label_indices": [[5], [3, 4]], "class_names": ["a", "b"]}
    found = align_classes(*sides({"label_space": "imagenet-1k"}, data))
    assert (found.columns, found.remarks) == (((5,), (3, 4)), [])
    assert (
        "assumed to be those of the label space 'imagenet-1k'" in align_classes(*sides({}, data)).remarks[0]
    )
    assert "reach index 5" in str(align_classes(*sides({"num_classes": 5}, data)).refusal)
    logits = np.arange(12.0).reshape(2, 6)
    assert map_logits_to_classes(logits, found.columns).tolist() == [[5.0, 4.0], [11.0, 10.0]]


def test_the_order_of_folders_is_told_where_it_decides() -> None:
    data = {"class_names": ["1", "2", "10"], "class_order": "natural"}
    assert align_classes(*sides({"num_classes": 3}, data)).remarks[1:] == ["natural"]
    assert align_classes(*sides({"label_space": "x"}, {**data, "label_space": "x"})).remarks == ["natural"]
    assert align_classes(*sides({"class_names": ["1", "10", "2"]}, data)).remarks == [
        "the outputs of the model were put into the order of the classes, by name"
    ]


def test_splits_that_name_their_classes_differently_are_refused() -> None:
    one, other = SimpleNamespace(class_names=["a", "b"]), SimpleNamespace(class_names=["b", "a"])
    assert check_same_classes(one, SimpleNamespace(class_names=["a", "b"]), "d") == []
    assert check_same_classes(SimpleNamespace(), SimpleNamespace(class_names=None), "d") == []
    (assumed,) = check_same_classes(one, SimpleNamespace(), "d")
    assert assumed.startswith("d: the split that is tested does not name its classes")
    (assumed,) = check_same_classes(SimpleNamespace(), one, "d")
    assert assumed.startswith("d: the split that is learned from does not name its classes")
    with pytest.raises(DataError, match="class 0 is 'a' in one, 'b' in another"):
        check_same_classes(one, other, "d")
    with pytest.raises(DataError, match="class 1 is 'b' in one, missing in another"):
        check_same_classes(one, SimpleNamespace(class_names=["a"]), "d")


WORDS = st.text(st.sampled_from("aåbIß1_- ,"), min_size=1, max_size=5)
FORMS = (
    str,
    str.upper,
    str.title,
    lambda s: s.replace(" ", "_"),
    lambda s: f"n01440764 {s}",
    lambda s: f"{s}, x y z",
)


@given(st.data())
def test_no_wrong_number_without_a_remark(data: st.DataObject) -> None:
    """A perfect classifier whose outputs are in any order and named in any way."""
    names = data.draw(st.lists(WORDS, min_size=1, max_size=5))
    extra = data.draw(st.lists(WORDS, max_size=2))
    order = data.draw(st.permutations(range(len(names) + len(extra))))
    whole = [*names, *extra]
    written = [data.draw(st.sampled_from(FORMS))(whole[i]) for i in order]
    says_names, says_space = data.draw(st.booleans()), data.draw(st.booleans())
    model = Classes(names=tuple(written) if says_names else None, count=len(written))
    own = Classes(names=tuple(names) if data.draw(st.booleans()) else None, count=len(names))
    if says_space and not (says_names and own.names):
        model = Classes(space="s", names=model.names, count=model.count)
    found = align_classes(model, own)
    if found.refusal is not None:
        return
    logits = np.eye(len(whole))[:, order]  # the sample of class i has its largest logit at i's output
    predicted = map_logits_to_classes(logits[: len(names)], found.columns).argmax(axis=1)
    distinct = len({normalise_class_name(name) for name in whole}) == len(whole)
    if not found.remarks and found.columns is None and own.names != model.names:
        raise AssertionError("taken by position without a word")
    if model.names and own.names and distinct:
        assert predicted.tolist() == list(range(len(names)))
