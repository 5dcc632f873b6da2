"""Files that are whole or absent: written next to their place, then renamed into it."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_PREFIX = ".partial-"

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
        # mkstemp makes files private; a store is shared, so give it what a plain open() would
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process or thread at a time in the block; all that come where there are no file locks.

    There filelock, which the caches use, would make a soft lock, and wait for ever for one that a kill left.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:  # closing alone leaves it to a process that was forked meanwhile, for as long as that lives
            with suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a whole file at once, atomically."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def clear_partial(folder: Path, older_than_seconds: float = 3600.0) -> int:
    """Remove what killed writers left under `folder`, and return the count; younger files may be in use."""
    import time

    removed = 0
    for leftover in folder.rglob(f"{TEMPORARY_PREFIX}*"):
        try:
            if time.time() - leftover.stat().st_mtime > older_than_seconds:
                leftover.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value
