"""Sending in the background: a slow bucket stops no cell, and one that fails is left alone for a while."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from harness.errors import BucketError, reason_of
from harness.mirroring.breaker import Breaker

THREADS = 4


class Sender:
    """Calls `send` with names, in background threads; what fails is kept with its reason, and told at the end."""

    def __init__(self, send: Callable[[str], None]) -> None:
        self._send = send
        self._pool = ThreadPoolExecutor(THREADS, "harness-mirror")
        self._breaker = Breaker()
        self._futures: dict[str, Future[None]] = {}
        self._left: dict[str, str] = {}
        self._then: dict[str, Callable[[], None]] = {}

    def add(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        """Send that name when a thread is free, and call `then` afterwards, whether it could be sent or not.

        A name that still waits is sent once.
        """
        waiting = self._futures.get(name)
        if waiting is not None and waiting.cancel():
            then = _both(self._then.pop(name), then)
        self._then[name] = then
        self._futures[name] = self._pool.submit(self._attempt, name, then)

    def wait(self, patience: float | None = None, show: Callable[[int], None] = lambda left: None) -> None:
        """Wait until all was tried, but no longer than `patience` seconds; `show` is called with how many are left."""
        self._wait(None if patience is None else time.monotonic() + patience, show)

    def finish(
        self, patience: float | None = None, show: Callable[[int], None] = lambda left: None
    ) -> dict[str, str]:
        """Wait for all, try once more what failed, and return why for what could not be sent.

        After `patience` seconds the rest is given up. `show` is called with how many are left.
        """
        until = None if patience is None else time.monotonic() + patience
        try:
            self._wait(until, show)
            if self._left and until is None:
                first, *others = list(self._left)
                self._breaker.succeed()
                self._attempt(first)
                if first not in self._left:
                    for name in others:
                        self.add(name)
                    self._wait(until, show)
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
        given_up = {name: "not sent yet" for name, future in self._futures.items() if not _is_sent(future)}
        return {**given_up, **self._left}

    def _wait(self, until: float | None, show: Callable[[int], None]) -> None:
        while waiting := [future for future in list(self._futures.values()) if not future.done()]:
            if until is not None and time.monotonic() > until:
                return
            show(len(waiting))
            wait(waiting, timeout=0.5)

    def _attempt(self, name: str, then: Callable[[], None] = lambda: None) -> None:
        try:
            self._try(name)
        finally:
            then()

    def _try(self, name: str) -> None:
        if self._breaker.is_open:
            self._left[name] = next(reversed(list(self._left.values())), "the bucket fails")
            return
        try:
            self._send(name)
        except BucketError as error:
            self._left[name] = str(error)
            self._breaker.fail()
        except Exception as error:  # a record that was removed meanwhile, a disk: the bucket is well
            self._left[name] = reason_of(error)
        else:
            self._left.pop(name, None)
            self._breaker.succeed()


def _both(first: Callable[[], None], second: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        first()
        second()

    return call


def _is_sent(future: Future[None]) -> bool:
    return future.done() and not future.cancelled()
