"""Reading many files for their digests: several at once, with a word on how far it is."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TextIO

from harness.content_index import Entry, stamp_of

THREADS = max(4, min(16, 4 * (os.cpu_count() or 1)))
"""More than cores, so that a slow disk is asked for several files at once."""

BLOCK = 1 << 22
TASK_FILES, TASK_BYTES = 64, 1 << 25
TRIES = 3
SILENT, LINE_EVERY, KEEP_EVERY = 2.0, 10.0, 5.0
"""Seconds: before anything is shown, between plain lines, and between handing over what has been read."""

_shown = True


@contextmanager
def progress_shown(shown: bool) -> Iterator[None]:
    """Whether a long first look tells on the standard error how far it is, inside the block."""
    global _shown
    before, _shown = _shown, shown
    try:
        yield
    finally:
        _shown = before


def read_all(paths: Sequence[str]) -> Iterator[dict[str, Entry | None]]:
    """The entries of files as they are read, every few seconds and at the end; None for what can't be read."""
    if not paths:
        return
    places = sorted(
        (_place(path), path) for path in paths
    )  # near each other on a disk, as far as that can be known
    progress = _Progress(len(paths), sum(size for (_, _, size), _ in places))
    if len(paths) == 1 and places[0][0][2] <= BLOCK:
        yield {paths[0]: read_entry(paths[0], progress)}
        return
    pool = ThreadPoolExecutor(THREADS)
    try:
        left = {pool.submit(_read, task, progress) for task in _tasks(places)}
        done: dict[str, Entry | None] = {}
        kept = time.monotonic()
        while left:
            ready, left = wait(left, 0.2, FIRST_COMPLETED)
            for task in ready:
                done |= task.result()
            progress.show()
            if time.monotonic() - kept > KEEP_EVERY and done:
                yield done
                done, kept = {}, time.monotonic()
        yield done
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        progress.clear()


def read_entry(path: str, progress: _Progress | None = None) -> Entry | None:
    """A file's digest with the stamp that it had while it was read; None when it can't be read.

    An entry of a file that changes all the while is not settled: it says when, not what it is.
    """
    try:
        for _ in range(TRIES):
            started = time.time_ns()
            # not to wait for a writer where a pipe has just taken the file's place
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
            with os.fdopen(handle, "rb", buffering=0) as file:
                facts = os.fstat(handle)
                if not stat.S_ISREG(facts.st_mode):
                    return None
                digest = hashlib.sha256()
                while block := file.read(min(BLOCK, facts.st_size + 1)):
                    digest.update(block)
                    if progress is not None:
                        progress.bytes += len(block)
                after = os.fstat(handle)
            if stamp_of(facts) == stamp_of(after):
                break
            started = 0
    except (OSError, ValueError):
        return None
    return Entry(stamp_of(after), started, digest.hexdigest())


def _read(paths: Sequence[str], progress: _Progress) -> dict[str, Entry | None]:
    found = {}
    for path in paths:
        found[path] = read_entry(path, progress)
        progress.files += 1
    return found


def _place(path: str) -> tuple[int, int, int]:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except OSError:
        return 0, 0, 0
    return facts.st_dev, facts.st_ino, facts.st_size


def _tasks(places: Sequence[tuple[tuple[int, int, int], str]]) -> Iterator[list[str]]:
    """The files in runs that are worth a task of their own."""
    task: list[str] = []
    held = 0
    for (_, _, size), path in places:
        task.append(path)
        held += size
        if len(task) >= TASK_FILES or held >= TASK_BYTES:
            yield task
            task, held = [], 0
    if task:
        yield task


class _Progress:
    """How far the reading is. Threads add to the counts without a lock: they are shown, not used."""

    def __init__(self, count: int, total: int) -> None:
        self.count, self.total = count, total
        self.files = self.bytes = 0
        self._start = time.monotonic()
        self._next = self._start + SILENT
        self._drawn = False

    def show(self) -> None:
        """Draw or print how far it is, if it is time to."""
        stream: TextIO | None = sys.stderr
        now = time.monotonic()
        if not _shown or stream is None or now < self._next:
            return
        text = (
            f"reading data, to know it by its content: {self.files:,} of {self.count:,} files, "
            f"{self.bytes / 1e9:.1f} of {self.total / 1e9:.1f} GB"
        )
        if stream.isatty():
            print(f"\r{text}\x1b[K", end="", file=stream, flush=True)
            self._drawn, self._next = True, now + 0.2
        else:
            print(text, file=stream, flush=True)
            self._next = now + LINE_EVERY

    def clear(self) -> None:
        """Take the live line away."""
        if self._drawn and sys.stderr is not None:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
