"""Tries of one request, with waits that double, or last as long as the server asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from harness_language.server_connection import LONGEST_WAIT, ServerTrouble

Read = TypeVar("Read")


class NoUsableAnswer(Exception):
    """All tries are used up; the text names the last trouble, `last` is it if the server said something."""

    def __init__(self, text: str, last: ServerTrouble | None) -> None:
        super().__init__(text)
        self.last = last


def try_repeatedly(
    ask: Callable[[], Read],
    tries: int,
    pause: Callable[[float, ServerTrouble | None], None],
    first_wait: float = 1.0,
) -> tuple[Read, int]:
    """Return what `ask` returns, and the number of the try that succeeded.

    After a ServerTrouble with `again`, or a ValueError for an answer that can't be read, `pause` is called with
    seconds to wait (`first_wait`, doubled each time, or what the server asked) and the trouble. Raises
    ServerTrouble at once if another try makes no sense, NoUsableAnswer after the last; whatever else `ask`
    raises passes.
    """
    last: ServerTrouble | None = None
    said = ""
    for attempt in range(tries):
        wait = min(LONGEST_WAIT, first_wait * 2.0**attempt)
        try:
            return ask(), attempt + 1
        except ServerTrouble as trouble:
            if not trouble.again:
                raise
            last, said = trouble, str(trouble)
            wait = wait if trouble.wait is None else trouble.wait
        except ValueError as error:
            last, said = None, f"an unusable answer: {error}"
        if attempt + 1 < tries:
            pause(wait, last)
    raise NoUsableAnswer(f"no usable answer in {tries} tries; the last: {said}", last)


class SharedPause:
    """A pause that all threads of a client keep once the server asks for one of them to slow down."""

    def __init__(self) -> None:
        self._until = 0.0
        self._lock = threading.Lock()

    def extend(self, seconds: float) -> None:
        """Let no thread go on before that many seconds from now."""
        with self._lock:
            self._until = max(self._until, time.monotonic() + seconds)

    def keep(self, stop: threading.Event) -> None:
        """Wait until the pause is over, or `stop` is set."""
        while (left := self._until - time.monotonic()) > 0 and not stop.wait(left):
            pass
