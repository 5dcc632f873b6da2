"""A model behind a server: what is sent, what becomes of trouble, what is kept, and what it may cost."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from harness import DataError, EncodedImage, OptionError, Unavailable
from harness_language.budgets import OutOfBudget
from harness_language.completions import read_completion, write_data_uri
from harness_language.conversations import ImagePart, ModelAnswer, Question, Turn
from harness_language.endpoint_model import ChatEndpoint

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_what_is_sent(chat):
    question = Question(
        "1",
        (
            Turn("system", ("Be short.",)),
            Turn("user", (chat.colour(*RED), "first", chat.colour(*BLUE), "second")),
            Turn("assistant", ("yes",)),
            Turn("user", ("and now?",)),
        ),
        max_tokens=7,
        stop=("\n", "Q:"),
    )
    (found,) = chat.model(top_k=-1, repetition_penalty=1.0, seed=3).generate([question])
    (body,), (headers,) = chat.server.seen, chat.server.headers
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    kinds = [part.get("text") or part["type"] for part in body["messages"][1]["content"]]
    assert kinds == ["image_url", "first", "image_url", "second"]
    assert [(kind, image.getpixel((0, 0))) for kind, image in chat.read_images(body)] == [
        ("png", RED),
        ("png", BLUE),
    ]
    assert body["messages"][3]["content"] == "and now?"
    sent = {name: body[name] for name in body if name != "messages"}
    assert sent == {
        "model": "m", "temperature": 0.0, "top_p": 1.0, "top_k": -1, "repetition_penalty": 1.0, "seed": 3,
        "max_tokens": 7, "stop": ["\n", "Q:"],
    }  # fmt: skip
    assert headers["Authorization"] == f"Bearer {chat.key}"
    assert headers["Content-Type"] == "application/json"
    assert headers["path"] == "/v1/chat/completions"
    assert found.tokens_in > 0


def test_what_not_every_server_knows_is_sent_only_if_asked_for(chat):
    chat.model(limit_name="max_completion_tokens", seed=None).generate([chat.ask("a", choices=("a", "b"))])
    assert set(chat.server.seen[0]) == {"messages", "model", "temperature", "top_p", "max_completion_tokens"}


def jpeg(mode: str = "RGB", seed: int = 0, **options: object) -> EncodedImage:
    stream = io.BytesIO()
    noise = np.random.default_rng(seed).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(stream, "JPEG", **options)
    return EncodedImage(stream.getvalue(), "x.jpg")


def test_images_are_sent_with_the_pixels_of_their_digest(chat):
    turned = Image.Exif()
    turned[0x0112] = 6
    parts = [ImagePart(image) for image in (jpeg(), jpeg("L"), jpeg("CMYK"), jpeg(seed=1, exif=turned))]
    kinds = ["jpeg", "jpeg", "png", "png"]  # of the last two, servers make different pictures
    chat.model().generate([chat.ask(*parts, "?")])
    for part, kind, (sent, image) in zip(parts, kinds, chat.read_images(chat.server.seen[0]), strict=True):
        assert sent == kind
        assert ImagePart(image) == part
    assert parts[0].image.data == base64.b64decode(write_data_uri(parts[0]).partition(",")[2])
    assert write_data_uri(parts[0], "png").startswith("data:image/png")


def test_swapping_two_images_swaps_what_the_model_sees(chat):
    red, blue = chat.colour(*RED), chat.colour(*BLUE)
    one, other = chat.model().generate([chat.ask(red, blue, id="1"), chat.ask(blue, red, id="2")])
    assert (one.text.index("(255"), other.text.index("(255")) == (one.text.index("("), other.text.rindex("("))


def test_answers_come_in_order_over_few_connections(chat):
    def late_first(handler, body):
        time.sleep(0.02 if "0" in body["messages"][0]["content"] else 0)
        chat.answer(handler, chat.say(body))

    chat.server.step = late_first
    asked = [chat.ask(f"question {n}", id=str(n)) for n in range(60)]
    found = chat.model(concurrency=6).generate(asked)
    assert [answer.text.split()[2] for answer in found] == [str(n) for n in range(60)]
    assert chat.server.most_at_once <= 6
    assert chat.server.connections <= 6  # kept open
    assert chat.model().generate([]) == []


def test_a_connection_that_the_server_closed_meanwhile_costs_no_try(chat):
    def close_after(handler, body):
        chat.answer(handler, chat.say(body))
        handler.close_connection = True  # without saying so

    chat.server.step = close_after
    model = chat.model(concurrency=1, retries=0)
    for n in range(3):
        model.generate([chat.ask(f"{n}", id=str(n))])
        time.sleep(0.1)
    assert (len(chat.server.seen), chat.server.connections) == (3, 3)


def test_a_proxy_of_the_environment_is_used(chat, monkeypatch):
    monkeypatch.setenv(
        "http_proxy", chat.server.address.removesuffix("/v1").replace("//", "//me:pass%20word@")
    )
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    (found,) = chat.model(address="http://elsewhere.invalid/v1").generate([chat.ask("a")])
    (headers,) = chat.server.headers
    assert found.text
    assert headers["path"] == "http://elsewhere.invalid/v1/chat/completions"
    assert base64.b64decode(headers["Proxy-Authorization"].removeprefix("Basic ")) == b"me:pass word"


TROUBLES = {
    "rate limit": lambda c: c.reply(429, {"error": "slow"}), "early": lambda c: c.reply(425, b""),
    "time-out there": lambda c: c.reply(408, b""), "overloaded": lambda c: c.reply(529, b"x"),
    "fault": lambda c: c.reply(500, b"oh"), "busy": lambda c: c.reply(503, b"busy"),
    "html": lambda c: c.reply(200, b"<html>"), "no choices": lambda c: c.reply(200, {"choices": []}),
    "list": lambda c: c.reply(200, [1]), "no text": lambda c: c.complete({"content": None}),
    "null": lambda c: c.reply(200, {"choices": [{"message": None}]}), "no utf-8": lambda c: c.reply(200, b"\xff\xfe"),
    "disconnect": lambda c: c.disconnect, "half an answer": lambda c: c.break_off,
}  # fmt: skip


def test_all_trouble_is_tried_again_and_nothing_is_mixed_up(chat):
    """Every kind meets a question of its own, all at once; each gets its own answer in the end."""
    kinds = dict(TROUBLES)

    def step(handler, body):
        name = body["messages"][0]["content"]
        tried = sum(one["messages"] == body["messages"] for one in chat.server.seen)
        if name in kinds and tried <= 2:
            kinds[name](chat)(handler, body)
        else:
            chat.answer(handler, chat.say(body))

    chat.server.step = step
    asked = [chat.ask(name, id=name, max_tokens=64) for name in ("plain", *kinds)]
    found = chat.model(concurrency=8).generate(asked)
    assert [answer.status for answer in found] == ["ok"] * len(asked)
    assert all(question.id in answer.text for question, answer in zip(asked, found, strict=True))
    tries = {
        name: sum(one["messages"][0]["content"] == name for one in chat.server.seen)
        for name in ("plain", *kinds)
    }
    assert tries == {"plain": 1, **dict.fromkeys(kinds, 3)}


def test_a_silent_server_is_asked_again(chat):
    chat.server.first_then(chat.stay_silent)
    (found,) = chat.model(timeout=0.5).generate([chat.ask("a")])
    assert found.text.startswith(("A a", "B a"))
    assert len(chat.server.seen) >= 2  # the machine may be slower than the time-out once more


def test_a_question_that_stays_without_an_answer_failed_and_has_no_text(chat):
    def step(handler, body):
        poison = body["messages"][0]["content"] in kinds
        kinds[body["messages"][0]["content"]](handler, body) if poison else chat.answer(
            handler, chat.say(body)
        )

    kinds = {
        "cut": chat.break_off,
        "fault": chat.reply(500, b"D"),
        "odd": chat.reply(200, b"A"),
        "bad": chat.reply(400, b"B"),
    }
    chat.server.step = step
    model = chat.model(retries=1, concurrency=1)
    found = model.generate([chat.ask(text, id=text, max_tokens=64) for text in ("a good one", *kinds)])
    assert [answer.status for answer in found] == ["ok", *["failed"] * 4]
    assert [answer.text for answer in found[1:]] == [""] * 4
    assert "2 tries" in found[1].reason
    assert "500" in found[2].reason
    assert "unusable" in found[3].reason
    assert found[4].reason == "400 Bad Request (B)"
    assert (model.counts["failed"], model.counts["ok"]) == (4, 1)
    chat.server.step = lambda handler, body: chat.answer(handler, chat.say(body))
    before = len(chat.server.seen)
    again = chat.model().generate([chat.ask(text, id=text, max_tokens=64) for text in ("a good one", *kinds)])
    assert [answer.status for answer in again] == ["ok"] * 5
    assert len(chat.server.seen) - before == 4  # what was answered is not asked again


@pytest.mark.parametrize(
    ("message", "finish", "expected"),
    [
        ({"content": "I", "refusal": None}, "content_filter", ModelAnswer("", "refused", reason="content_filter")),
        ({"content": None, "refusal": "No: A"}, "stop", ModelAnswer("", "refused", reason="No: A")),
        ({"refusal": "No."}, "stop", ModelAnswer("", "refused", reason="No.")),
        ({"content": "a dog and"}, "length", ModelAnswer("a dog and", "truncated")),
        ({"content": None}, "length", ModelAnswer("", "truncated")),
        ({"content": ""}, "stop", ModelAnswer("")),
        ({"content": [{"type": "text", "text": "a "}, {"type": "text", "text": "dog"}]}, "stop", ModelAnswer("a dog")),
        ({"content": "half \ud83d"}, "stop", ModelAnswer("half ?")),
    ],
    ids=["filter", "refusal", "refusal alone", "cut", "cut while thinking", "empty", "parts", "half a character"],
)  # fmt: skip
def test_what_answers_say(chat, message, finish, expected):
    chat.server.step = chat.complete(message, finish)
    (found,) = chat.model().generate([chat.ask("a")])
    assert (found.text, found.status, found.reason) == (expected.text, expected.status, expected.reason)
    assert len(chat.server.seen) == 1
    (kept,) = chat.model(replay="only", address=None).generate([chat.ask("a")])
    assert kept == found


def test_a_filter_of_the_server_refuses(chat):
    chat.server.step = chat.reply(400, {"error": {"code": "content_filter", "message": "no"}})
    (found,) = chat.model().generate([chat.ask("a")])
    assert (found.status, found.text) == ("refused", "")


def test_tokens_are_read_or_estimated():
    def usage(**counts):
        body = {"choices": [{"message": {"content": "x" * 40}}], "usage": counts}
        found = read_completion(json.dumps(body).encode())
        return found.tokens_in, found.tokens_out, found.tokens

    assert usage(prompt_tokens=7, completion_tokens=2, total_tokens=9) == (7, 2, 9)
    assert usage(prompt_tokens=7, completion_tokens=2) == (7, 2, 9)
    assert usage(total_tokens=9, completion_tokens=2) == (7, 2, 9)
    assert usage(total_tokens=9) == (9, 0, 9)
    assert usage()[2] == 11
    assert usage(prompt_tokens="many")[2] == 11


def test_one_that_is_told_to_wait_makes_all_wait(chat):
    told = []

    def step(handler, body):
        if not told:
            told.append(time.monotonic())
            chat.reply(429, b"", Retry_After="0.5")(handler, body)
        else:
            chat.answer(handler, chat.say(body))

    chat.server.step = step
    found = chat.model(concurrency=4).generate([chat.ask(f"{n}", id=str(n)) for n in range(60)])
    assert {answer.status for answer in found} <= {"ok", "truncated"}
    early = sum(t < told[0] + 0.45 for t in chat.server.times)
    assert early <= 20  # without a shared pause, three threads ask all of the others


def test_a_server_that_is_not_there_ends_the_run(chat):
    asked = [chat.ask("a", id="1"), chat.ask("b", id="2")]
    with pytest.raises(Unavailable, match=r"no usable answer in 2 tries.*ConnectionRefused"):
        chat.model(address="http://127.0.0.1:9/v1", retries=1).generate(asked)
    with pytest.raises(Unavailable, match="replay is 'only'"):
        chat.model(replay="only").generate(asked)  # nothing was kept as the model's


@pytest.mark.parametrize("status", [401, 403, 404, 307])
def test_a_server_that_refuses_the_client_is_told_at_once_without_the_key(chat, status):
    chat.server.step = chat.reply(status, f"bad key {chat.key}".encode(), Location="http://localhost:1/v1")
    with pytest.raises(Unavailable, match=f"{status}") as error:
        chat.model(concurrency=1).generate([chat.ask(f"{n}", id=str(n)) for n in range(5)])
    assert chat.key not in str(error.value)
    assert len(chat.server.seen) == 1


def test_failures_in_a_row_end_the_run_and_may_be_asked_again(chat):
    asked = [chat.ask(f"{n}", id=str(n)) for n in range(30)]
    chat.model().generate(asked[:1])
    good, chat.server.step = chat.server.step, chat.reply(503, b"loading")
    with pytest.raises(Unavailable, match=r"last 5 questions stayed without an answer: .*503"):
        chat.model(retries=0, give_up_after=5, concurrency=2).generate(asked)
    assert len(chat.server.seen) <= 1 + 5 + 2
    chat.server.step = good
    before = len(chat.server.seen)
    assert all(answer.text for answer in chat.model().generate(asked))
    assert len(chat.server.seen) - before == 29


def test_failures_before_any_answer_are_the_servers(chat):
    """An option that a server does not know fails every question: no number may come of that."""
    asked = [chat.ask("a", id="1"), chat.ask("b", id="2")]
    good, chat.server.step = chat.server.step, chat.reply(400, b"unknown parameter: top_k")
    for _ in range(2):  # what failed is kept, and still no answer
        with pytest.raises(Unavailable, match="unknown parameter: top_k"):
            chat.model(top_k=1).generate(asked)
    chat.server.step = good
    assert [answer.status for answer in chat.model(top_k=1).generate(asked)] == ["ok", "ok"]


def test_the_key_is_in_nothing_that_is_kept_or_shown(chat, caplog):
    caplog.set_level(logging.DEBUG)
    chat.server.step = chat.complete({"content": f"your key is {chat.key}"})
    model = chat.model()
    (found,) = model.generate([chat.ask("a")])
    assert found.text == "your key is …"
    chat.server.step = chat.reply(400, f"bad key {chat.key}".encode())
    (failed,) = model.generate([chat.ask("b")])
    assert failed.reason == "400 Bad Request (bad key …)"
    written = "".join(file.read_text() for file in chat.log.rglob("*.*"))
    shown = caplog.text + repr(model.identity) + repr(vars(model)) + json.dumps(chat.server.seen)
    assert chat.key not in written + shown
    assert chat.server.address not in written + repr(model.identity)


@pytest.mark.parametrize(
    ("budget", "what", "answered"),
    [({"calls": 3}, "calls", 3), ({"tokens": 1}, "tokens", 1), ({"images": 5}, "images", 2)],
    ids=["calls", "tokens", "images"],
)
def test_a_spent_budget_keeps_what_was_answered(chat, budget, what, answered):
    pair = chat.colour(*RED), chat.colour(*BLUE)
    asked = [chat.ask(*pair, f"{n}", id=str(n)) for n in range(6)]
    with pytest.raises(OutOfBudget, match=f"budget of {what} is spent"):
        chat.model(concurrency=1, **budget).generate(asked)
    assert len(chat.server.seen) == answered
    found = chat.model().generate(asked)  # the next run's budget is its own
    assert len(chat.server.seen) == 6
    assert len({answer.text for answer in found}) == 6


def test_threads_do_not_overspend_calls_and_images(chat):
    asked = [chat.ask(chat.colour(*RED), f"{n}", id=str(n)) for n in range(40)]
    for budget in ({"calls": 10}, {"images": 10}):
        before = len(chat.server.seen)
        with pytest.raises(OutOfBudget):
            chat.model(concurrency=8, replay="off", **budget).generate(asked)
        assert len(chat.server.seen) - before == 10


def test_failed_tries_count_as_calls_and_images(chat):
    chat.server.step = chat.reply(500, b"")
    with pytest.raises(OutOfBudget, match="calls"):
        chat.model(calls=3, retries=9).generate([chat.ask("a")])
    with pytest.raises(OutOfBudget, match="images is spent: 1 left, 2 to send"):
        chat.model(images=5, retries=9).generate([chat.ask(chat.colour(*RED), chat.colour(*BLUE))])
    assert len(chat.server.seen) == 3 + 2


def test_a_replay_asks_nothing_and_changes_miss(chat):
    red = chat.colour(*RED)
    asked = [chat.ask(red, "a", id="1"), chat.ask("b", id="2")]
    first = chat.model().generate(asked)
    assert chat.model(replay="only", address=None).generate(asked) == first
    elsewhere = chat.model(concurrency=1, timeout=9.0, retries=0, give_up_after=1, calls=0)
    assert elsewhere.generate(asked[::-1]) == first[::-1]
    assert len(chat.server.seen) == 2
    bit = np.asarray(red.decoded()).copy()
    bit[0, 0, 1] = 1
    chat.model().generate([chat.ask(ImagePart(bit), "a", id="1")])  # a changed pixel
    chat.model().generate([chat.ask("a", red, id="1")])  # another order of the parts
    for changed in (
        {"revision": "2"},
        {"temperature": 0.5},
        {"seed": 1},
        {"image_format": "png"},
        {"top_k": 1},
    ):
        chat.model(**changed).generate([chat.ask("b", id="2")])
    assert len(chat.server.seen) == 2 + 2 + 5


SCRIPT = """
import sys
from harness_language.conversations import Question, Turn
from harness_language.endpoint_model import ChatEndpoint
model = ChatEndpoint("m", sys.argv[1], concurrency=4, log=__import__("pathlib").Path(sys.argv[2]), timeout=60.0)
model.load(None)
model.generate([Question(str(n), (Turn("user", (f"question {n}",)),)) for n in range(60)])
"""


def test_after_a_kill_nothing_is_lost_and_nothing_answered_is_asked_twice(chat, tmp_path):
    undisturbed = chat.model(log=tmp_path / "other").generate(
        [chat.ask(f"question {n}", id=str(n)) for n in range(60)]
    )
    first = len(chat.server.seen)

    def slow(handler, body):
        time.sleep(0.03)
        chat.answer(handler, chat.say(body))

    chat.server.step = slow
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, chat.server.address, str(chat.log)]
    with subprocess.Popen(command, env=environment) as run:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(chat.server.seen) - first < 25:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
    time.sleep(0.2)  # what was under way ends
    (log,) = chat.log.glob("*.jsonl")
    kept = {json.loads(line)["id"] for line in log.read_text().splitlines()}
    asked = {body["messages"][0]["content"].split()[1] for body in chat.server.seen[first:]}
    assert 20 <= len(kept) <= len(asked) < 60
    assert len(asked - kept) <= 4  # the answers under way
    before = len(chat.server.seen)
    found = chat.model().generate([chat.ask(f"question {n}", id=str(n)) for n in range(60)])
    assert found == undisturbed
    again = [body["messages"][0]["content"].split()[1] for body in chat.server.seen[before:]]
    assert sorted(again) == sorted({str(n) for n in range(60)} - kept)


def test_an_interrupt_keeps_the_answers_under_way(chat):
    seen = []

    def keep_and_stop(*given):
        seen.append(given)
        raise KeyboardInterrupt

    model = chat.model(concurrency=2)
    model._keep = keep_and_stop  # as if the user stopped the run at the first answer
    with pytest.raises(KeyboardInterrupt):
        model.generate([chat.ask(f"{n}", id=str(n)) for n in range(30)])
    assert len(chat.server.seen) <= 4
    assert len(seen) == len(chat.server.seen)


def test_many_at_once_take_a_fraction_of_the_time(chat):
    def tenth(handler, body):
        time.sleep(0.1)
        chat.answer(handler, chat.say(body))

    chat.server.step = tenth
    asked = [chat.ask(f"{n}", id=str(n)) for n in range(200)]

    def seconds_each(count: int, concurrency: int) -> float:
        start = time.perf_counter()
        chat.model(concurrency=concurrency, replay="off").generate(asked[:count])
        return (time.perf_counter() - start) / count

    ratios = []
    for _ in range(3):  # other work on the machine takes from one of the two only
        ratios.append(seconds_each(10, 1) / seconds_each(200, 16))
        if ratios[-1] >= 8:
            break
    assert max(ratios) >= 8, ratios


def test_images_are_limited_and_dropped(chat):
    red = chat.colour(*RED)
    with pytest.raises(
        DataError, match="question 'crowd' shows 3 images, and chat-endpoint:m takes at most 2"
    ):
        chat.model(max_images=2).generate(
            [chat.ask(red, id="fine"), chat.ask(red, red, red, "?", id="crowd")]
        )
    assert chat.server.seen == []
    blind = chat.model(sees_images=False)
    one, other = blind.generate([chat.ask(red, "?", id="1"), chat.ask(chat.colour(*BLUE), "?", id="2")])
    assert one.text == other.text
    assert any("sees no images" in remark for remark in blind.remarks)


def test_answers_that_are_drawn_and_shared_by_seeds_are_told(chat):
    told = "cells of several seeds share them"
    assert any(told in remark for remark in chat.model(temperature=0.7).remarks)
    assert not any(told in remark for remark in chat.model(temperature=0.7, replay="off").remarks)
    assert not any(told in remark for remark in chat.model().remarks)


@pytest.mark.parametrize(
    ("restriction", "field", "said"),
    [
        ("structured-outputs", "structured_outputs", "two words"), ("guided-choice", "guided_choice", "two words"),
        ("json-schema", "response_format", '"two words"'),
    ],
)  # fmt: skip
def test_choices_are_sent_and_an_impossible_answer_is_told(chat, restriction, field, said):
    model, choices = chat.model(restriction=restriction), ("two words", "B")
    chat.server.step = chat.complete({"content": said})
    (found,) = model.generate([chat.ask("a", choices=choices)])
    assert found.text == "two words"
    assert "two words" in json.dumps(chat.server.seen[0][field])
    chat.server.step = chat.complete({"content": "C"})
    with pytest.raises(Unavailable, match=r"question 'x': it ignores the choices"):
        model.generate([chat.ask("b", id="x", choices=choices)])
    assert model.generate([chat.ask("a", choices=choices), chat.ask("free", id="y")])[1].text == "C"


def listing(chat, **tokens):
    top = [{"token": token, "logprob": chance} for token, chance in tokens.items()]
    choice = {"message": {"content": "A"}, "logprobs": {"content": [{"top_logprobs": top}]}}
    return chat.reply(200, {"choices": [choice]})


def test_scores_of_first_tokens(chat):
    chat.server.step = listing(chat, **{"A": -2.0, " B": -0.5, "B": -1.5, "Red": -3.0})
    model = chat.model(likelihood="first-token")
    ((a, b, c),) = model.loglikelihood([chat.ask("q")], [["A", "B", " C"]])
    assert a == (-2.0, 1, False)
    assert (b.total, b.greedy) == (pytest.approx(np.logaddexp(-0.5, -1.5)), True)
    assert (c.total, model.counts["unlisted"]) == (-np.inf, 1)
    body = chat.server.seen[0]
    assert (body["logprobs"], body["top_logprobs"], body["max_tokens"]) == (True, 20, 1)
    again = chat.model(likelihood="first-token", replay="only", address=None)
    assert again.loglikelihood([chat.ask("q")], [["B"]]) == [[b]]
    assert len(chat.server.seen) == 1
    with pytest.raises(DataError, match="question 'q': the continuation 'Redder' is not a single token"):
        model.loglikelihood([chat.ask("q")], [["A", "Redder"]])
    with pytest.raises(DataError, match="question 'q': none of the continuations"):
        model.loglikelihood([chat.ask("q")], [["X", "Y"]])
    chat.server.step = chat.complete({"content": "A"})
    with pytest.raises(Unavailable, match="lists no top_logprobs"):
        model.loglikelihood([chat.ask("other")], [["A"]])


def test_without_the_option_there_are_no_scores():
    import harness
    from harness.contract.capability import explain_missing_capability
    from harness_language.contracts import ScoresContinuations

    assert harness.capabilities(ChatEndpoint("m")) == ["answers conversations"]
    assert "likelihood is 'none'" in explain_missing_capability(
        ChatEndpoint("m"), ScoresContinuations, "ranking"
    )
    assert "scores continuations" in harness.capabilities(ChatEndpoint("m", likelihood="first-token"))


def test_options_that_make_no_sense_are_refused(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for options, why in (
        ({"temperature": -1.0}, "temperature is -1"), ({"temperature": float("nan")}, "temperature is nan"),
        ({"concurrency": 0}, "concurrency is 0"), ({"top_p": 0.0}, "top_p"), ({"timeout": 0.0}, "timeout"),
        ({"calls": -1}, "calls is -1"), ({"address": "http://me:pass@host/v1"}, "no user"),
    ):  # fmt: skip
        with pytest.raises(OptionError, match=why):
            ChatEndpoint("m", **options)
    secret = "sk-secret-0123456789"
    with pytest.raises(OptionError, match="name of the environment variable") as error:
        ChatEndpoint("m", key_variable=secret)
    assert secret not in str(error.value)
    assert "OPENAI_BASE_URL" in str(ChatEndpoint("m").unavailable())
    with pytest.raises(Unavailable, match="OPENAI_BASE_URL"):
        ChatEndpoint("m").load(None)  # type: ignore[arg-type]
    assert ChatEndpoint("m", replay="only").unavailable() is None
    assert ChatEndpoint("m", "http://localhost:1/v1").unavailable() is None


def test_where_it_runs_is_no_part_of_a_cells_id():
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_short

    def identity(text: str) -> str:
        return Resolver().resolve("models", parse_short(text), "here").identity

    here = identity("chat-endpoint:m?address=http://localhost:1/v1")
    assert here == identity(
        "chat-endpoint:m?address=http://other:2/v1&concurrency=32&timeout=5.0&calls=9&log=/tmp/x&replay=only"
    )
    assert "localhost" not in here
    assert here != identity("chat-endpoint:m?address=http://localhost:1/v1&revision=b")
