"""Budgets of calls, tokens and images, which threads share, and what an answered call spends of them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

Message = Mapping[str, str]
"""A turn of texts only, in OpenAI's form: `{"role": …, "content": …}`."""

UNLIMITED = sys.maxsize


class OutOfBudget(Exception):
    """A budget is spent. A search ends with its best so far; what was answered is kept for the next run."""


@dataclass(frozen=True)
class ChatAnswer:
    """A model's text, with the tokens and tries it took."""

    text: str
    tokens: int
    calls: int = 1


@dataclass
class Budget:
    """Calls, tokens and images that may still be spent; several threads may spend at once.

    Tokens are known only after an answer, so they are overspent by at most the answers under way.
    """

    calls: int = UNLIMITED
    tokens: int = UNLIMITED
    images: int = UNLIMITED
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def check(self) -> None:
        """Raise OutOfBudget if calls or tokens are spent."""
        for what, left in (("calls", self.calls), ("tokens", self.tokens)):
            if left <= 0:
                raise OutOfBudget(f"the budget of {what} is spent")

    def begin_call(self, images: int = 0) -> None:
        """Subtract one call and the images it sends. Raises OutOfBudget, subtracting nothing, if there are too few."""
        with self._lock:
            self.check()
            if images > self.images:
                raise OutOfBudget(f"the budget of images is spent: {self.images} left, {images} to send")
            self.calls -= 1
            self.images -= images

    def spend_tokens(self, tokens: int) -> None:
        """Subtract the tokens of an answer and its question."""
        with self._lock:
            self.tokens -= tokens

    def spend(self, answer: ChatAnswer) -> None:
        """Subtract the calls and tokens of an answer."""
        with self._lock:
            self.calls -= answer.calls
            self.tokens -= answer.tokens
