"""Slots that are processes of this machine, each with its own device."""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

from harness.contract.cells import Cell
from harness.errors import HarnessError, reason_of
from harness.running.executors.channel import TROUBLE, Sender, unpack_events
from harness.running.executors.slot_worker import run_cells
from harness.running.executors.slots import Batch, Died, Message, Ready
from harness.running.visible_devices import Gpu, seeing_only
from harness.running.worker import RunSettings, Worker

GRACE = 5.0
"""Seconds that a worker gets to end by itself."""

LOOK_EVERY = 1.0
"""Seconds between two looks at whether a process is gone, whose end may not show in its pipes."""


class ProcessPlace:
    """Processes of this machine: slot k has GPU k modulo their number, if GPUs are given."""

    def __init__(self, count: int, settings: RunSettings, gpus: Sequence[Gpu] = ()) -> None:
        self.count, self._settings, self._gpus = count, settings, gpus

    def start(self, number: int, inbox: Callable[[Message], None]) -> ProcessSlot:
        """Start the process of a slot."""
        gpu = self._gpus[number % len(self._gpus)] if self._gpus else None
        return ProcessSlot(number, self._settings, gpu, inbox)


class ProcessSlot:
    """A worker process, watched by a thread that passes on what it sends, and its end."""

    waiting = "is still starting"

    def __init__(
        self, number: int, settings: RunSettings, gpu: Gpu | None, inbox: Callable[[Message], None]
    ) -> None:
        self.where = f"worker {number + 1}" + (f" on GPU {gpu.index}" if gpu is not None else "")
        context = multiprocessing.get_context("spawn")
        commands, self._commands = context.Pipe(duplex=False)
        answers, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(settings, commands, sending), name=self.where)
        try:
            with seeing_only(None if gpu is None else gpu.id):
                self._process.start()
        except OSError as error:
            why = error.strerror or error
            raise HarnessError(f"{self.where} can't be started: {why}; ask for fewer workers") from None
        commands.close()
        sending.close()  # so that the end of the process is the end of what can be read
        watch = (number, self._process, answers, inbox)
        self._patient_until = 0.0
        self._watcher = threading.Thread(target=_watch, args=watch, daemon=True)
        self._watcher.start()

    def send(self, cells: Sequence[Cell], since: int) -> None:
        """Have the process run cells; if it is gone, its death is on the way as a message."""
        self._send(_Run(list(cells), since))

    def warm(self, cell: Cell) -> None:
        """Have the process prepare what a cell asks for."""
        self._send(_Warm(cell))

    def stop(self) -> None:
        """Kill the process: files appear whole or not at all, so this may happen anywhere."""
        self._process.kill()
        self._close()

    def end(self) -> None:
        """Have the process give back its leases and end, without finishing its cells."""
        self._patient_until = time.monotonic() + GRACE
        self._close()

    def join(self) -> None:
        """Wait for the end of the process, and kill it if it hasn't ended some seconds after `end`."""
        try:
            self._watcher.join(max(0.0, self._patient_until - time.monotonic()))
        finally:  # also when the waiting is interrupted
            self._process.kill()
        self._watcher.join()

    def _send(self, command: _Run | _Warm) -> None:
        with suppress(OSError):
            self._commands.send(command)

    def _close(self) -> None:
        with suppress(OSError):
            self._commands.close()


@dataclass(frozen=True)
class _Run:
    cells: list[Cell]
    since: int


@dataclass(frozen=True)
class _Warm:
    cell: Cell


def _watch(number: int, process: SpawnProcess, answers: Connection, inbox: Callable[[Message], None]) -> None:
    """Pass on what a process sends until it ends."""
    with answers:
        alive = True
        while alive:
            # what a plugin forks inherits the pipes, and the sentinel, which is one too: they may stay open for longer
            alive = (
                process.sentinel not in wait([answers, process.sentinel], LOOK_EVERY) and process.is_alive()
            )
            try:
                while answers.poll():
                    packed = answers.recv_bytes()
                    inbox(Batch(number, unpack_events(packed)) if packed else Ready(number))
            except (EOFError, OSError):  # maybe in the middle of a message
                break
        process.join()
    inbox(Died(number, explain_exit(process.exitcode)))


def explain_exit(code: int | None) -> str:
    """Return how a process ended, from its exit code.

    >>> explain_exit(-11)
    'was killed by SIGSEGV'
    >>> explain_exit(3)
    'ended by itself with exit code 3'
    """
    if code is None or code >= 0:
        return f"ended by itself with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was killed by {name}" + (", as when memory runs out" if name == "SIGKILL" else "")


def _serve(settings: RunSettings, commands: Connection, answers: Connection) -> None:
    """Be a slot's worker until the other end of `commands` closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    os.dup2(2, 1)  # the standard output is for the command's answer, whatever a plugin prints
    sender = Sender(answers.send_bytes)
    try:
        worker = Worker(settings, sender)
    except HarnessError as error:
        sender.say(TROUBLE, reason=str(error))
        sys.exit(1)
    todo: queue.Queue[_Run | _Warm | None] = queue.Queue()
    threading.Thread(target=_listen, args=(commands, todo, worker, sender), daemon=True).start()
    answers.send_bytes(b"")  # ready
    with closing(worker):
        while (command := todo.get()) is not None:
            if isinstance(command, _Run):
                run_cells(worker, sender, command.cells, command.since)
            else:
                worker.warm(command.cell, lambda: not todo.empty())
            todo.task_done()


def _listen(
    commands: Connection, todo: queue.Queue[_Run | _Warm | None], worker: Worker, sender: Sender
) -> None:
    """Take in commands; when the parent is gone or wants no more, end the process, in whatever cell it is."""
    try:
        while True:
            todo.put(commands.recv())
    except (EOFError, OSError):
        if not todo.unfinished_tasks:
            todo.put(None)
            return
    except Exception as error:  # cells of a plugin that can't be imported here
        traceback.print_exc()
        sender.say(TROUBLE, reason=f"it can't take in its cells: {reason_of(error)}")
    worker.close()  # gives back the leases of what it leaves undone
    os._exit(1)
