"""Digests of files, kept in one SQLite file in the cache.

The index only saves reading: if it is missing, damaged, locked or of another version, the files themselves
are read, and what it can't keep is read again next time.
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
"""Up to this many files are queried by name; more by the range that holds all of them."""

SECOND = 1_000_000_000
TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp BLOB, read INTEGER, digest BLOB, "
    "whole INTEGER) WITHOUT ROWID"
)
_warned: set[Path] = set()


def stamp_of(facts: os.stat_result) -> str:
    """Return device, inode, size, and times of change of the content and of the file, as text."""
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

        A file that changes twice within one tick of the file system's clock has the same times after both
        (git calls an entry made in between "racily clean"). Ticks are milliseconds, but 1 or 2 s on file
        systems without fractions of a second. A modification time ahead of the clock was set by hand.
        """
        modified, changed = map(int, self.stamp.rsplit(" ", 2)[1:])
        tick = SECOND // 10 if changed % SECOND else 3 * SECOND
        return changed < self.read - tick and not self.read - tick <= modified <= self.read


class DigestIndex:
    """The entries in a folder. No method raises, and none returns an entry that differs from the one kept."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME

    def known(self, paths: Sequence[str]) -> dict[str, IndexedDigest]:
        """Return the entries of those paths that have one, by one query."""
        if not self.path.is_file():
            return {}
        wanted = {os.fsencode(path): path for path in paths}
        found: dict[str, IndexedDigest] = {}

        def query(connection: sqlite3.Connection) -> None:
            for row in connection.execute(*_build_query(sorted(wanted))):
                path = wanted.get(row[0])
                if path is not None and (entry := _parse_row(row)):
                    found[path] = entry

        self._connect(query)
        return found

    def keep(self, entries: Mapping[str, IndexedDigest]) -> None:
        """Keep the entries; they replace those of the same paths."""
        if not entries:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._warn(error)
            return

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(TABLE)
            rows = (_build_row(os.fsencode(path), entry) for path, entry in sorted(entries.items()))
            connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
            connection.commit()

        if trouble := self._connect(write):
            self._warn(trouble)

    def _connect(self, work: Callable[[sqlite3.Connection], None]) -> Exception | None:
        """Call `work` with a connection, and return the error if there was one.

        A damaged file is removed: the next `keep` makes a new one.
        """
        try:
            import sqlite3
        except ImportError:  # a Python that was built without it
            return None
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=5)
            connection.text_factory = bytes
            connection.execute("PRAGMA synchronous = OFF")  # a power cut only makes files be read again
            work(connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:  # SQLite's messages may quote damaged texts
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

    def _warn(self, error: Exception) -> None:
        if self.path not in _warned:
            _warned.add(self.path)
            log.warning("cache %s: can't be written (%s), so every run reads all files", self.path, error)


def _is_damaged(error: Exception) -> bool:
    text = str(error).lower()
    if any(word in text for word in ("locked", "readonly", "unable to open", "full", "disk i/o")):
        return False
    return not text.startswith("no such table")  # another process has made the file, and kept nothing yet


def _build_query(paths: Sequence[bytes]) -> tuple[str, Sequence[bytes]]:
    columns = "SELECT path, stamp, read, digest, whole FROM files WHERE path"
    if len(paths) <= FEW:
        return f"{columns} IN ({','.join('?' * len(paths))})", paths
    return f"{columns} BETWEEN ? AND ?", (paths[0], paths[-1])


def _build_row(path: bytes, entry: IndexedDigest) -> tuple[bytes, bytes, int, bytes, int]:
    stamp, digest = entry.stamp.encode(), bytes.fromhex(entry.digest)
    return path, stamp, entry.read, digest, _checksum(path, stamp, entry.read, digest)


def _parse_row(row: Iterable[object]) -> IndexedDigest | None:
    """Return the entry of a row; None if any bit of it has changed since it was written."""
    path, stamp, read, digest, whole = row
    if not (isinstance(path, bytes) and isinstance(stamp, bytes) and isinstance(digest, bytes)):
        return None
    if not isinstance(read, int) or whole != _checksum(path, stamp, read, digest):
        return None
    return IndexedDigest(stamp.decode(), read, digest.hex())


def _checksum(path: bytes, stamp: bytes, read: int, digest: bytes) -> int:
    return zlib.crc32(b"\0".join((path, stamp, str(read).encode(), digest)))
