"""The executor that spreads cells over worker processes, which live as long as the run."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from itertools import groupby
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Lock

from harness.contract.cells import Cell
from harness.discovery.registry import THIS_PROCESS
from harness.errors import HarnessError
from harness.planning.grouping import seed_groups
from harness.records.record import Record
from harness.running.executors.channel import RECORD, Event, Receiver, Sender
from harness.running.executors.main_module import CURE, find_obstacle
from harness.running.worker import RunSettings, Worker

_worker: Worker | None = None
_sender: Sender | None = None


class Processes:
    """Cells in `count` processes, each with its share of threads.

    The processes stay for the next `execute` with the same settings, until `close`, and keep what they
    have imported, loaded and opened.

    Args:
        count: number of worker processes, at least 1; by default one per two cores.
    """

    def __init__(self, count: int | None = None) -> None:
        cores = os.cpu_count() or 1
        self.count = count if count is not None else max(1, cores // 2)
        if self.count < 1:
            raise HarnessError(f"executor processes: count must be at least 1, found {count}")
        self._pool: _Pool | None = None

    def execute(
        self, cells: Sequence[Cell], settings: RunSettings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Run the cells; yield each with its record when finished, in no fixed order; `tell` hears all events.

        Raises HarnessError if no process could be started, or one would run the caller's script again.
        """
        if reason := find_obstacle():
            raise HarnessError(f"executor processes: {reason}: {CURE}")
        for cell in cells:
            if here := next((p for p in cell.parts if p.distribution == THIS_PROCESS), None):
                raise HarnessError(
                    f"'{here.plugin}' is registered in this process only, so other processes can't run it: "
                    "use the executor 'inline', or install the plugin"
                )
        threads = max(1, (os.cpu_count() or 1) // self.count)
        setup = replace(settings, threads=settings.threads or threads)
        if self._pool is None or self._pool.setup != setup:
            self.close()
            self._pool = _Pool(self.count, setup)
        # several chunks per process, so that none waits long for the last; a chunk shares its model
        chunks = _spread(_make_chunks(cells, max(1, len(cells) // (16 * self.count))))
        finished = False
        try:
            yield from self._pool.run(chunks, cells, tell)
            finished = True
        finally:
            if not finished:  # interrupted: nobody waits for the cells in flight
                self.close()

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None


class _Pool:
    """Worker processes with common settings, and the channels to and from them."""

    def __init__(self, count: int, setup: RunSettings) -> None:
        self.setup = setup
        context = multiprocessing.get_context("spawn")
        # Workers end when the other end of this pipe closes, so that a killed or interrupted parent
        # neither leaves any behind nor waits for them to finish.
        self.alive, self.lifeline = context.Pipe(duplex=False)
        self.inbox: queue.SimpleQueue[Event | Future[None]] = queue.SimpleQueue()
        self.receiver = Receiver(context, self.inbox.put)
        start = (setup, self.alive, self.receiver.pipe, self.receiver.lock)
        self.processes = ProcessPoolExecutor(count, context, _start, start)

    def run(
        self, chunks: Sequence[list[Cell]], cells: Sequence[Cell], tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Yield the cells with their records, as they arrive."""
        try:
            for chunk in chunks:
                self.processes.submit(_run, chunk).add_done_callback(self.inbox.put)
        except BrokenProcessPool:
            raise _startup_error() from None
        yield from _collect(self.inbox, cells, tell)

    def close(self) -> None:
        """End the processes at whatever point: files appear whole or not at all."""
        self.lifeline.close()
        self.processes.shutdown(wait=False, cancel_futures=True)
        self.alive.close()
        self.receiver.close()
        self.processes.shutdown()


def _collect(
    inbox: queue.SimpleQueue[Event | Future[None]], cells: Sequence[Cell], tell: Callable[..., None]
) -> Iterator[tuple[Cell, Record]]:
    """Pass on the workers' events, and yield their records, until all cells have theirs or a worker fails."""
    by_id = {cell.id: cell for cell in cells}
    started, left = 0, len(cells)
    running: dict[str, Cell] = {}
    trouble: BaseException | None = None
    while left and not (trouble and inbox.empty()):
        item = inbox.get()
        if isinstance(item, Future):
            trouble = trouble or (None if item.cancelled() else item.exception())
            continue
        event, cell, facts = item[0], by_id[item[1]], item[2]
        if event == RECORD:
            left -= 1
            running.pop(cell.id, None)
            yield cell, Record.from_json(facts["record"], f"record {cell.id}")
            continue
        if event == "cell_started":
            started += 1
            running[cell.id] = cell
            facts = {"position": started, "total": len(cells)}
        tell(event, cell=cell, **facts)
    if isinstance(trouble, BrokenProcessPool):
        raise _death_error(running.values()) if started else _startup_error()
    if trouble:
        raise trouble


def _death_error(running: Iterable[Cell]) -> HarnessError:
    names = ", ".join(f"'{cell.shown}'" for cell in running)
    return HarnessError(
        f"a worker process died (killed, out of memory, or ended by a plugin){' while it ran ' if names else ''}"
        f"{names}; what was finished is kept: run the same command again, with fewer processes if memory is short"
    )


def _startup_error() -> HarnessError:
    return HarnessError(
        "a worker process died before it ran a cell; if a script of yours runs cells whenever it is imported, "
        f"{CURE}; else run with the executor 'inline', which shows what happens"
    )


def _make_chunks(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Return runs of cells that share a model, of about `size`; seeds that run at once stay together."""
    chunks: list[list[Cell]] = []
    for _, same in groupby(cells, key=lambda c: c.model.identity if c.model else ""):
        chunk: list[Cell] = []
        for group in seed_groups(list(same)):
            if chunk and len(chunk) + len(group) > size:
                chunks.append(chunk)
                chunk = []
            chunk = chunk + group
        chunks.append(chunk)
    return chunks


def _spread(chunks: Sequence[list[Cell]]) -> list[list[Cell]]:
    """Return the chunks with the first of each model in front, and the rest from the last model to the first.

    A model may be made on its first use: while one process makes the first model, the others work with
    other models, and come to its remaining cells last.
    """
    by_model: dict[str, list[list[Cell]]] = {}
    for chunk in chunks:
        model = chunk[0].model
        by_model.setdefault(model.identity if model else "", []).append(chunk)
    first = [same[0] for same in by_model.values()]
    return first + [chunk for same in reversed(by_model.values()) for chunk in same[1:]]


def _start(settings: RunSettings, alive: Connection, pipe: Connection, lock: Lock) -> None:
    global _worker, _sender
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    os.dup2(2, 1)  # the standard output is for the command's answer, whatever a plugin prints
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    _sender = Sender(pipe, lock)
    _worker = Worker(settings, _sender)


def _end_with_parent(alive: Connection) -> None:
    try:
        alive.recv_bytes()
    except EOFError:
        os._exit(1)  # files appear whole or not at all, so this may happen anywhere


def _run(cells: list[Cell]) -> None:
    assert _worker is not None
    assert _sender is not None
    for group in seed_groups(cells):
        for cell in group:
            _sender("cell_started", cell=cell)
        _sender.flush()
        for cell, record in zip(group, _worker.run_group(group), strict=True):
            _sender.record(cell, record)
