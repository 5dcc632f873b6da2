"""A break for a bucket that fails, so that not everybody waits for the same fault again."""

from __future__ import annotations

import threading
import time

PAUSE = 30.0
"""Seconds for which nothing is tried."""


class Breaker:
    """Whether to try: no for some seconds after so many failures one after another. Threads may share it."""

    def __init__(self, failures: int = 3, pause: float = PAUSE) -> None:
        self.failures, self.pause = failures, pause
        self._lock = threading.Lock()
        self._in_row = 0
        self._failed_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether it is better to do without for the moment."""
        with self._lock:
            return self._in_row >= self.failures and time.monotonic() - self._failed_at < self.pause

    def fail(self) -> None:
        """Note a failure."""
        with self._lock:
            self._in_row, self._failed_at = self._in_row + 1, time.monotonic()

    def succeed(self) -> None:
        """Note that it works."""
        with self._lock:
            self._in_row = 0
