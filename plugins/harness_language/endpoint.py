"""A chat model for texts behind an endpoint with OpenAI's protocol, asked one question at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from harness import Unavailable
from harness_language.budgets import Budget, ChatAnswer, Message
from harness_language.completions import read_completion
from harness_language.retrying import NoUsableAnswer, try_repeatedly
from harness_language.server_connection import ServerConnection, ServerTrouble


class Endpoint:
    """A chat model reached by `POST <address>/chat/completions`.

    Args:
        model: the model's name at the endpoint.
        address: the endpoint's, such as `http://localhost:8000/v1`; by default $OPENAI_BASE_URL.
        key_variable: the environment variable that holds the key; if it is unset, no key is sent.
        timeout: seconds to wait for an answer.
        retries: further tries after a rate limit, a server error, a time-out, a disconnect or an unusable
            answer; each waits twice as long as the previous one, or as long as the server asks.
        calls, tokens: budgets; OutOfBudget is raised when one is spent. Failed tries count as calls.
    """

    def __init__(
        self,
        model: str,
        address: str | None = None,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        retries: int = 5,
        temperature: float = 1.0,
        max_tokens: int = 400,
        calls: int = 1000,
        tokens: int = 1_000_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = ServerConnection(address, key_variable)
        self.address = self._server.address
        self.model, self.timeout, self.retries = model, timeout, retries
        self.temperature, self.max_tokens = temperature, max_tokens
        self.budget = Budget(calls, tokens)
        self._sleep = sleep

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the answers; neither address nor key."""
        return {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def ask(self, messages: Sequence[Message]) -> ChatAnswer:
        """Return the model's answer.

        Raises OutOfBudget, or Unavailable if the endpoint refuses or no try brings a usable answer.
        """
        body = json.dumps({"messages": [dict(m) for m in messages], **self.identity}).encode()

        def ask_once() -> ChatAnswer:
            self.budget.begin_call()
            found = read_completion(self._server.post("/chat/completions", body, self.timeout))
            if found.text is None:
                raise ValueError("the message has no text")
            self.budget.spend_tokens(found.tokens)
            return ChatAnswer(self._server.clean_answer(found.text), found.tokens)

        where = f"{self.address}, model '{self.model}'"
        try:
            answer, calls = try_repeatedly(ask_once, self.retries + 1, lambda wait, _: self._sleep(wait))
        except ServerTrouble as trouble:
            raise Unavailable(f"{where}: {trouble}{trouble.detail and f' ({trouble.detail})'}") from None
        except NoUsableAnswer as error:
            raise Unavailable(f"{where}: {error}") from None
        return ChatAnswer(answer.text, answer.tokens, calls)
