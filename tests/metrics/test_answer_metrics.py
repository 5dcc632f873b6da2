"""Metrics of answers against closed forms, the numbers of the papers, and the traps of earlier evaluation code."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness.statistics import mcnemar_test
from harness_metrics.answer_accuracy import Anls, ExactMatch, VqaAccuracy
from harness_metrics.answer_normalisation import (
    CONTRACTIONS,
    edit_distance,
    normalise_answer,
    normalised_similarity,
)
from harness_metrics.answer_rates import AnswerRates
from harness_metrics.answers import Answered
from harness_metrics.choice_metrics import ChoiceAccuracy, CircularAccuracy
from harness_metrics.yes_no_metrics import MmeScore, YesNo


def answered(extracted: list[str | None], **columns: Any) -> Answered:
    """Rows of the given answers, of which only the given columns matter."""
    count = len(extracted)
    defaults: dict[str, Any] = {
        "ids": [f"q{i}" for i in range(count)],
        "groups": [f"i{i}" for i in range(count)],
        "prompts": [0] * count,
        "texts": [said or "" for said in extracted],
        "outcomes": ["unparsed" if said is None else "ok" for said in extracted],
        "references": [[]] * count,
        "choices": [[]] * count,
        "right": [None] * count,
    }
    return Answered(**{**defaults, "extracted": extracted, **columns})


@pytest.mark.parametrize(("equal", "value"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)])
def test_vqa_accuracy_by_the_number_of_matches(equal: int, value: float) -> None:
    answers = answered(["red"], references=[["red"] * equal + [f"other {i}" for i in range(10 - equal)]])
    assert VqaAccuracy()(answers) == pytest.approx(value)


@given(st.lists(st.sampled_from("abcd"), min_size=4, max_size=12), st.sampled_from("abcd"))
def test_vqa_accuracy_is_the_mean_over_all_sets_without_one_answer(references: list[str], said: str) -> None:
    # letters other than the article, which is removed
    shown = {"a": "red", "b": "blue", "c": "green", "d": "grey"}
    sets = itertools.combinations(references, len(references) - 1)
    expected = np.mean([min(sum(r == said for r in one) / 3, 1) for one in sets])
    found = VqaAccuracy()(answered([shown[said]], references=[[shown[r] for r in references]]))
    assert found == pytest.approx(expected)


def test_vqa_accuracy_of_few_annotators_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"'q0' has 3 reference answers; it is defined from 4 on .*exact-match"
    ):
        VqaAccuracy()(answered(["red"], references=[["red"] * 3]))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Yes.", "yes"), ("two dogs", "2 dogs"), ("1,000", "1000"), ("2.5", "2.5"), ("10:30", "10:30"),
        ("The dog, a cat & an owl!", "dog cat & owl"), ("none", "0"), ("Ten", "10"), ("dont", "don't"), ("isnt", "isn't"),
        ("its", "its"), ("were", "were"), ("the dog's bowl", "dog's bowl"), ("black/white", "black white"),
        ("t-shirt", "t shirt"), ("St. John", "st john"), ("10:30 a.m.", "10:30 am"), ("1,234,567.89", "1234567.89"),
        ("3.", "3"), ("red, blue", "red blue"), ("couldntve", "couldn't've"), ("the", ""), ("", ""), ("answer: 2", "answer: 2"),
        ("50%", "50%"), ("a&b", "a&b"),
    ],
)  # fmt: skip
def test_normalisation_by_the_published_rules(text: str, normal: str) -> None:
    assert normalise_answer(text) == normal


@given(st.text(max_size=40))
def test_normalisation_twice_is_normalisation_once(text: str) -> None:
    assert normalise_answer(normalise_answer(text)) == normalise_answer(text)


def test_contractions_lack_nothing_but_an_apostrophe() -> None:
    assert all(full.replace("'", "") == bare for bare, full in CONTRACTIONS.items())
    words = {"its", "were", "well", "ill", "hell", "shell", "shed", "wed", "id", "lets", "whore"}
    assert not words & set(CONTRACTIONS)


def test_both_sides_are_normalised() -> None:
    assert ExactMatch()(answered(["2 dogs"], references=[["Two dogs."]])) == 1
    assert ExactMatch()(answered(["Two dogs."], references=[["2 dogs"]])) == 1
    assert ExactMatch(normalise=False)(answered(["Two dogs."], references=[["2 dogs"]])) == 0
    assert VqaAccuracy()(answered(["a dog"], references=[["Dog!"] * 10])) == 1


def test_an_answer_of_which_nothing_is_left_equals_no_other() -> None:
    assert ExactMatch()(answered(["the"], references=[["an"]])) == 0
    assert ExactMatch()(answered(["the"], references=[["the"]])) == 1


def test_exact_match_takes_the_right_choice_where_there_are_no_references() -> None:
    assert ExactMatch()(answered(["b"], choices=[["a", "b"]], right=[1])) == 1
    with pytest.raises(DataError, match="question 'q0' has neither a reference nor a right choice"):
        ExactMatch()(answered(["b"]))


@pytest.mark.parametrize(
    ("said", "reference", "value"),
    [("helo", "hello", 0.8), ("abxx", "abcd", 0.0), ("HELLO ", "hello", 1.0), ("ab  c", "ab c", 1.0)],
)
def test_anls(said: str, reference: str, value: float) -> None:
    answers = answered([said], references=[["quite another", reference]])
    assert Anls()(answers) == pytest.approx(value)


def test_anls_threshold() -> None:
    answers = answered(["abxx"], references=[["abcd"]])
    assert Anls(threshold=0.6)(answers) == pytest.approx(0.5)
    with pytest.raises(OptionError, match="threshold is 0, expected"):
        Anls(threshold=0)


short = st.text(alphabet="abc", max_size=6)


@given(short, short)
def test_edit_distance_is_the_recursive_definition(a: str, b: str) -> None:
    def distance(x: str, y: str) -> int:
        if not x or not y:
            return len(x) + len(y)
        return min(distance(x[1:], y) + 1, distance(x, y[1:]) + 1, distance(x[1:], y[1:]) + (x[0] != y[0]))

    assert edit_distance(a, b) == distance(a, b)
    assert normalised_similarity(a, b) == normalised_similarity(b, a)


ABCD = ["cat", "dog", "cow", "owl"]


def test_always_the_first_option_is_a_quarter_right_and_circularly_never() -> None:
    rows = [(q, turn) for q in range(8) for turn in range(4)]
    orders = [ABCD[turn:] + ABCD[:turn] for _, turn in rows]
    answers = answered(
        [order[0] for order in orders],
        ids=[f"q{q}" for q, _ in rows],
        orders=[turn for _, turn in rows],
        choices=orders,
        right=[order.index(ABCD[q % 4]) for (q, _), order in zip(rows, orders, strict=True)],
    )
    vanilla = answers.select([row for row, (_, turn) in enumerate(rows) if turn == 0])
    assert ChoiceAccuracy()(vanilla) == 0.25
    assert ChoiceAccuracy()(answers) == 0.25
    assert CircularAccuracy()(answers) == 0
    with pytest.raises(DataError, match="question 'q0' was asked in one order"):
        CircularAccuracy()(vanilla)


def test_all_ways_of_guessing_four_orders_are_circularly_right_once_in_256() -> None:
    orders = [ABCD[turn:] + ABCD[:turn] for turn in range(4)]
    guesses = list(itertools.product(range(4), repeat=4))
    answers = answered(
        [orders[turn][pick] for guess in guesses for turn, pick in enumerate(guess)],
        ids=[f"{guess}" for guess in guesses for _ in range(4)],
        orders=[0, 1, 2, 3] * 256,
        choices=orders * 256,
        right=[order.index("cat") for order in orders] * 256,
    )
    assert CircularAccuracy()(answers) == 1 / 256
    assert ChoiceAccuracy()(answers) == 0.25
    assert CircularAccuracy().per_sample(answers).mean() == 1 / 256


def test_each_prompt_of_a_question_is_its_own_circle() -> None:
    both = {"choices": [["a", "b"], ["b", "a"]] * 2, "right": [0, 1] * 2, "ids": ["q"] * 4}
    answers = answered(["a", "a", "a", "b"], prompts=[0, 0, 1, 1], orders=[0, 1, 0, 1], **both)
    assert CircularAccuracy()(answers) == 0.5


def test_what_failed_was_refused_or_cut_is_never_right() -> None:
    outcomes = ["failed", "refused", "truncated", "unparsed"]
    answers = answered(
        [None, None, "yes", None],
        outcomes=outcomes,
        references=[["yes"] * 10] * 4,
        choices=[["yes", "no"]] * 4,
        right=[0] * 4,
    )
    for metric in (VqaAccuracy(), Anls(), ExactMatch(), ChoiceAccuracy()):
        assert metric(answers) == 0
    assert AnswerRates()(answers) == dict.fromkeys(outcomes, 0.25)
    assert YesNo()(answers)["accuracy"] == 0


def test_an_empty_refusal_of_empty_references_is_not_right() -> None:
    with pytest.raises(DataError, match="neither a reference"):
        ExactMatch()(answered([None], outcomes=["failed"]))


def yes_no(said: list[str | None], truth: list[str], **columns: Any) -> Answered:
    return answered(said, references=[[word] for word in truth], **columns)


def test_always_yes_on_pope() -> None:
    truth = ["yes", "no"] * 1500
    found = YesNo()(yes_no(["yes"] * 3000, truth))
    expected = {"accuracy": 0.5, "precision": 0.5, "recall": 1, "f1": 2 / 3, "yes_share": 1, "readable": 1}
    assert found == pytest.approx(expected)


def test_the_share_of_yes_counts_answers_and_not_labels() -> None:
    found = YesNo()(yes_no(["no"] * 4, ["yes", "yes", "no", "no"]))
    assert (found["yes_share"], found["accuracy"]) == (0, 0.5)


def test_unreadable_is_wrong_and_neither_yes_nor_no() -> None:
    # truth yes: one hit, one unreadable; truth no: one false yes, one unreadable
    found = YesNo()(yes_no(["yes", None, "yes", None], ["yes", "yes", "no", "no"]))
    expected = {
        "accuracy": 1 / 4,
        "precision": 1 / 2,
        "recall": 1 / 2,
        "f1": 1 / 2,
        "yes_share": 1 / 2,
        "readable": 1 / 2,
    }
    assert found == pytest.approx(expected)
    mute = YesNo()(yes_no([None] * 4, ["yes", "yes", "no", "no"]))
    assert set(mute.values()) == {0}  # scored ½ by code that takes all but yes for no


def test_scores_of_yes_agree_with_scikit_learn() -> None:
    from sklearn.metrics import precision_recall_fscore_support

    rng = np.random.default_rng(0)
    said, truth = (rng.choice(["yes", "no"], 200).tolist() for _ in range(2))
    found = YesNo()(yes_no(said, truth))
    expected = precision_recall_fscore_support(truth, said, pos_label="yes", average="binary")[:3]
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(list(expected))


def test_truth_that_is_neither_yes_nor_no_is_refused() -> None:
    with pytest.raises(DataError, match="the right answer to question 'q0' is 'maybe', not yes or no"):
        YesNo()(yes_no(["yes"], ["maybe"]))
    assert YesNo()(answered(["Yes"], choices=[["No", "Yes"]], right=[1]))["accuracy"] == 1


def mme(subtasks: int, said: list[str]) -> Answered:
    """Five images in each subtask, each with a question of yes and one of no."""
    rows = [(task, image) for task in range(subtasks) for image in range(5) for _ in range(2)]
    return yes_no(
        said * (len(rows) // 2),
        ["yes", "no"] * (len(rows) // 2),
        groups=[f"{task}-{image}" for task, image in rows],
        answer_types=[f"task {task}" for task, _ in rows],
    )


@pytest.mark.parametrize(("subtasks", "constant", "best"), [(10, 500, 2000), (4, 200, 800)])
def test_mme_of_a_constant_and_of_the_right_answers(subtasks: int, constant: float, best: float) -> None:
    assert MmeScore()(mme(subtasks, ["yes", "yes"]))["score"] == pytest.approx(constant)
    assert MmeScore()(mme(subtasks, ["yes", "no"]))["score"] == pytest.approx(best)
    assert MmeScore()(mme(subtasks, ["yes", "yes"]))["accuracy_plus"] == 0


def test_mme_needs_two_questions_per_image() -> None:
    answers = mme(2, ["yes", "no"])
    with pytest.raises(DataError, match="image '1-4' of 'task 1' has 1 questions, expected 2"):
        MmeScore()(answers.select(range(len(answers) - 1)))


def test_copies_of_answers_widen_the_clustered_error_but_not_the_naive_one() -> None:
    # 100 images, five equal answers about each, half of them right
    right = np.repeat(np.arange(100) % 2, 5)
    answers = answered(
        ["a" if r else "b" for r in right],
        groups=[f"image {i // 5}" for i in range(500)],
        choices=[["a", "b"]] * 500,
        right=[0] * 500,
    )
    values = ChoiceAccuracy().per_sample(answers)
    naive = np.sqrt(values.mean() * (1 - values.mean()) / len(values))
    residuals: dict[str, float] = {}
    for group, value in zip(answers.groups, values - values.mean(), strict=True):
        residuals[group] = residuals.get(group, 0) + value
    clustered = np.sqrt(np.square(list(residuals.values())).sum()) / len(values)
    assert (naive, clustered) == (pytest.approx(0.0224, abs=5e-5), pytest.approx(0.05))


def test_values_per_sample_serve_mcnemars_test() -> None:
    choices = {"choices": [["a", "b"]] * 30, "right": [0] * 30}
    one = answered(["a"] * 10 + ["b"] * 2 + ["a"] * 18, **choices)
    other = answered(["b"] * 10 + ["a"] * 2 + ["a"] * 18, **choices)
    found = mcnemar_test(*(ChoiceAccuracy().per_sample(answers) for answers in (one, other)))
    assert found.p_value == pytest.approx(0.0386, abs=5e-5)


METRICS = (
    VqaAccuracy(),
    Anls(),
    ExactMatch(),
    ChoiceAccuracy(),
    CircularAccuracy(),
    YesNo(),
    MmeScore(),
    AnswerRates(),
)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: type(metric).__name__)
def test_no_answers_are_refused(metric: Any) -> None:
    with pytest.raises(DataError, match="there are no answers"):
        metric(answered([]))


@pytest.mark.parametrize("metric", METRICS[:-1], ids=lambda metric: type(metric).__name__)
def test_a_value_per_sample_belongs_to_its_row_in_any_order(metric: Any) -> None:
    answers = Answered.example(0.5, 1)
    rows = np.random.default_rng(0).permutation(len(answers))
    np.testing.assert_array_equal(metric.per_sample(answers)[rows], metric.per_sample(answers.select(rows)))
    json.dumps(metric(answers))  # plain numbers
