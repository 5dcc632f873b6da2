"""A client that sends many requests to an OpenAI-compatible server at a time, and keeps each answer as it comes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from harness import Unavailable
from harness_language.budgets import Budget
from harness_language.completions import Completion, is_policy_refusal, read_completion
from harness_language.retrying import NoUsableAnswer, SharedPause, try_repeatedly
from harness_language.server_connection import ServerConnection, ServerTrouble

Answer = TypeVar("Answer")

_MISCONFIGURED = (401, 403, 404, 405, 407)
"""Statuses that say something about the client's options, not about a question."""


@dataclass(frozen=True)
class ChatRequest(Generic[Answer]):
    """One request: `write` returns its JSON body, `read` makes an answer of the completion.

    `read` raises ValueError for a completion that can't be used, after which it is asked for again; `fail` makes an
    answer of why there is none, and of whether a content filter stopped it. `keep` gets the answer at once, in the
    thread that received it. `images` is how many the request sends.
    """

    write: Callable[[], bytes]
    read: Callable[[Completion], Answer]
    fail: Callable[[str, bool], Answer]
    keep: Callable[[Answer], None]
    images: int = 0


class ChatClient:
    """Sends requests to `POST <address>/chat/completions`, up to `concurrency` at once, over kept connections.

    A request without a usable answer is tried again after waits that double: after a rate limit, a fault of the
    server, a time-out, a disconnect, or a body that can't be read. Where a server asks to slow down, all threads
    wait. A request that stays without an answer gets one that says so. But if the server can't be reached or refuses
    the client, if `give_up_after` requests in a row stay without, or all before it ever `answered`, then that says
    nothing about the model, and Unavailable is raised.

    Args:
        server: its address and key.
        model: the model's name, for messages.
        budget: failed tries count as calls and images, too.
        timeout: seconds to wait for a connection and each part of an answer.
        retries: further tries of a request.
        first_wait: seconds before the second try.
    """

    def __init__(
        self,
        server: ServerConnection,
        model: str,
        budget: Budget,
        concurrency: int = 8,
        timeout: float = 120.0,
        retries: int = 5,
        give_up_after: int = 20,
        first_wait: float = 1.0,
    ) -> None:
        self.server, self.model, self.budget = server, model, budget
        self.concurrency, self.timeout, self.retries = concurrency, timeout, retries
        self.give_up_after, self.first_wait = give_up_after, first_wait
        self.answered = False
        self._pause = SharedPause()
        self._lock = threading.Lock()
        self._failures_in_a_row = 0
        self._last_failure = ""

    def send_all(self, requests: Sequence[ChatRequest[Answer]]) -> list[Answer]:
        """Return the answers in the order of the requests.

        Raises OutOfBudget, Unavailable, or what a request's functions raise. In each case no further request is
        sent, and the answers under way are waited for and kept.
        """
        if not requests:
            return []
        stop = threading.Event()
        answers: dict[int, Answer] = {}
        with ThreadPoolExecutor(min(self.concurrency, len(requests)), "chat") as pool:
            futures = {
                pool.submit(self._send_or_stop, request, stop): n for n, request in enumerate(requests)
            }
            try:
                for future in as_completed(futures):
                    with suppress(_Stopped):  # what stopped it comes, too
                        answers[futures[future]] = future.result()
            except BaseException:
                stop.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if not self.answered:
            raise self._explain_silence()
        return [answers[n] for n in range(len(requests))]

    def _send_or_stop(self, request: ChatRequest[Answer], stop: threading.Event) -> Answer:
        try:
            return self._send(request, stop)
        except BaseException:
            stop.set()  # here, so that this thread takes no further request
            raise

    def _send(self, request: ChatRequest[Answer], stop: threading.Event) -> Answer:
        body = request.write()

        def ask_once() -> Answer:
            self._pause.keep(stop)
            if stop.is_set():
                raise _Stopped
            self.budget.begin_call(request.images)
            found = read_completion(self.server.post("/chat/completions", body, self.timeout))
            self.budget.spend_tokens(found.tokens)
            return request.read(self._clean(found))

        def pause(seconds: float, trouble: ServerTrouble | None) -> None:
            if trouble is not None and trouble.busy:
                self._pause.extend(seconds)
            else:
                stop.wait(seconds)

        try:
            answer, _ = try_repeatedly(ask_once, self.retries + 1, pause, self.first_wait)
        except ServerTrouble as trouble:
            said = f"{trouble}{trouble.detail and f' ({trouble.detail})'}"
            if trouble.status is None or trouble.status in _MISCONFIGURED or trouble.status < 400:
                raise Unavailable(f"{self._where}: {said}") from None
            refused = is_policy_refusal(trouble.detail)
            answer = request.fail(said, refused)
            failure = "" if refused else said
        except NoUsableAnswer as error:
            if error.last is not None and error.last.unreachable:
                raise Unavailable(f"{self._where}: {error}") from None
            answer, failure = request.fail(str(error), False), str(error)
        else:
            failure = ""
        request.keep(answer)
        self._note_outcome(failure)
        return answer

    def _note_outcome(self, failure: str) -> None:
        """Count the requests that stay without an answer in a row; "" stands for an answer, which ends the row."""
        with self._lock:
            self.answered = self.answered or not failure
            self._failures_in_a_row = self._failures_in_a_row + 1 if failure else 0
            self._last_failure = failure or self._last_failure
            if self._failures_in_a_row >= self.give_up_after:
                raise self._explain_silence()

    def _explain_silence(self) -> Unavailable:
        return Unavailable(
            f"{self._where}: the last {self._failures_in_a_row} questions stayed without an answer: {self._last_failure}"
        )

    def _clean(self, found: Completion) -> Completion:
        """Return what may be stored: some servers echo the request with its key."""
        text = None if found.text is None else self.server.clean_answer(found.text)
        return replace(found, text=text, refusal=self.server.clean_answer(found.refusal))

    @property
    def _where(self) -> str:
        return f"{self.server.address}, model '{self.model}'"


class _Stopped(Exception):
    """The end of a request that is no longer wanted, since another one ended the run."""
