"""The log of answers: whatever cuts it short, what was whole before is kept; nothing answered is asked twice."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError, Unavailable
from harness_language.answer_log import AnswerLog, answer_through_log, make_answer_key
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn

TEXT = st.text(st.characters(), max_size=6) | st.sampled_from(["\n", '"}', "\u2028", "\ud83d", "{"])
APPENDS = st.lists(st.tuples(st.sampled_from("abc"), TEXT), max_size=6)


def kept_by(log: AnswerLog) -> dict[str, str]:
    return {key: found["text"] for key in "abc" if (found := log.find(key)) is not None}


@given(APPENDS, st.integers(0, 400), APPENDS)
def test_a_log_cut_at_any_byte_reads_as_a_prefix_and_goes_on(before, cut, after):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "deep" / "log.jsonl"
        ends = [0]
        log = AnswerLog(path)
        for key, text in before:
            log.append(key, {"text": text}, {"question": text})
            ends.append(path.stat().st_size)
        if before:
            path.write_bytes(path.read_bytes()[:cut])
        # a line that lacks nothing but its end is whole
        prefix = [pair for pair, end in zip(before, ends[1:], strict=True) if end - 1 <= cut]
        assert kept_by(AnswerLog(path)) == dict(prefix)
        again = AnswerLog(path)
        for key, text in after:
            again.append(key, {"text": text})
        expected = dict(prefix) | dict(after)
        assert kept_by(again) == kept_by(AnswerLog(path)) == expected


@given(APPENDS, st.binary(max_size=30), APPENDS)
def test_foreign_bytes_cost_no_answer(before, junk, after):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "log.jsonl"
        for key, text in before:
            AnswerLog(path).append(key, {"text": text})
        with path.open("ab") as file:
            file.write(junk)
        for key, text in after:
            AnswerLog(path).append(key, {"text": text})
        assert kept_by(AnswerLog(path)) == dict(before) | dict(after)


def test_objects_on_one_file_see_what_the_others_keep(tmp_path):
    one, other = AnswerLog(tmp_path / "log"), AnswerLog(tmp_path / "log")
    assert one.find("a") is None
    other.append("a", {"text": "1"})
    assert one.find("a") == {"text": "1"}
    half = json.dumps({"key": "b", "kept": {"text": "2"}}).encode() + b"\n"
    for piece in (half[:10], half[10:]):  # another process in the middle of writing
        with (tmp_path / "log").open("ab") as file:
            file.write(piece)
        found = one.find("b")
    assert found == {"text": "2"}


def test_many_threads_and_objects_lose_nothing(tmp_path):
    logs = [AnswerLog(tmp_path / "log") for _ in range(4)]

    def write(number: int) -> None:
        for n in range(25):
            logs[number % 4].append(f"{number}-{n}", {"text": "x" * 9000})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(AnswerLog(tmp_path / "log").list_kept()) == 200
    assert len((tmp_path / "log").read_bytes().splitlines()) == 200


def test_a_log_that_cannot_be_read_or_written_says_so(tmp_path):
    with pytest.raises(DataError, match="can't be read"):
        AnswerLog(tmp_path).find("a")
    with pytest.raises(DataError, match="can't be kept"):
        AnswerLog(tmp_path).append("a", {})


PIXELS = np.zeros((4, 4, 3), np.uint8)
QUESTION = Question("1", (Turn("user", (ImagePart(PIXELS), "what?")),), 16, ("\n",), ("a", "b"))


def test_all_that_decides_an_answer_is_in_its_key():
    changed = PIXELS.copy()
    changed[0, 0, 0] = 1
    (turn,) = QUESTION.turns
    questions = [
        QUESTION, replace(QUESTION, id="2"), replace(QUESTION, max_tokens=17), replace(QUESTION, stop=()),
        replace(QUESTION, choices=("b", "a")), replace(QUESTION, choices=None),
        replace(QUESTION, turns=(Turn("user", (ImagePart(changed), "what?")),)),
        replace(QUESTION, turns=(Turn("user", ("what?", ImagePart(PIXELS))),)),
        replace(QUESTION, turns=(Turn("user", (ImagePart(PIXELS), "what")),)),
        replace(QUESTION, turns=(Turn("system", turn.parts),)), replace(QUESTION, turns=(turn, turn)),
    ]  # fmt: skip
    keys = [make_answer_key({"model": "m"}, question) for question in questions]
    keys += [
        make_answer_key({"model": "m", "revision": "2"}, QUESTION),
        make_answer_key({"model": "m"}, QUESTION, "x"),
    ]
    assert len(set(keys)) == len(keys)
    copy = replace(QUESTION, turns=(Turn("user", (ImagePart(PIXELS.copy()), "what?")),))
    assert make_answer_key({"model": "m"}, copy) == keys[0]


class Model:
    """Answers with the question's id, those it was told otherwise apart; stops after some."""

    def __init__(self, failing=(), stop_after=None):
        self.asked, self.failing, self.stop_after = [], failing, stop_after

    def ask(self, questions, keep):
        for number, question in enumerate(questions):
            if number == self.stop_after:
                raise KeyboardInterrupt
            self.asked.append(question.id)
            keep(
                number, ModelAnswer("", "failed") if question.id in self.failing else ModelAnswer(question.id)
            )


