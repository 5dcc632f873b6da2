"""Files that are whole or absent: written next to their place, then renamed into it."""

from __future__ import annotations

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from harness.long_work import long_work

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger("harness")

TEMPORARY_PREFIX = ".partial-"

CHECK_EVERY = 0.3
"""Seconds between two looks, while waiting for a lock, at whether to go on waiting."""

_unwritable: set[Path] = set()
"""Cache folders that this process has already warned of."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or quota."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; rename it to `path` if the block succeeds.

    A kill at any moment leaves the old file or the new one, never a part; at most it leaves a file
    with `TEMPORARY_PREFIX`, which nobody reads.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; a store is shared, so set the permissions of a plain open()
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let one process or thread at a time into the block; all of them if the file system has no locks.

    There filelock, as in `cache_lock`, would make a soft lock, and wait forever for one that a kill left.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:  # closing alone would leave the lock to a process forked meanwhile, until that ends
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)


@contextmanager
def cache_lock(path: Path, check: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock of a cached file: of several processes that want it, one makes it and the others wait.

    If the cache can't be written, there is no lock, and each process makes its own content. While it waits,
    `check` is called several times per second; what it raises ends the waiting.
    """
    from filelock import FileLock, Timeout

    with ExitStack() as held:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path.with_suffix(".lock"))
            try:
                held.enter_context(lock.acquire(timeout=0))
            except Timeout:
                with long_work(f"waiting for another process that makes {path.name}"):
                    held.enter_context(_wait_for(lock, check))
        yield


def _wait_for(lock: BaseFileLock, check: Callable[[], None]) -> AbstractContextManager[object]:
    from filelock import Timeout

    while True:
        check()
        with suppress(Timeout):
            return lock.acquire(timeout=CHECK_EVERY)


def write_cached(
    path: Path, write: Callable[[Path], object], cache: Path | None = None, cure: str = "$HARNESS_CACHE"
) -> bool:
    """Write a file that can be made again; if that fails, warn once per `cache` folder and do without it.

    Return whether it was written.
    """
    try:
        with replacing(path) as temporary:
            write(temporary)
    except OSError as error:
        if (folder := cache or path.parent) not in _unwritable:
            said = f"can't be written ({error.strerror or error}), so nothing is kept there"
            log.warning("cache %s: %s; name another with %s", folder, said, cure)
        _unwritable.add(folder)
        return False
    return True


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_many(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write many small files, each whole or not at all, at a third of the cost of `write_bytes` for each.

    A plain open() already gives a file the permissions of its folder's others, and a process that makes up the
    names itself needs no search for a free one.
    """
    folders: set[Path] = set()
    own = f"{TEMPORARY_PREFIX}{os.getpid()}-{os.urandom(6).hex()}"
    for path, data in files:
        if path.parent not in folders:
            path.parent.mkdir(parents=True, exist_ok=True)
            folders.add(path.parent)
        temporary = path.parent / f"{own}{path.suffix}"
        try:
            with temporary.open("xb") as file:
                file.write(data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def clear_partial(folder: Path, older_than_seconds: float = 3600.0) -> int:
    """Remove what killed writers left under `folder`, and return the count; younger files may be in use."""
    import time

    removed = 0
    for leftover in _walk(folder):
        if not leftover.name.startswith(TEMPORARY_PREFIX):
            continue
        try:
            if time.time() - leftover.stat().st_mtime > older_than_seconds:
                leftover.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files under a folder, which others may be changing."""
    total = 0
    for file in _walk(folder):
        with suppress(FileNotFoundError):
            total += file.stat().st_size
    return total


def _walk(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder; `rglob` raises for a subfolder that another process removes meanwhile."""
    return (Path(place) / name for place, _, names in os.walk(folder) for name in names)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
