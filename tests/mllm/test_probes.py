"""Probes change what they say, keep the rest, and depend on the seed and the questions alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError, OptionError
from harness_language.conversations import ImagePart, Question, Turn, list_images
from harness_mllm.probe_names import PERMUTED, PROBE_NAMES
from harness_mllm.probes import PROBES, apply_probe


def image(value: int) -> ImagePart:
    return ImagePart(np.full((2, 2, 3), value, np.uint8))


def ask(name: str, *values: int, shots: tuple[tuple[int, str], ...] = ()) -> Question:
    turns = []
    for value, answer in shots:
        turns += [Turn("user", (image(value), "What?")), Turn("assistant", (answer,))]
    return Question(name, (*turns, Turn("user", (*map(image, values), "What?"))))


def shown(question: Question) -> list[int]:
    return [int(part.image[0, 0, 0]) for part in list_images(question)]


def answers(question: Question) -> list[str]:
    return [turn.parts[0] for turn in question.turns if turn.role == "assistant"]


def test_names_known_at_planning_are_those_carried_out():
    assert {*PROBE_NAMES} == {"none", PERMUTED, *PROBES}


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 2)), min_size=2, max_size=20), st.integers(0, 5))
def test_another_image_is_of_another_group_and_as_many(drawn, seed):
    groups = [f"g{group}" for group, _ in drawn]
    questions = [
        ask(f"q{n}", *[10 * group + k for k in range(count)]) for n, (group, count) in enumerate(drawn)
    ]
    there = {(group, k) for group, count in drawn for k in range(count)}
    if any(len({one for one in there if one[0] != group}) < own for group, own in drawn):
        with pytest.raises(DataError, match="no other image"):
            apply_probe("another image", questions, groups, seed)
        return
    changed = apply_probe("another image", questions, groups, seed)
    for before, after, group in zip(questions, changed, groups, strict=True):
        assert len(shown(after)) == len(shown(before))
        assert all(f"g{value // 10}" != group for value in shown(after))
        assert len(set(shown(after))) == len(shown(after))
        assert after.turns[-1].parts[-1] == "What?"
    assert changed == apply_probe("another image", questions, groups, seed)


def test_another_image_is_that_of_one_other_question_if_it_can_be():
    questions = [ask("a", 1, 2), ask("b", 3, 4), ask("c", 5), ask("d", 6)]
    changed = apply_probe("another image", questions, ["a", "b", "c", "d"], 0)
    assert [shown(question) for question in changed] == [[3, 4], [1, 2], [6], [5]]


def test_another_image_has_other_pixels_whatever_its_group_is_called():
    questions = [ask(f"q{n}", n // 3) for n in range(6)]
    changed = apply_probe("another image", questions, [f"q{n}" for n in range(6)], 0)
    assert [shown(question) for question in changed] == [[1]] * 3 + [[0]] * 3


def test_no_image_keeps_all_texts():
    question = ask("a", 1, 2, shots=((3, "red"),))
    (blind,) = apply_probe("no image", [question], ["a"], 0)
    assert shown(blind) == []
    assert [turn.parts for turn in blind.turns] == [("What?",), ("red",), ("What?",)]


def test_reversed_images_are_those_of_the_last_turn_and_twice_is_nothing():
    question = ask("a", 1, 2, 3, shots=((9, "red"),))
    (once,) = apply_probe("images reversed", [question], ["a"], 0)
    assert shown(once) == [9, 3, 2, 1]
    assert apply_probe("images reversed", [once], ["a"], 0) == [question]


def test_flipped_labels_are_all_wrong_and_still_of_the_shots():
    question = ask("a", 7, shots=((1, "dax"), (2, "wug"), (3, "dax"), (4, "wug")))
    (flipped,) = apply_probe("shot labels flipped", [question], ["a"], 0)
    assert answers(flipped) == ["wug", "dax", "wug", "dax"]
    assert shown(flipped) == shown(question)


def test_random_labels_and_shuffled_images_depend_on_seed_and_question_alone():
    shots = tuple((n, "dax" if n % 2 else "wug") for n in range(8))
    question, other = ask("a", 9, shots=shots), ask("b", 9, shots=shots)
    for probe, read in (("shot labels random", answers), ("shot images shuffled", shown)):
        both = apply_probe(probe, [question, other], ["a", "b"], 0)
        assert apply_probe(probe, [question], ["a"], 0) == both[:1]
        assert set(read(both[0])) <= set(read(question))
        assert any(
            read(apply_probe(probe, [question], ["a"], seed)[0]) != read(question) for seed in range(4)
        )
    (shuffled,) = apply_probe("shot images shuffled", [question], ["a"], 1)
    assert sorted(shown(shuffled)) == sorted(shown(question))
    assert shown(shuffled)[-1] == 9
    assert answers(shuffled) == answers(question)


def test_shots_without_images_keep_their_texts_and_the_question_its_images():
    question = ask("a", 1, 2, shots=((3, "red"), (4, "blue")))
    (changed,) = apply_probe("shots without images", [question], ["a"], 0)
    assert shown(changed) == [1, 2]
    assert [turn.parts for turn in changed.turns[:-1]] == [("What?",), ("red",), ("What?",), ("blue",)]
    assert changed.turns[-1] == question.turns[-1]


def test_an_unknown_probe_is_named():
    with pytest.raises(OptionError, match="there is no probe 'no images'"):
        apply_probe("no images", [ask("a", 1)], ["a"], 0)
