"""The executor that spreads cells over worker processes, which live as long as the run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import groupby
from multiprocessing.connection import Connection

from harness.errors import HarnessError
from harness.grouping import seed_groups
from harness.plan import Cell
from harness.record import Record
from harness.registry import THIS_PROCESS
from harness.worker import Settings, Worker

_worker: Worker | None = None


class Processes:
    """Cells in `count` processes (default: one per two cores), each with its share of threads."""

    def __init__(self, count: int | None = None) -> None:
        cores = os.cpu_count() or 1
        self.count = count if count is not None else max(1, cores // 2)
        if self.count < 1:
            raise HarnessError(f"executor processes: count must be at least 1, found {count}")

    def execute(
        self, cells: Sequence[Cell], settings: Settings, tell: Callable[..., None]
    ) -> Iterator[tuple[Cell, Record]]:
        """Runs the cells and gives each with its record as it is finished, in no fixed order."""
        from dataclasses import replace

        for cell in cells:
            parts = (cell.protocol, cell.model, cell.dataset, cell.method, *cell.metrics)
            if here := next((p for p in parts if p and p.distribution == THIS_PROCESS), None):
                raise HarnessError(
                    f"'{here.plugin}' is registered in this process only, so other processes can't run it: "
                    "use the executor 'inline', or install the plugin"
                )
        threads = max(1, (os.cpu_count() or 1) // self.count)
        context = multiprocessing.get_context("spawn")
        setup = replace(settings, threads=settings.threads or threads)
        # several chunks a process, so that none waits long for the last; a chunk shares its model
        chunks = _spread(_chunks(cells, max(1, len(cells) // (16 * self.count))))
        done = 0
        # Workers end as soon as nobody holds the other end of this pipe: neither a killed parent nor
        # an interrupted one leaves any behind or waits for theirs to finish.
        alive, lifeline = context.Pipe(duplex=False)
        with ProcessPoolExecutor(self.count, context, _start, (setup, alive)) as pool:
            waiting: dict[Future[list[Record]], list[Cell]] = {pool.submit(_run, c): c for c in chunks}
            try:
                while waiting:
                    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        for cell, record in zip(waiting.pop(future), future.result(), strict=True):
                            done += 1
                            tell("cell_started", cell=cell, position=done, total=len(cells))
                            yield cell, record
            except BrokenProcessPool:
                raise HarnessError(
                    "a worker process died (killed, or out of memory); what was finished is kept: "
                    "run the same command again, with fewer processes if memory is short"
                ) from None
            finally:
                lifeline.close()
                pool.shutdown(wait=False, cancel_futures=True)
                alive.close()


def _chunks(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    """Runs of cells that share a model, of about `size`; seeds that run at once stay together."""
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
    """The chunks with the first of each model in front, and the rest from the last model to the first.

    A model may be made on its first use: while one process does that for the first model, the others
    have work with other models, and come to its remaining cells last.
    """
    by_model: dict[str, list[list[Cell]]] = {}
    for chunk in chunks:
        model = chunk[0].model
        by_model.setdefault(model.identity if model else "", []).append(chunk)
    first = [same[0] for same in by_model.values()]
    return first + [chunk for same in reversed(by_model.values()) for chunk in same[1:]]


def _start(settings: Settings, alive: Connection) -> None:
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, args=(alive,), daemon=True).start()
    _worker = Worker(settings)


def _end_with_parent(alive: Connection) -> None:
    try:
        alive.recv_bytes()
    except EOFError:
        os._exit(1)  # files appear whole or not at all, so this may happen anywhere


def _run(cells: list[Cell]) -> list[Record]:
    assert _worker is not None
    return [record for group in seed_groups(cells) for record in _worker.run_group(group)]
