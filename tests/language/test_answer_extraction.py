"""Reading of answers: what is said is found, what is not said is never made up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness_language.answer_extraction import (
    LETTERS,
    extract_choice,
    extract_short_answer,
    extract_yes_no,
    tell_outcome,
)
from harness_language.conversations import ModelAnswer

ANIMALS = ("cat", "dog", "hot dog", "a large animal")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("B", 1), ("b", 1), (" (B) ", 1), ("**B**", 1), ("B.", 1), ("Option B", 1), ("`C`", 2),
        ("dog", 1), ("Dog.", 1), ("A dog", 1), ("a dog", 1), ("It is a dog.", 1), ("hot dog", 2),
        ("There is a hot dog on the table", 2), ("a large animal", 3),
        ("B. dog", 1), ("(B) dog", 1), ("B: it barks", 1), ("**B**. dog", 1), ("B - dog", 1),
        ("The answer is A", 0), ("The answer is A.", 0), ("The answer is (B)", 1), ("the answer is B because of A", 1),
        ("The answer is A because it purrs", 0), ("The answer is A dog", 1), ("The answer is a dog.", 1),
        ("The answer is the hot dog", 2), ("First I said the answer is A. No: the answer is B.", 1),
        ("Answer: C", 2), ("The correct answer is: **B**", 1), ("The answer is option D", 3),
        ("The answer is B) dog", 1), ("It is not a cat, it is a dog", 1), ("it isn't a cat but a hot dog", 2),
    ],
)  # fmt: skip
def test_a_choice_that_is_named_is_found(text: str, index: int) -> None:
    assert extract_choice(text, ANIMALS) == index


@pytest.mark.parametrize(
    "text",
    [
        "", "   ", "A bird", "E", "cats and dogs", "a cat and a dog", "not a dog", "It isn't a dog",
        "The answer is A bird", "The answer is not B", "The answer isn't B", "The answer is unclear", "B. cat",
        "The answer is B) cat", "doggy", "hot-dog", "category", "I am not sure.", "Neither", "A or B",
    ],
)  # fmt: skip
def test_what_names_no_single_choice_is_none(text: str) -> None:
    assert extract_choice(text, ANIMALS) is None


def test_choices_that_are_letters_or_numbers() -> None:
    assert extract_choice("A", ANIMALS, labels=()) is None  # shown without letters
    assert extract_choice("A", ("B", "A")) is None  # label of the one, text of the other
    assert extract_choice("A", ("B", "A"), labels=()) == 1
    assert extract_choice("A", ("A", "B")) == 0
    assert extract_choice("2.5", ("2", "5")) is None
    assert extract_choice("There are 12", ("1", "2", "12")) == 2
    assert extract_choice("at 10:30", ("10", "10:30")) == 1
    assert extract_choice("The answer is 2.", ("1", "2")) == 1


def test_options_are_not_changed_and_equal_ones_count_as_the_first() -> None:
    choices = ["Red", "Blue", "Red"]
    assert extract_choice("it is red", choices) == 0
    assert choices == ["Red", "Blue", "Red"]


def test_yes_and_no_as_choices() -> None:
    assert extract_choice("Yes.", ("No", "Yes")) == 1
    assert extract_choice("A", ("No", "Yes")) == 0
    assert extract_choice("It isn't", ("no", "yes")) is None


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Yes.", "yes"), ("yes", "yes"), ("YES!", "yes"), ("No", "no"), ("no, there isn't", "no"), ("**Yes**", "yes"),
        ("Yes, there is a dog.", "yes"), ("Yes there is no cat", "yes"), ("No dog is visible", "no"),
        ("The answer is yes", "yes"), ("Answer: No.", "no"), ("Yes at first sight, but the answer is no.", "no"),
        ("Looking closely, no.", "no"), ('"Yes"', "yes"),
        ("", None), ("  ", None), ("isn't", None), ("It isn't there", None), ("There is a dog", None), ("yesterday", None),
        ("not sure", None), ("nothing", None), ("I have no idea", None), ("No idea.", None), ("Yes or no?", None),
        ("yes and no", None), ("Yes, no.", None), ("no-one", None), ("maybe", None),
    ],
)  # fmt: skip
def test_yes_and_no(text: str, read: str | None) -> None:
    assert extract_yes_no(text) == read


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("two dogs", "two dogs"), ("\n two dogs \nQuestion: what else?", "two dogs"), ("The answer is 2.", "2."),
        ("Answer: red", "red"), ("A short story", "A short story"), ("", None), ("\n \t", None), ("Answer:", None),
        ("Answer:\nblue", "blue"),
    ],
)  # fmt: skip
def test_short_answers(text: str, read: str | None) -> None:
    assert extract_short_answer(text) == read


def test_outcomes() -> None:
    assert tell_outcome(ModelAnswer("B"), 1) == "ok"
    assert tell_outcome(ModelAnswer("B"), 0) == "ok"  # the first choice is no absence of one
    assert tell_outcome(ModelAnswer("?"), None) == "unparsed"
    assert tell_outcome(ModelAnswer("B", "truncated"), 1) == "truncated"
    assert tell_outcome(ModelAnswer("", "refused"), None) == "refused"
    assert tell_outcome(ModelAnswer("", "failed"), None) == "failed"


words = st.lists(st.from_regex(r"[b-hj-z]{3,8}", fullmatch=True), min_size=2, max_size=6, unique=True)


@given(words, st.data())
def test_each_way_of_naming_a_choice_is_read_alike(choices: list[str], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(choices) - 1))
    letter, choice = LETTERS[index], choices[index]
    ways = (letter, f"({letter})", f"{letter}. {choice}", choice, choice.upper(), f"The answer is {letter}.")
    for text in (*ways, f"the answer is the {choice}"):
        assert extract_choice(text, choices) == index, text


@given(st.text(max_size=60), words)
def test_any_text_gives_a_choice_or_none_and_always_the_same(text: str, choices: list[str]) -> None:
    found = extract_choice(text, choices)
    assert found is None or 0 <= found < len(choices)
    assert extract_choice(text, choices) == found
    assert extract_yes_no(text) in ("yes", "no", None)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("MW", 1),
        ("mW", 0),
        ("The answer is MW.", 1),
        ("It takes 3 mW of power.", 0),
        ("B. MW", 1),
        ("Mw", None),
    ],
)
def test_case_counts_where_choices_differ_by_it_alone(text: str, read: int | None) -> None:
    assert extract_choice(text, ["mW", "MW", "kg"]) == read
