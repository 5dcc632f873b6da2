"""Digests of the bytes of files, remembered for as long as a file is untouched.

Users' data is known by its content: a file of the same name, size and even time of change may hold something
else, and a moved or copied folder is the same data. The first look reads every file once; if the file's
device, inode, size and both times are unchanged, a later look is a stat.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from harness.discovery.content_index import DigestIndex, IndexedDigest, stamp_of
from harness.discovery.content_reading import read_all
from harness.errors import DataError
from harness.records.paths import cache_dir

UNREADABLE = "unreadable"
"""In place of the digest of a file that is missing, not a plain file, or can't be read."""

TRUST_MTIME = "HARNESS_TRUST_MTIME"
"""The environment variable that makes files known by sizes and times, in worker processes too."""

BY_TIMES = "known by names, sizes and times of change, not by content (--trust-mtime)"
"""The remark on a part whose files were not read."""

REMEMBERED = 250_000
"""How many entries stay in memory for the next look of the same process."""

_memory: dict[str, IndexedDigest] = {}
_unread: ContextVar[list[bool] | None] = ContextVar("unread", default=None)


def content_digests(files: Iterable[Path | str]) -> list[str]:
    """Return the SHA-256 of each file's bytes, in their order; `unreadable` for one that can't be read.

    Only files that are new or have been touched since the last look are read, by several threads at
    once. Under `--trust-mtime` no file is read: its size and time of change replace its content.
    """
    paths = [os.path.abspath(file) for file in files]  # noqa: PTH100 (a Path per file costs 5 times as much)
    if trusts_mtime():
        if (noticed := _unread.get()) is not None and paths:
            noticed.append(True)
        return [_describe_times(path) for path in paths]
    known = _find_digests(paths)
    return [known[path] for path in paths]


def content_digest(file: Path | str) -> str:
    """Return one file's digest, as `content_digests` does. Raises DataError if the file can't be read."""
    return _require_readable(file, content_digests([file])[0])


def bytes_digest(file: Path | str) -> str:
    """Return the SHA-256 of a file's bytes, under `--trust-mtime` too. Raises DataError if it can't be read."""
    path = os.path.abspath(file)  # noqa: PTH100
    return _require_readable(file, _find_digests([path])[path])


def _require_readable(file: Path | str, digest: str) -> str:
    if digest == UNREADABLE:
        try:
            with open(file, "rb"):  # noqa: PTH123
                reason = "not a plain file"
        except OSError as error:
            reason = error.strerror or str(error)
        raise DataError(f"{file}: can't be read ({reason})")
    return digest


def trusts_mtime() -> bool:
    """Whether files are known by sizes and times of change, as `--trust-mtime` says."""
    return os.environ.get(TRUST_MTIME, "").strip().lower() not in ("", "0", "false", "no")


@contextmanager
def trusting_mtime(trust: bool | None) -> Iterator[None]:
    """Know files by times (or by content, if False) inside the block; None changes nothing."""
    before = os.environ.get(TRUST_MTIME)
    if trust is not None:
        os.environ[TRUST_MTIME] = "1" if trust else ""
    try:
        yield
    finally:
        if trust is not None:
            os.environ.pop(TRUST_MTIME, None)
            if before is not None:
                os.environ[TRUST_MTIME] = before


@contextmanager
def noticing_unread() -> Iterator[list[bool]]:
    """Yield a list that is not empty after the block if files were known by their times alone in it."""
    noticed: list[bool] = []
    token = _unread.set(noticed)
    try:
        yield noticed
    finally:
        _unread.reset(token)
        if noticed and (outer := _unread.get()) is not None:
            outer.append(True)


def _find_digests(paths: Iterable[str]) -> dict[str, str]:
    """Return the digest of each path: from memory, from the index, or by reading it."""
    stamps = {path: _stamp(path) for path in dict.fromkeys(paths)}
    found = {path: UNREADABLE for path, stamp in stamps.items() if stamp is None}
    found |= _match_untouched(stamps, _memory)
    missing = [path for path in stamps if path not in found]
    index = DigestIndex(cache_dir() / "content")
    if missing:
        kept = index.known(missing)
        _remember(kept)
        found |= _match_untouched(stamps, kept)
    for read in read_all({p: stamp for p, stamp in stamps.items() if p not in found and stamp}):
        found |= {path: UNREADABLE if entry is None else entry.digest for path, entry in read.items()}
        settled = {path: entry for path, entry in read.items() if entry is not None and entry.is_settled}
        index.keep(settled)
        _remember(settled)
    return found


def _match_untouched(
    stamps: Mapping[str, str | None], entries: Mapping[str, IndexedDigest]
) -> dict[str, str]:
    """Return the digests of the paths whose files have the stamps of their entries."""
    return {
        path: entry.digest
        for path, stamp in stamps.items()
        if (entry := entries.get(path)) is not None and entry.stamp == stamp and entry.is_settled
    }


def _remember(entries: Mapping[str, IndexedDigest]) -> None:
    if len(_memory) + len(entries) > REMEMBERED:
        _memory.clear()
    _memory.update(entries)


def _stamp(path: str) -> str | None:
    """Return the stamp of a plain file, which every change of it changes; None for anything else."""
    try:
        facts = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return None
    return stamp_of(facts) if stat.S_ISREG(facts.st_mode) else None


def _describe_times(path: str) -> str:
    try:
        facts = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return UNREADABLE
    return f"times {facts.st_size} {facts.st_mtime_ns}"
