"""The sender of events and records from a worker to whoever dispatches its cells, in order."""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
import time
from collections.abc import Callable
from typing import Any

from harness.contract.cells import Cell
from harness.records.record import Record

log = logging.getLogger(__name__)

EVERY = 0.1
"""Seconds that events may wait for others to travel with."""

MOST = 512
"""Events that travel together at most."""

RECORD = "(record)"
"""The name under which a finished cell's record travels."""

ELSEWHERE = "(elsewhere)"
"""The name under which a worker says who else is at a cell."""

IDLE = "(idle)"
"""The name under which a worker says that it has dealt with all cells that it got."""

TROUBLE = "(trouble)"
"""The name under which a worker says why it is about to end."""

HALT = "(halt)"
"""The name under which a worker says why no other could go on either, such as a full disk."""

Event = tuple[str, str, dict[str, Any]]
"""Its name, the cell's id, and its other arguments."""


class Sender:
    """It is called like a run's listeners, from any thread, and keeps the order of events.

    A training may report thousands of events a second, so they are sent together, as pickled lists; of several
    waiting `cell_progress` of a cell, only the last is sent.
    """

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self.waiting: dict[object, Event] = {}
        self.numbers = itertools.count()
        self.sent = time.monotonic()

    def __call__(self, event: str, *, cell: Cell, **facts: Any) -> None:
        """Keep an event for the next batch."""
        with self._lock:
            key = (event, cell.id) if event == "cell_progress" else next(self.numbers)
            self.waiting.pop(key, None)  # the new one goes behind events reported since
            self.waiting[key] = (event, cell.id, {name: _to_plain(value) for name, value in facts.items()})
            # a cell that says what it works at is likely to be silent for long
            if event == "cell_work" or len(self.waiting) >= MOST or time.monotonic() - self.sent >= EVERY:
                self.flush()

    def record(self, cell: Cell, record: Record) -> None:
        """Send what waits, and the record behind it."""
        # as it lies on disk: a note of a plugin's own class may not travel
        self.say(RECORD, cell.id, record=record.to_json())

    def say(self, name: str, id: str = "", **facts: Any) -> None:
        """Send what waits, and behind it a message for the dispatcher."""
        with self._lock:
            self.flush((name, id, facts))

    def flush(self, message: Event | None = None) -> None:
        """Send what waits, and behind it a message. An event that can't be pickled is left out: it must not fail its cell."""
        with self._lock:
            events, self.waiting = list(self.waiting.values()), {}
            if events or message:
                try:
                    packed = pickle.dumps(events)
                except Exception:  # rare, so the culprit is looked for only now
                    packed = pickle.dumps([event for event in events if _can_travel(event)])
                # apart, since events with a plugin's objects may be lost on arrival, and the message must not
                self._send(_join(packed, message))
            self.sent = time.monotonic()


def _to_plain(value: Any) -> Any:
    """Numbers as Python's own: a tensor would take its graph along, and its device must not be opened."""
    if isinstance(value, dict):
        return {key: _to_plain(inner) for key, inner in value.items()}
    if isinstance(value, int | str) or not hasattr(value, "__float__"):
        return value
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except (TypeError, ValueError, RuntimeError):  # more than one number
        return value


def _can_travel(event: Event) -> bool:
    try:
        pickle.dumps(event)
    except Exception as error:
        log.debug("the event %s can't be sent: %s", event[0], error)
        return False
    return True


def pack_message(name: str, id: str = "", **facts: Any) -> bytes:
    """Return a message for the dispatcher as a sender would send it."""
    return _join(pickle.dumps([]), (name, id, facts))


def _join(events: bytes, message: Event | None) -> bytes:
    return pickle.dumps((events, message))


def unpack_events(packed: bytes) -> list[Event]:
    """Return the events of a message; without those that travelled with an object that only its own process can build."""
    events: list[Event]
    inner, message = pickle.loads(packed)
    try:
        events = pickle.loads(inner)
    except Exception as error:
        log.debug("events can't be taken in: %s", error)
        events = []
    return events if message is None else [*events, message]
