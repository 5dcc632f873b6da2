"""One function in several processes that exchange tensors: started here, or by torchrun."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import pickle
import signal
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.distributed as dist

from harness.errors import HarnessError, OptionError, reason_of

GRACE = 3.0
"""Seconds in which other processes may tell what they died of, after the first has ended with an error."""


class ProcessFailed(HarnessError):
    """The end of a joint computation because one of its processes failed; the text says which, and why."""


@dataclass(frozen=True)
class Rank:
    """A process's place among several: its number (from 0), how many there are, and its device."""

    number: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes and reports."""
        return self.number == 0


def run_distributed(
    processes: int, function: Callable[..., Any], *args: Any, device: str | None = None, timeout: float = 600
) -> Any:
    """Run `function(rank, *args)` in as many processes, and return what it returned in the first one.

    `function` must be importable by name, and arguments and result picklable. Process r computes on device
    `cuda:r` with nccl, or on the CPU with gloo, as `device` says ("cuda" or "cpu", by default CUDA if there are
    enough GPUs); CPU threads are divided. Under torchrun, or whatever sets RANK and WORLD_SIZE, no process is
    started: this one takes its place, and each returns what the function returned in it.

    If a process fails or dies, all are ended; so they are when this one dies. `timeout` is how many seconds a
    process waits for the others in an exchange.

    Raises OptionError for a number of processes that can't be, the HarnessError that a process raised, torch's
    error if one ran out of memory, and ProcessFailed for any other end.
    """
    if processes < 1:
        raise OptionError(f"distributed: there must be at least 1 process, not {processes}")
    if device is None:
        device = "cuda" if torch.cuda.device_count() >= processes else "cpu"
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        world = int(os.environ["WORLD_SIZE"])
        if processes != world:
            raise OptionError(
                f"distributed: {processes} processes asked for, but torchrun has started {world}"
            )
        local = int(os.environ.get("LOCAL_RANK", os.environ["RANK"]))
        if not dist.is_initialized():  # once, since torchrun's meeting place serves a single group
            _join_group(int(os.environ["RANK"]), world, device, local, "env://", timeout)
            atexit.register(dist.destroy_process_group)
        return function(_find_rank(device, local), *args)
    if device == "cuda" and torch.cuda.device_count() < processes:
        raise OptionError(
            f"distributed: {processes} processes need as many GPUs, and {torch.cuda.device_count()} can be used"
        )
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // processes)
    started: list[BaseProcess] = []
    answers: list[Connection] = []
    with tempfile.TemporaryDirectory(prefix="harness-ranks-") as folder:
        meeting = (Path(folder) / "store").as_uri()
        try:
            for number in range(processes):
                answer, sending = context.Pipe(duplex=False)
                work = (number, processes, device, meeting, timeout, threads, sending, function, args)
                process: BaseProcess = context.Process(target=_serve_rank, args=work, name=f"rank {number}")
                process.start()
                sending.close()  # so that the end of the process is the end of what can be read
                started.append(process)
                answers.append(answer)
            return _collect_answers(started, answers)
        finally:
            for running in started:
                running.kill()  # those that have ended are not affected
            for running in started:
                running.join()


def _join_group(number: int, world: int, device: str, local: int, meeting: str, timeout: float) -> None:
    """Become a member of the default process group."""
    place = torch.device(device, local) if device == "cuda" else None
    if place is not None:
        torch.cuda.set_device(place)
    dist.init_process_group(
        # with a GPU, also gloo: what the CPU decides is exchanged without waiting for the device
        "gloo" if place is None else "cpu:gloo,cuda:nccl",
        init_method=meeting,
        rank=number,
        world_size=world,
        timeout=timedelta(seconds=timeout),
        device_id=place,
    )


def _find_rank(device: str, local: int) -> Rank:
    """Return this process's place in the group."""
    place = torch.device(device, local) if device == "cuda" else torch.device(device)
    return Rank(dist.get_rank(), dist.get_world_size(), place)


@dataclass(frozen=True)
class _Answer:
    """What a process sends: its result, or its error with the time, by which causes precede consequences."""

    result: Any = None
    error: BaseException | None = None
    at: float = 0.0
    told: str = ""


def _serve_rank(
    number: int,
    world: int,
    device: str,
    meeting: str,
    timeout: float,
    threads: int,
    answers: Connection,
    function: Callable[..., Any],
    args: Sequence[Any],
) -> None:
    """Be one process, and send its result (of the first alone) or its error."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal's Ctrl-C is the parent's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    try:
        _join_group(number, world, device, number, meeting, timeout)
        result = function(_find_rank(device, number), *args)
        dist.destroy_process_group()
        answers.send_bytes(pickle.dumps(_Answer(result if number == 0 else None)))
    except Exception as error:
        _end_with_error(error, number, world, answers)


def _end_with_error(error: Exception, number: int, world: int, answers: Connection) -> NoReturn:
    at, told = time.time(), "".join(traceback.format_exception(error))
    plain = ProcessFailed(f"process {number} of {world} failed: {reason_of(error)}")
    kept = error if isinstance(error, HarnessError | torch.OutOfMemoryError) else plain
    try:
        answers.send_bytes(pickle.dumps(_Answer(error=kept, at=at, told=told)))
    except Exception:  # an error that can't be sent as it is
        answers.send_bytes(pickle.dumps(_Answer(error=plain, at=at, told=told)))
    answers.close()
    os._exit(1)  # a failed exchange may keep threads that never end


def _end_with_parent() -> None:
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def _collect_answers(started: Sequence[BaseProcess], answers: Sequence[Connection]) -> Any:
    """Wait for all processes; return the first one's result, or raise the error that came first."""
    found: dict[int, _Answer | None] = {}
    until: float | None = None
    while len(found) < len(started):
        waiting = [answers[n] for n in range(len(started)) if n not in found]
        left = None if until is None else max(0.0, until - time.monotonic())
        ready = wait(waiting, left)
        for number, connection in enumerate(answers):
            if connection in ready:
                found[number] = None
                with suppress(EOFError, OSError):  # the end of a process that sent nothing
                    found[number] = pickle.loads(connection.recv_bytes())
        failed = any(answer is None or answer.error is not None for answer in found.values())
        if failed and until is None:
            until = time.monotonic() + GRACE
        if failed and not ready:
            break
    for number, answer in found.items():
        if answer is None:  # nobody else can say what it died of, and the errors of others follow from this
            started[number].join(GRACE)
            raise ProcessFailed(
                f"process {number} of {len(started)} {_describe_end(started[number].exitcode)}"
            )
    errors = sorted((a for a in found.values() if a and a.error), key=lambda answer: answer.at)
    if errors:
        assert errors[0].error is not None
        errors[0].error.add_note(errors[0].told)
        raise errors[0].error
    first = found[0]
    assert first is not None
    return first.result


def _describe_end(code: int | None) -> str:
    if code is not None and code < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
    return f"ended without a result (exit code {code})"