def questions(*ids: str) -> list[Question]:
    return [Question(id, (Turn("user", (f"about {id}",)),)) for id in ids]


def test_answers_come_in_order_and_equal_questions_are_asked_once(tmp_path):
    model, log = Model(), AnswerLog(tmp_path / "log")
    found = answer_through_log(log, "use", {}, questions("c", "a", "c", "b"), model.ask)
    assert [answer.text for answer in found] == ["c", "a", "c", "b"]
    assert model.asked == ["a", "b", "c"]  # those that begin alike follow each other
    assert answer_through_log(log, "use", {}, [], model.ask) == []
    line = json.loads((tmp_path / "log").read_text().splitlines()[0])
    assert (line["id"], line["question"], line["kept"]["text"]) == ("a", "<user>about a", "a")


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(KeyboardInterrupt):
        answer_through_log(AnswerLog(log), "use", {}, questions(*"abcd"), Model(stop_after=2).ask)
    rest = Model()
    found = answer_through_log(AnswerLog(log), "use", {}, questions(*"abcd"), rest.ask)
    assert ([answer.text for answer in found], rest.asked) == (list("abcd"), ["c", "d"])


def test_replay_modes(tmp_path):
    log = tmp_path / "log"
    answer_through_log(AnswerLog(log), "use", {}, questions("a", "b"), Model(failing="b").ask)
    kept = answer_through_log(AnswerLog(log), "only", {}, questions("b", "a"), None)
    assert [answer.status for answer in kept] == ["failed", "ok"]  # repeated as it was
    with pytest.raises(Unavailable, match=r"1 of 2 questions, the first 'c'.* replay is 'only'"):
        answer_through_log(AnswerLog(log), "only", {}, questions("a", "c"), None)
    again = Model()
    answer_through_log(AnswerLog(log), "use", {}, questions("a", "b"), again.ask)
    assert again.asked == ["b"]  # an answer that failed is none
    anew = Model()
    answer_through_log(AnswerLog(log), "off", {}, questions("a", "b"), anew.ask)
    assert anew.asked == ["a", "b"]
    silent = Model()
    answer_through_log(AnswerLog(log), "use", {}, questions("a", "b"), silent.ask)
    assert silent.asked == []


def test_a_line_that_is_no_answer_is_named(tmp_path):
    key = make_answer_key({}, questions("a")[0])
    AnswerLog(tmp_path / "log").append(key, {"text": "x", "status": "failed"})
    with pytest.raises(DataError, match=key):
        answer_through_log(AnswerLog(tmp_path / "log"), "use", {}, questions("a"), Model().ask)
