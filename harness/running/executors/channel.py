"""The channel of events and records from worker processes to their parent, in order."""

from __future__ import annotations

import itertools
import logging
import pickle
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext
from multiprocessing.synchronize import Lock
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

Event = tuple[str, str, dict[str, Any]]
"""Its name, the cell's id, and its other arguments."""


class Sender:
    """A worker's end; it is called like a run's listeners, and keeps the order of events.

    A training may report thousands of events a second, so they are sent together; of several waiting
    `cell_progress` of a cell, only the last is sent.
    """

    def __init__(self, pipe: Connection, lock: Lock) -> None:
        self.pipe, self.lock = pipe, lock
        self.waiting: dict[object, Event] = {}
        self.numbers = itertools.count()
        self.sent = time.monotonic()

    def __call__(self, event: str, *, cell: Cell, **facts: Any) -> None:
        """Keep an event for the next batch."""
        key = (event, cell.id) if event == "cell_progress" else next(self.numbers)
        self.waiting.pop(key, None)  # the new one goes behind events reported since
        self.waiting[key] = (event, cell.id, {name: _to_plain(value) for name, value in facts.items()})
        # a cell that says what it works at is likely to be silent for long
        if event == "cell_work" or len(self.waiting) >= MOST or time.monotonic() - self.sent >= EVERY:
            self.flush()

    def record(self, cell: Cell, record: Record) -> None:
        """Send what waits, and the record behind it."""
        self.flush()
        # as it lies on disk: a note of a plugin's own class may not travel
        self._send(pickle.dumps([(RECORD, cell.id, {"record": record.to_json()})]))

    def flush(self) -> None:
        """Send what waits. An event that can't be pickled is left out: it must not fail its cell."""
        events, self.waiting = list(self.waiting.values()), {}
        if events:
            try:
                packed = pickle.dumps(events)
            except Exception:  # rare, so the culprit is looked for only now
                packed = pickle.dumps([event for event in events if _can_travel(event)])
            self._send(packed)
        self.sent = time.monotonic()

    def _send(self, packed: bytes) -> None:
        with self.lock:
            self.pipe.send_bytes(packed)


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


class Receiver:
    """The parent's end: a thread takes in what comes, so that no worker ever waits for a listener."""

    def __init__(self, context: SpawnContext, take: Callable[[Event], None]) -> None:
        reader, self.pipe = context.Pipe(duplex=False)
        self.lock = context.Lock()
        threading.Thread(target=_read, args=(reader, take), daemon=True).start()

    def close(self) -> None:
        """Release the pipe: the thread ends when the last worker has done the same."""
        self.pipe.close()


def _read(pipe: Connection, take: Callable[[Event], None]) -> None:
    with pipe:
        while True:
            try:
                packed = pipe.recv_bytes()
            except (EOFError, OSError):  # the last writer is gone, maybe in the middle of a message
                return
            try:
                events = pickle.loads(packed)
            except Exception as error:  # an object that only its own process can build; records hold none
                log.debug("events can't be taken in: %s", error)
                continue
            for event in events:
                take(event)
