"""The search for prompts: what is refused, what is remembered, what the language model may cost and where its key goes."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.errors import OptionError, Unavailable
from harness_language.budgets import Budget, ChatAnswer, OutOfBudget
from harness_language.endpoint import Endpoint
from harness_language.server_connection import check_server_address
from harness_language.transcript import Transcript
from harness_prompts.grammar_proposer import GrammarProposer
from harness_prompts.language_model_proposer import LanguageModelProposer, extract_prompts, write_question
from harness_prompts.methods.ipo import IPO, fits_tower, score_prompt
from harness_prompts.methods.zero_shot import ZeroShotTemplate
from harness_prompts.prompt_search import ProposalRequest, ScoredPrompt, search_prompts

KEY = "sk-secret-0123456789"
PATIENT = 60.0
"""Seconds, for answers that do come: no test waits that long unless it fails."""
ASKED = [{"role": "user", "content": "hello"}]


class Scripted:
    """Proposes what it is told, round by round."""

    def __init__(self, *rounds: list[str]) -> None:
        self.rounds, self.requests = list(rounds), []

    def propose(self, request: ProposalRequest) -> list[str]:
        self.requests.append(request)
        if not self.rounds:
            raise OutOfBudget("nothing left")
        return self.rounds.pop(0)


def by_length(calls: list[str]):
    def scored(prompt: str) -> tuple[float, float]:
        calls.append(prompt)
        return len(prompt) / 100, 1 / len(prompt)

    return scored


def run(proposer, calls=None, **options):
    options = {"steps": 3, "proposals": 5, "keep": 3, **options}
    return search_prompts(by_length(calls if calls is not None else []), proposer, ["cat", "dog"], **options)


def test_prompts_without_the_class_are_refused_and_duplicates_scored_once():
    calls: list[str] = []
    proposer = Scripted(
        ["a nice <CLASS>", "a nice cat", "A nice <CLASS>", '"a nice  <CLASS>"'],
        ["a nice <CLASS>", "x <CLASS>"],
        [],
    )
    found = run(proposer, calls)
    assert calls == ["a photo of a <CLASS>.", "a nice <CLASS>", "x <CLASS>"]
    assert found.refused == {"without <CLASS>": 1, "too long": 0, "seen before": 3}
    assert found.scored == 3


def test_the_best_never_gets_worse_and_the_history_is_capped_and_ordered():
    proposer = Scripted(
        ["<CLASS>", "a <CLASS>"], [f"{'very ' * n}<CLASS> thing here" for n in range(6)], ["<CLASS> b"]
    )
    found = run(proposer)
    assert found.best_by_step == sorted(found.best_by_step)
    assert len(found.history) == 3
    assert [s.rank_key for s in found.history] == sorted((s.rank_key for s in found.history), reverse=True)
    assert found.best == found.history[0]
    assert [len(r.history) for r in proposer.requests] == [1, 3, 3]
    last = proposer.requests[-1].history
    assert last[-1].accuracy == max(s.accuracy for s in last)  # the best is shown last
    assert max(s.step for s in found.history) == 2


def test_no_more_than_asked_for_is_scored_and_a_spent_budget_ends_the_search():
    calls: list[str] = []
    found = run(Scripted([f"{n} <CLASS>" for n in range(9)]), calls)
    assert len(calls) == 1 + 5
    assert found.ended == "nothing left"


def test_the_grammar_is_decided_by_its_seed_and_repeats_nothing():
    def proposals(seed: int) -> list[str]:
        grammar, out = GrammarProposer(seed), []
        history = [ScoredPrompt("a photo of a <CLASS>.", 0.5, 1.0, 0)]
        for step in range(8):
            found = grammar.propose(ProposalRequest(history, ["cat"], 5, step))
            history = [*history, ScoredPrompt(found[0], 0.6, 1.0, step)]
            out += found
        return out

    a = proposals(0)
    assert a == proposals(0)
    assert a != proposals(1)
    assert len({p.lower() for p in a}) == len(a) == 40
    assert all(p.count("<CLASS>") == 1 for p in a)


def test_ipo_by_grammar_improves_on_its_first_prompt_and_sees_its_shots_only(task):
    first = score_prompt(task, "a photo of a <CLASS>.")
    classifier = IPO(steps=15).fit(task)
    best = task.notes["history"][0]
    assert (best["accuracy"], -best["loss"]) > (first[0], -first[1])
    assert task.notes["selected_on"] == "training shots"
    assert task.curves["search"]["best_accuracy"] == sorted(task.curves["search"]["best_accuracy"])
    assert classifier.templates == [best["prompt"].replace("<CLASS>", "{}")]
    # every text that was encoded is a prompt with one of the task's own classes
    assert all(any(n in text for n in task.class_names) for text in task.texts._kept)


def test_a_prompts_score_is_that_of_its_template_on_the_shots(task):
    logits = ZeroShotTemplate("a picture of {}").fit(task).logits(task.features, task.class_names)
    accuracy, loss = score_prompt(task, "a picture of <CLASS>")
    assert accuracy == pytest.approx(float((logits.argmax(dim=1) == task.labels).float().mean()))
    expected = -logits.log_softmax(dim=1)[range(len(task.labels)), task.labels].mean()
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_prompts_that_would_be_cut_are_refused(task):
    assert fits_tower(task, "a photo of <CLASS>")
    assert not fits_tower(task, "very " * 38 + "<CLASS>")


def test_answers_are_read_between_their_marks():
    assert extract_prompts("one <INS> a\nb </INS> two <ins>c</ins> <INS></INS> <INS>open") == ["a\nb", "c"]
    text = write_question(
        ProposalRequest([ScoredPrompt("p <CLASS>", 0.5, 1.25, 0)], ["cat", "dog"], 4, 1), "Pets."
    )[1]["content"]
    assert all(part in text for part in ("cat, dog", "Pets.", "p <CLASS>", "50.0", "1.250", "4 new prompts"))


class Chat:
    """Answers in turn; the last answer again and again."""

    identity = {"model": "scripted"}  # noqa: RUF012

    def __init__(self, *answers: str, calls: int = 1000) -> None:
        self.answers, self.asked, self.budget = list(answers), 0, Budget(calls, 10_000)

    def ask(self, messages):
        self.budget.check()
        self.asked += 1
        answer = ChatAnswer(self.answers.pop(0) if len(self.answers) > 1 else self.answers[0], 7)
        self.budget.spend(answer)
        return answer


def test_an_unmarked_answer_is_asked_again_and_then_given_up():
    chat = Chat("sorry", "<INS>a <CLASS></INS>")
    request = ProposalRequest([], ["cat"], 2, 1)
    assert LanguageModelProposer(chat).propose(request) == ["a <CLASS>"]
    assert chat.asked == 2
    assert LanguageModelProposer(Chat("no")).propose(request) == []


def test_a_replay_is_identical_and_asks_nothing(tmp_path):
    chat = Chat("<INS>a <CLASS></INS>", "nothing", "<INS>the <CLASS> there</INS>", "<INS>bad</INS>")
    first = run(LanguageModelProposer(Transcript(chat, tmp_path, axes=[0])))
    silent = Chat("must not be asked")
    kept = Transcript(silent, tmp_path, "only", axes=[0])
    again = run(LanguageModelProposer(kept))
    assert first == again
    assert (silent.asked, kept.replayed) == (0, chat.asked)
    with pytest.raises(Unavailable, match="replay is 'only'"):
        run(LanguageModelProposer(Transcript(silent, tmp_path, "only", axes=[1])))
    anew = Transcript(Chat("<INS>new <CLASS></INS>"), tmp_path, "off", axes=[0])
    run(LanguageModelProposer(anew))
    assert anew.asked > 0


def test_a_run_that_was_cut_short_goes_on_where_it_was(tmp_path):
    class Failing(Chat):
        def ask(self, messages):
            if self.asked == 2:
                raise Unavailable("the server went away")
            return super().ask(messages)

    answers = [f"<INS>{n} <CLASS></INS>" for n in ("one", "three", "seven7")]
    with pytest.raises(Unavailable):
        run(LanguageModelProposer(Transcript(Failing(*answers), tmp_path)))
    rest = Chat(answers[2])
    kept = Transcript(rest, tmp_path)
    found = run(LanguageModelProposer(kept))
    assert (kept.replayed, rest.asked) == (2, 1)
    assert found.scored == 4


def test_a_run_that_a_budget_ended_is_repeated_to_the_same_end(tmp_path):
    answers = [f"<INS>{n} <CLASS></INS>" for n in ("one", "three", "seven7", "eleven")]
    first = run(LanguageModelProposer(Transcript(Chat(*answers, calls=2), tmp_path)), steps=4)
    assert (first.ended, first.scored) == ("the budget of calls is spent", 3)
    for replay in ("use", "only"):
        silent = Chat("must not be asked", calls=2)
        assert run(LanguageModelProposer(Transcript(silent, tmp_path, replay)), steps=4) == first
        assert silent.asked == 0
    more = Chat(*answers[2:], calls=3)  # a larger budget goes on behind what is kept
    assert run(LanguageModelProposer(Transcript(more, tmp_path)), steps=4).scored == 4
    assert more.asked == 1


def test_a_transcript_of_one_file_per_answer_is_still_read(tmp_path):
    """As it was written before answers were kept in one log: the same keys, the same ends."""
    transcript = Transcript(Chat("<INS>a <CLASS></INS>", calls=1), tmp_path)
    transcript.ask(ASKED)
    with pytest.raises(OutOfBudget):
        transcript.ask(ASKED)
    (log,) = tmp_path.glob("*.jsonl")
    for line in log.read_text().splitlines():
        found = json.loads(line)
        (tmp_path / f"{found['key']}.json").write_text(json.dumps({**found, **found.pop("kept")}))
    log.unlink()
    silent = Transcript(Chat("must not be asked", calls=1), tmp_path, "only")
    assert silent.ask(ASKED) == ChatAnswer("<INS>a <CLASS></INS>", 7)
    with pytest.raises(OutOfBudget, match="calls"):
        silent.ask(ASKED)


class Server:
    """An endpoint on this machine that answers as its script says."""

    def __init__(self, *script) -> None:
        self.script, self.seen = list(script), []
        self.heard, self.over = threading.Condition(), threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer.heard:
                    step = outer.script.pop(0) if len(outer.script) > 1 else outer.script[0]
                    outer.seen.append((self.path, dict(self.headers), json.loads(body)))
                    outer.heard.notify_all()
                self.over = outer.over
                step(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def has_heard(self, count: int) -> bool:
        """Waits until it has read that many requests: a client that gave up may be ahead of it."""
        with self.heard:
            return self.heard.wait_for(lambda: len(self.seen) >= count, timeout=60)


def reply(status: int, body, **headers):
    def step(handler):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return step


def good(text: str, tokens: int = 10):
    return reply(200, {"choices": [{"message": {"content": text}}], "usage": {"total_tokens": tokens}})


def disconnect(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices"')
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def half_a_refusal(handler):
    """Says that it is busy, and breaks off in the middle of saying why."""
    handler.protocol_version = "HTTP/1.1"
    handler.send_response(503)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(b"ff\r\nhalf of the")
    handler.wfile.flush()
    handler.connection.shutdown(socket.SHUT_RDWR)


def silent(handler):
    """No answer before the test is over."""
    handler.over.wait()


@pytest.fixture
def serve(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers = []

    def start(*script, **options):
        server, waits = Server(*script), []
        servers.append(server)

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            assert server.has_heard(len(waits))

        options = {"timeout": PATIENT, "retries": 4, **options}
        return server, Endpoint("m", server.address, sleep=sleep, **options), waits

    yield start
    for server in servers:
        server.over.set()
        server.server.shutdown()
        server.server.server_close()


def test_a_good_answer(serve):
    server, endpoint, waits = serve(good("hi", 12))
    assert endpoint.ask(ASKED) == ChatAnswer("hi", 12)
    path, headers, body = server.seen[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert body["messages"] == ASKED
    assert body["model"] == "m"
    assert KEY not in json.dumps(body)
    assert waits == []
    assert endpoint.budget == Budget(999, 1_000_000 - 12)


@pytest.mark.parametrize(
    "trouble",
    [
        reply(429, {"error": "slow down"}), reply(503, b"busy"), reply(200, b"<html>"), reply(200, {"choices": []}),
        reply(200, [1]), reply(200, {"choices": [{"message": {"content": None}}]}), reply(200, b"\xff\xfe"),
        disconnect, half, half_a_refusal,
    ],
    ids=[
        "rate limit", "busy", "html", "no choices", "list", "no text", "no utf-8", "disconnect", "half",
        "half a refusal",
    ],
)  # fmt: skip
def test_trouble_is_tried_again(serve, trouble):
    server, endpoint, waits = serve(trouble, trouble, good("at last"))
    assert endpoint.ask(ASKED).text == "at last"
    assert len(server.seen) == 3
    assert waits == [1.0, 2.0]


def test_a_silent_server_is_asked_again(serve):
    server, endpoint, waits = serve(silent, silent, good("at last"), timeout=0.2)
    pause = endpoint._sleep

    def patient_at_last(seconds: float) -> None:  # the answer may then take as long as this machine needs
        pause(seconds)
        endpoint.timeout = 0.2 if len(waits) < 2 else PATIENT

    endpoint._sleep = patient_at_last
    assert endpoint.ask(ASKED).text == "at last"
    assert len(server.seen) == 3
    assert waits == [1.0, 2.0]


def test_the_server_says_how_long_to_wait(serve):
    limit = reply(429, {}, Retry_After="7")
    _, endpoint, waits = serve(
        limit, reply(429, {}, Retry_After="9999"), reply(429, {}, Retry_After="soon"), good("x")
    )
    endpoint.ask(ASKED)
    assert waits == [7.0, 60.0, 4.0]


def test_a_refusal_is_told_at_once_without_the_key(serve):
    server, endpoint, _ = serve(reply(401, {"error": f"bad key {KEY}"}))
    with pytest.raises(Unavailable, match="401") as error:
        endpoint.ask(ASKED)
    assert KEY not in str(error.value)
    assert error.value.__cause__ is None
    assert len(server.seen) == 1


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(monkeypatch):
    for key in (f"{KEY}\nmore", f"{KEY}\x07", f"{KEY}\u2026"):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        with pytest.raises(OptionError, match="OPENAI_API_KEY") as error:
            Endpoint("m", "http://localhost:1/v1")
        assert KEY not in str(error.value)


def test_blanks_around_a_key_are_left_out(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\r\n")
    server, endpoint, _ = serve(good("hi"))
    assert endpoint.ask(ASKED).text == "hi"
    assert server.seen[0][1]["Authorization"] == f"Bearer {KEY}"


def test_a_server_that_repeats_the_key_does_not_get_it_into_an_answer(serve, monkeypatch):
    _, endpoint, _ = serve(good(f"<INS>{KEY} <CLASS></INS>"))
    assert KEY not in endpoint.ask(ASKED).text
    monkeypatch.setenv("OPENAI_API_KEY", "a")  # stands in for none: its letter stays in the answers
    _, endpoint, _ = serve(good("a <CLASS>"))
    assert endpoint.ask(ASKED).text == "a <CLASS>"


def test_a_redirect_never_carries_the_key_away(serve):
    other, _, _ = serve(good("stolen"))
    server, endpoint, _ = serve(reply(307, b"", Location=f"{other.address}/chat/completions"))
    with pytest.raises(Unavailable, match="307"):
        endpoint.ask(ASKED)
    assert other.seen == []
    assert len(server.seen) == 1


def test_after_the_last_try_one_line_says_why(serve):
    server, endpoint, _ = serve(disconnect, retries=2)
    with pytest.raises(Unavailable, match="no usable answer in 3 tries"):
        endpoint.ask(ASKED)
    assert len(server.seen) == 3


def test_budgets_in_calls_and_tokens(serve):
    _, endpoint, _ = serve(good("x", 60), calls=2)
    endpoint.ask(ASKED)
    endpoint.ask(ASKED)
    with pytest.raises(OutOfBudget, match="calls"):
        endpoint.ask(ASKED)
    _, endpoint, _ = serve(good("x", 60), tokens=100)
    endpoint.ask(ASKED)
    endpoint.ask(ASKED)
    with pytest.raises(OutOfBudget, match="tokens"):
        endpoint.ask(ASKED)


def test_tries_that_failed_count_in_a_replay_as_they_did_in_the_run(serve, tmp_path):
    busy, answers = reply(503, b"busy"), [good(f"<INS>{n} <CLASS></INS>") for n in ("one", "three")]
    _, endpoint, _ = serve(busy, answers[0], answers[1], busy, calls=4)
    first = run(LanguageModelProposer(Transcript(endpoint, tmp_path)))
    assert (first.ended, first.scored) == ("the budget of calls is spent", 3)
    server, silent, _ = serve(good("must not be asked"), calls=4)
    assert run(LanguageModelProposer(Transcript(silent, tmp_path, "only"))) == first
    assert server.seen == []
    assert silent.budget.calls == 1  # what was left for the try that failed
    server, endpoint, _ = serve(good("<INS>seven7 <CLASS></INS>"), calls=4)
    assert run(LanguageModelProposer(Transcript(endpoint, tmp_path))).scored == 4  # the server is back
    assert len(server.seen) == 1


def test_addresses_without_secrets_only():
    assert check_server_address("http://host:1/v1/") == "http://host:1/v1"
    for bad, why in (
        ("", "needs an address"),
        ("file:///x", "http"),
        ("http://u:p@h/v1", "no user"),
        ("http://h/?k=1", "query"),
        ("http://h:port/v1", "a port"),
        ("http://[::1/v1", "name a host"),
        ("http://h/v1 x", "name a host"),
    ):
        with pytest.raises(OptionError, match=why) as error:
            check_server_address(bad)
        assert "u:p" not in str(error.value)


def test_ipo_through_the_server_keeps_everything_but_the_key(serve, task, kit, model, tmp_path, caplog):
    server, _, _ = serve(
        good("<INS>a picture of <CLASS></INS><INS>no name</INS>", 30),
        reply(200, b"garbage"),
        good("<INS>a picture of <CLASS></INS>", 30),
    )
    options = {
        "proposer": "openai", "language_model": "m", "address": server.address, "steps": 2, "transcript": tmp_path,
        "timeout": PATIENT,
    }  # fmt: skip
    IPO(**options).fit(task)
    notes = task.notes
    assert notes["refused"] == {"without <CLASS>": 1, "too long": 0, "seen before": 1}
    assert notes["language_model"]["asked"] == 2
    assert notes["language_model"]["tokens"] == 60
    again = kit.make_task(model)
    IPO(**{**options, "replay": "only", "address": None}).fit(again)
    assert again.notes["history"] == notes["history"]
    assert again.notes["language_model"]["replayed"] == 2
    written = "".join(f.read_text() for f in tmp_path.rglob("*.jsonl")) + json.dumps(notes) + caplog.text
    assert KEY not in written
    assert "a picture of" in written


def test_a_model_on_this_machine(tmp_path, task):
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<eos>": 0, "a": 1, "b": 2}, unk_token="a"))
    words.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token="<eos>", unk_token="a"
    ).save_pretrained(tmp_path)
    config = transformers.GPT2Config(
        vocab_size=3, n_positions=512, n_embd=8, n_layer=1, n_head=1, eos_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    from harness_language.local_model import LocalModel

    answers = [LocalModel(str(tmp_path), max_tokens=5, seed=3).ask(ASKED) for _ in range(2)]
    assert answers[0] == answers[1]
    assert set(answers[0].text.split()) <= {"a", "b"}
    IPO("transformers", steps=1, language_model=str(tmp_path), max_tokens=5, transcript=tmp_path / "t").fit(
        task
    )
    assert task.notes["best_prompt"] == "a photo of a <CLASS>."
    with pytest.raises(Unavailable, match="can't be loaded"):
        LocalModel(str(tmp_path / "none"))


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(OptionError, match="language_model"):
        IPO("openai")
    with pytest.raises(OptionError, match="has no <CLASS>"):
        IPO(seed_prompts=["a photo"])
    with pytest.raises(OptionError, match="name of the environment variable") as error:
        IPO(key_variable=KEY)
    assert KEY not in str(error.value)
