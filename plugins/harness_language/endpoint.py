"""A chat model behind an endpoint with OpenAI's protocol: retries, budgets; the key is never stored or shown."""

from __future__ import annotations

import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from harness import OptionError, Unavailable

Message = Mapping[str, str]

ADDRESS_VARIABLE = "OPENAI_BASE_URL"
RETRY_STATUSES = {408, 409, 425, 429, 500, 502, 503, 504, 529}
LONGEST_WAIT = 60.0
MIN_SECRET_LENGTH = 12
"""Keys shorter than this are placeholders for servers that need none, and are not hidden in answers."""


class OutOfBudget(Exception):
    """A budget is spent; the search ends with its best prompt so far."""


@dataclass(frozen=True)
class ChatAnswer:
    """A model's text, with the tokens and tries it took."""

    text: str
    tokens: int
    calls: int = 1


@dataclass
class Budget:
    """Calls and tokens that a search may still spend."""

    calls: int
    tokens: int

    def check(self) -> None:
        """Raise OutOfBudget if either is spent."""
        for what, left in (("calls", self.calls), ("tokens", self.tokens)):
            if left <= 0:
                raise OutOfBudget(f"the budget of {what} is spent")

    def spend(self, answer: ChatAnswer) -> None:
        """Subtract the calls and tokens of an answer."""
        self.calls -= answer.calls
        self.tokens -= answer.tokens


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would carry the key to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


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
        self.address = check_address(address or os.environ.get(ADDRESS_VARIABLE, ""))
        self.model, self.key_variable = model, key_variable
        self.timeout, self.retries = timeout, retries
        self.temperature, self.max_tokens = temperature, max_tokens
        self.budget = Budget(calls, tokens)
        self._sleep = sleep
        self._key()
        self._opener = urllib.request.build_opener(_NoRedirects)

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide the answers; neither address nor key."""
        return {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}

    def ask(self, messages: Sequence[Message]) -> ChatAnswer:
        """Return the model's answer.

        Raises OutOfBudget, or Unavailable if the endpoint refuses or no try brings a usable answer.
        """
        trouble = ""
        for attempt in range(self.retries + 1):
            self.budget.check()
            self.budget.calls -= 1
            wait = min(LONGEST_WAIT, 2.0**attempt)
            try:
                answer = parse_completion(self._post(messages))
                self.budget.tokens -= answer.tokens
                # answers are stored, so they must not hold the key, even if the server echoes the request
                secret = len(self._key()) >= MIN_SECRET_LENGTH
                return ChatAnswer(
                    self._hide_key(answer.text) if secret else answer.text, answer.tokens, attempt + 1
                )
            except urllib.error.HTTPError as error:
                trouble = self._hide_key(f"{error.code} {error.reason}")
                detail = self._hide_key(_read_body(error))
                if error.code not in RETRY_STATUSES:
                    raise Unavailable(f"{self._where}: {trouble}{detail and f' ({detail})'}") from None
                wait = _read_retry_after(error.headers.get("Retry-After"), wait)
            except ValueError as error:
                trouble = f"an unusable answer: {error}"
            except (TimeoutError, urllib.error.URLError, http.client.HTTPException, OSError) as error:
                reason = getattr(error, "reason", error)
                trouble = f"{type(reason).__name__}: {self._hide_key(str(reason))}"
            if attempt < self.retries:
                self._sleep(wait)
        raise Unavailable(f"{self._where}: no usable answer in {self.retries + 1} tries; the last: {trouble}")

    @property
    def _where(self) -> str:
        return f"{self.address}, model '{self.model}'"

    def _post(self, messages: Sequence[Message]) -> bytes:
        body = {"messages": [dict(m) for m in messages], **self.identity}
        headers = {"Content-Type": "application/json"}
        if key := self._key():
            headers["Authorization"] = f"Bearer {key}"
        request = urllib.request.Request(
            f"{self.address}/chat/completions", json.dumps(body).encode(), headers, method="POST"
        )
        with self._opener.open(request, timeout=self.timeout) as response:
            return bytes(response.read())

    def _key(self) -> str:
        """Return the stripped key. Raises OptionError, without showing it, if no header can carry it."""
        key = os.environ.get(self.key_variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise OptionError(
                f"the key in {self.key_variable} has characters that no header can carry, such as a line break: set it again"
            )
        return key

    def _hide_key(self, text: str) -> str:
        """Return a server's text with the key replaced by "…", since some servers echo it."""
        key = self._key()
        return text.replace(key, "…") if key else text


def parse_completion(body: bytes) -> ChatAnswer:
    """Return the text and tokens of a chat completion. Raises ValueError for any other body."""
    found = json.loads(body.decode("utf-8"))
    try:
        text = found["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        raise ValueError("no choices[0].message.content in it") from None
    if not isinstance(text, str):
        raise ValueError("the message has no text")
    usage = found.get("usage")
    tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
    # without a usage report, estimate four characters per token
    return ChatAnswer(text, tokens if isinstance(tokens, int) else len(text) // 4 + 1)


def check_address(address: str) -> str:
    """Return the address without a trailing slash. Raises OptionError if it is empty, no URL, or holds a password."""
    if not address:
        raise OptionError(f"an endpoint needs an address: set the option `address` or {ADDRESS_VARIABLE}")
    try:
        parts = urlsplit(address)
        named = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is not a number, half an IPv6 address
        named = False
    if not named or any(c.isspace() for c in address):
        raise OptionError(
            "the endpoint's address must start with http:// or https:// and name a host, with a port if needed"
        )
    if parts.username or parts.password or parts.query:
        raise OptionError(
            "the endpoint's address must hold no user, password or query: keys come from the environment"
        )
    return address.rstrip("/")


def _read_retry_after(header: str | None, otherwise: float) -> float:
    try:
        return min(LONGEST_WAIT, max(0.0, float(header))) if header else otherwise
    except ValueError:
        return otherwise  # a date, which our own back-off replaces


def _read_body(error: urllib.error.HTTPError) -> str:
    try:
        return " ".join(error.read(500).decode("utf-8", "replace").split())
    except (OSError, http.client.HTTPException):
        return ""
