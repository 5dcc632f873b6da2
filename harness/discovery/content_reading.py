"""Reading many files for their digests: several at once, with a progress display."""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from typing import TextIO

from harness.discovery.content_index import IndexedDigest, stamp_of
from harness.discovery.waiting import doing

THREADS = max(4, min(16, 4 * (os.cpu_count() or 1)))
"""More than cores, so that a slow disk reads several files at once."""

BLOCK = 1 << 22
TASK_FILES, TASK_BYTES = 64, 1 << 25
TRIES = 3
SILENT, LINE_EVERY, KEEP_EVERY = 2.0, 10.0, 5.0
"""Seconds: before anything is shown, between plain lines, and between batches of entries."""

_is_shown = True


@contextmanager
def showing_progress(shown: bool) -> Iterator[None]:
    """Show or hide progress of a long first look on stderr, inside the block."""
    global _is_shown
    before, _is_shown = _is_shown, shown
    try:
        yield
    finally:
        _is_shown = before


def read_all(stamps: Mapping[str, str]) -> Iterator[dict[str, IndexedDigest | None]]:
    """Read files and yield their entries every few seconds and at the end; None for what can't be read.

    `stamps` holds the stamp that each path had a moment ago.
    """
    if not stamps:
        return
    # by device and inode: neighbours are likely to be near each other on a disk
    places = sorted((_parse_stamp(stamp), path) for path, stamp in stamps.items())
    progress = _Progress(len(places), sum(size for (_, _, size), _ in places))
    if len(places) == 1 and places[0][0][2] <= BLOCK:
        path = places[0][1]
        yield {path: read_entry(path, progress)}
        return
    pool = ThreadPoolExecutor(THREADS)
    own = ExitStack()
    if _is_shown:
        own.enter_context(doing(""))  # the line below says it better
    try:
        left = {pool.submit(_read_task, task, progress) for task in _split_tasks(places)}
        done: dict[str, IndexedDigest | None] = {}
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
        own.close()
        progress.clear()


def read_entry(path: str, progress: _Progress | None = None) -> IndexedDigest | None:
    """Return a file's digest with the stamp that it had while it was read; None if it can't be read.

    The entry of a file that changes during every try is not settled, so nobody keeps it.
    """
    try:
        # O_NONBLOCK: do not wait for a writer if a pipe has just replaced the file
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    except (OSError, ValueError):
        return None
    try:
        for _ in range(TRIES):
            started, facts, digest = time.time_ns(), os.fstat(handle), hashlib.sha256()
            if not stat.S_ISREG(facts.st_mode):
                return None
            held = 0
            # no need to read on to the end: a file that has grown meanwhile has another stamp
            while held < facts.st_size and (block := os.read(handle, min(BLOCK, facts.st_size - held))):
                digest.update(block)
                held += len(block)
                if progress is not None:
                    progress.bytes += len(block)
            after = stamp_of(os.fstat(handle))
            if after == stamp_of(facts) and held == facts.st_size:
                return IndexedDigest(after, started, digest.hexdigest())
            os.lseek(handle, 0, os.SEEK_SET)
        return IndexedDigest(after, 0, digest.hexdigest())
    except OSError:
        return None
    finally:
        os.close(handle)


def _read_task(paths: Sequence[str], progress: _Progress) -> dict[str, IndexedDigest | None]:
    found = {}
    for path in paths:
        found[path] = read_entry(path, progress)
        progress.files += 1
    return found


def _parse_stamp(stamp: str) -> tuple[int, int, int]:
    """Return device, inode and size of a file from its stamp."""
    device, inode, size, *_ = stamp.split(" ", 3)
    return int(device), int(inode), int(size)


def _split_tasks(places: Sequence[tuple[tuple[int, int, int], str]]) -> Iterator[list[str]]:
    """Split the files into tasks of enough files or bytes each."""
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
    """Counts of what has been read. Threads add to them without a lock: they are shown, not used."""

    def __init__(self, count: int, total: int) -> None:
        self.count, self.total = count, total
        self.files = self.bytes = 0
        self._start = time.monotonic()
        self._next = self._start + SILENT
        self._drawn = False

    def show(self) -> None:
        """Draw or print the progress when due."""
        stream: TextIO | None = sys.stderr
        now = time.monotonic()
        if not _is_shown or stream is None or now < self._next:
            return
        text = (
            f"reading data files for their digests: {self.files:,} of {self.count:,} files, "
            f"{self.bytes / 1e9:.1f} of {self.total / 1e9:.1f} GB"
        )
        if stream.isatty():
            print(f"\r{text}\x1b[K", end="", file=stream, flush=True)
            self._drawn, self._next = True, now + 0.2
        else:
            print(text, file=stream, flush=True)
            self._next = now + LINE_EVERY

    def clear(self) -> None:
        """Remove the live line."""
        if self._drawn and sys.stderr is not None:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
