"""What runs in an actor: a worker whose cells run in a thread, and a stream of what it tells.

torch must not be imported before Ray has chosen the actor's GPUs, so nothing here imports it at the top.
"""

from __future__ import annotations

import os
import pickle
import queue
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness import Cell
    from harness.running.worker import Worker

PLACED, READY = "(placed)", "(ready)"
"""Names under which an actor says that it has room in the cluster, and that it can take cells."""

TOGETHER = 0.1
"""Seconds that a message may wait for others to travel with."""


class Outbox:
    """Messages on their way to the driver, a few at a time: each transfer costs more than many a message."""

    def __init__(self) -> None:
        self._messages: list[bytes] = []
        self._changed = threading.Condition()
        self._urgent = self._closed = False

    def put(self, message: bytes, urgent: bool = True) -> None:
        """Add a message; an urgent one takes along those that wait."""
        with self._changed:
            self._messages.append(message)
            self._urgent |= urgent
            if urgent or len(self._messages) == 1:  # each waking takes the interpreter from the cell
                self._changed.notify()

    def close(self) -> None:
        """Have `batches` end after what is there."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def batches(self) -> Iterator[list[bytes]]:
        """Yield messages, in order, until the box is closed."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._messages or self._closed)
                self._changed.wait_for(lambda: self._urgent or self._closed, TOGETHER)
                messages, self._messages, self._urgent = self._messages, [], False
                if not messages:
                    return
            yield messages


class CellActor:
    """A worker in an actor: it says where it is, is given its setup, says that it is ready, and runs what it gets."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._todo: queue.SimpleQueue[tuple[Sequence[Cell], int] | Cell | None] = queue.SimpleQueue()
        self._worker: Worker | None = None
        self._own_store: Path | None = None

    def listen(self) -> Iterator[list[bytes]]:
        """Yield lists of packed messages for as long as the actor lives."""
        from harness.running.executors.channel import pack_message

        yield [pack_message(PLACED, host=socket.gethostname(), pid=os.getpid())]
        yield from self._outbox.batches()

    def begin(self, setup: bytes) -> None:
        """Build the worker, and run cells from then on."""
        threading.Thread(target=self._serve, args=(setup,), daemon=True).start()

    def run(self, cells: bytes, since: int) -> None:
        """Have cells run next, in order; records of others count if they are dated after `since`, in ns."""
        if (found := self._unpack(cells)) is not None:
            self._todo.put((found, since))

    def warm(self, cell: bytes) -> None:
        """Prepare what a cell that runs elsewhere asks for, until there are cells to run."""
        if (found := self._unpack(cell)) is not None:
            self._todo.put(found[0])

    def close(self) -> None:
        """Give back leases and folders, and end the stream."""
        self._tidy_up()
        self._outbox.close()

    def _unpack(self, packed: bytes) -> list[Cell] | None:
        try:
            cells: list[Cell] = pickle.loads(packed)
            return cells
        except Exception as error:  # of a plugin that can't be imported here
            self._fail(f"it can't take in its cells: {type(error).__name__}: {error}")
            return None

    def _fail(self, reason: str) -> None:
        from harness.running.executors.channel import TROUBLE, pack_message

        self._outbox.put(pack_message(TROUBLE, reason=reason))
        self.close()

    def _serve(self, packed: bytes) -> None:
        # whatever ends this thread ends the worker: its cells then count as lost, and others go on
        try:
            self._work(packed)
        except BaseException as error:
            self._fail(f"{type(error).__name__}: {error}")

    def _work(self, packed: bytes) -> None:
        from harness.discovery.registry import KINDS, installed
        from harness.errors import HarnessError
        from harness.records.store import Store
        from harness.running.claims import Claims
        from harness.running.executors.channel import Sender
        from harness.running.executors.slot_worker import run_cells
        from harness.running.worker import Worker
        from harness_ray.carried_files import CarryingSender
        from harness_ray.setup import Setup, enter

        setup: Setup = pickle.loads(packed)
        shared = setup.is_shared()
        if not shared:
            self._own_store = Path(tempfile.mkdtemp(prefix="harness-ray-"))
        try:
            settings = enter(setup, self._own_store or setup.settings.store)
            sender, claims = Sender(self._send), None
            if self._own_store is not None:
                # the driver has the leases, and puts into a bucket what has travelled: here it is taken away
                sender = CarryingSender(self._send, self._own_store)
                claims = Claims(Store(self._own_store), settings.fresh)
            self._worker = worker = Worker(settings, sender, claims)
        except (HarnessError, OSError) as error:
            self._fail(str(error))
            return
        plugins = (plugin for kind in KINDS for plugin in installed(kind))
        versions = {plugin.distribution: plugin.version for plugin in plugins}
        sender.say(READY, versions=versions, host=socket.gethostname(), shared=shared)
        while (command := self._todo.get()) is not None:
            if isinstance(command, tuple):
                run_cells(worker, sender, *command)
            else:
                worker.warm(command, lambda: not self._todo.empty())

    def _send(self, packed: bytes) -> None:
        from harness.running.executors.channel import IDLE, unpack_events

        # which cells ran when a worker died, a shared store tells by their leases; without one the start is urgent
        urgent = (IDLE, READY) if self._own_store is None else (IDLE, READY, "cell_started")
        self._outbox.put(packed, urgent=any(event[0] in urgent for event in unpack_events(packed)))

    def _tidy_up(self) -> None:
        if self._worker is not None:
            self._worker.close()
        if self._own_store is not None:
            shutil.rmtree(self._own_store, ignore_errors=True)
