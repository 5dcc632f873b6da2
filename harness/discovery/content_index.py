"""Digests of files as they were when they were read, kept in one SQLite file in the cache.

The index only ever saves reading: what it can't tell (it is missing, damaged, locked, of another version)
is read from the file itself, and what it can't keep is read again next time.
"""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

log = logging.getLogger("harness")

NAME = "files-1.sqlite"
FEW = 500
"""Up to so many files are asked for by name; more by the range that holds all of them."""

SECOND = 1_000_000_000
TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp BLOB, read INTEGER, digest BLOB, "
    "whole INTEGER) WITHOUT ROWID"
)
_told: set[Path] = set()


def stamp_of(facts: os.stat_result) -> str:
    """Device, inode, size, time of change of the content and of the file, as text."""
    return f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}"


@dataclass(frozen=True, slots=True)
class IndexedDigest:
    """The digest of a file whose stamp was `stamp` before and after it was read, from the time `read` on."""

    stamp: str
    read: int
    digest: str

    @property
    def is_settled(self) -> bool:
        """Whether a later change of the file must change its stamp.

        A file that is changed twice within one tick of the file system's clock has the same times after
        both (git calls an entry made in between "racily clean"). Ticks are milliseconds, but 1 or 2 s
        where times have no fraction. A time of change ahead of the clock was set by hand, and says nothing.
        """
        modified, changed = map(int, self.stamp.rsplit(" ", 2)[1:])
        tick = SECOND // 10 if changed % SECOND else 3 * SECOND
        return changed < self.read - tick and not self.read - tick <= modified <= self.read


class Index:
    """The entries in a folder. No method raises, and none returns what was not kept as it stands."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def known(self, paths: Sequence[str]) -> dict[str, IndexedDigest]:
        """The entries of those paths that have one, by one query."""
        if not self.path.is_file():
            return {}
        wanted = {os.fsencode(path): path for path in paths}
        found: dict[str, IndexedDigest] = {}

        def look(connection: sqlite3.Connection) -> None:
            for row in connection.execute(*_query(sorted(wanted))):
                path = wanted.get(row[0])
                if path is not None and (entry := _entry(row)):
                    found[path] = entry

        self._use(look)
        return found

    def keep(self, entries: Mapping[str, IndexedDigest]) -> None:
        """Keep the entries, in place of any of the same paths."""
        if not entries:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._tell(error)
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(TABLE)
            rows = (_row(os.fsencode(path), entry) for path, entry in sorted(entries.items()))
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
            connection.commit()

        if trouble := self._use(write):
            self._tell(trouble)

    def _use(self, work: Callable[[sqlite3.Connection], None]) -> Exception | None:
        """Do something with the file, as far as that goes; what went wrong, when something did.

        A damaged file is taken away: the next one to keep something makes a new one.
        """
        try:
            import sqlite3
        except ImportError:  # a Python that was built without it
            return None
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=5)
            connection.text_factory = bytes
            connection.execute("PRAGMA synchronous = OFF")  # what a power cut damages is read again
            work(connection)
        except sqlite3.Error as error:
            if _is_damaged(error):
                self._drop()
            return error
        finally:
            if connection is not None:
                with suppress(sqlite3.Error):
                    connection.close()
        return None

    def _drop(self) -> None:
        for path in (self.path, self.path.with_name(f"{NAME}-journal")):
            with suppress(OSError):
                path.unlink()

    def _tell(self, error: Exception) -> None:
        if self.path not in _told:
            _told.add(self.path)
            log.warning("cache %s: can't be written (%s), so files are read anew each time", self.path, error)


def _is_damaged(error: sqlite3.Error) -> bool:
    text = str(error).lower()
    if any(word in text for word in ("locked", "readonly", "unable to open", "full", "disk i/o")):
        return False
    return not text.startswith("no such table")  # made by somebody who has kept nothing yet


def _query(paths: Sequence[bytes]) -> tuple[str, Sequence[bytes]]:
    columns = "SELECT path, stamp, read, digest, whole FROM files WHERE path"
    if len(paths) <= FEW:
        return f"{columns} IN ({','.join('?' * len(paths))})", paths
    return f"{columns} BETWEEN ? AND ?", (paths[0], paths[-1])


def _row(path: bytes, entry: IndexedDigest) -> tuple[bytes, bytes, int, bytes, int]:
    stamp, digest = entry.stamp.encode(), bytes.fromhex(entry.digest)
    return path, stamp, entry.read, digest, _checksum(path, stamp, entry.read, digest)


def _entry(row: Iterable[object]) -> IndexedDigest | None:
    """The entry of a row; None when a bit of it is not as it was written."""
    path, stamp, read, digest, whole = row
    if not (isinstance(path, bytes) and isinstance(stamp, bytes) and isinstance(digest, bytes)):
        return None
    if not isinstance(read, int) or whole != _checksum(path, stamp, read, digest):
        return None
    return IndexedDigest(stamp.decode(), read, digest.hex())


def _checksum(path: bytes, stamp: bytes, read: int, digest: bytes) -> int:
    return zlib.crc32(b"\0".join((path, stamp, str(read).encode(), digest)))
