"""Shards at an address: an index of their headers, made once by range requests, and members read likewise.

The index is kept in the cache, by address, tag and size of the shard. The bodies of members are skipped.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_data.tar_index import TarMember, list_tar

if TYPE_CHECKING:
    from harness.mirroring.bucket import Bucket, Found

THREADS = 8
"""Shards that are indexed at once; each mostly waits for answers."""

LEAST, MOST = 4 << 10, 1 << 20
"""Bytes of a range request while an index is made: few where bodies are large, many where they are small."""

TRIES = 3
"""How often a range is asked for; faults of the connection itself are tried again below."""

VERSION = 2
"""Of the kept indices: 2 knows hard links."""


@dataclass(frozen=True)
class RemoteShard:
    """A tar file at an address. Two are equal if their addresses are."""

    bucket: Bucket
    key: str
    """Its name in the bucket, with folders."""

    def __str__(self) -> str:
        return f"{self.bucket.url}/{self.key}"

    @property
    def name(self) -> str:
        """Its name without folders, for remarks."""
        return self.key.rpartition("/")[2]

    @cached_property
    def facts(self) -> Found:
        """Its size and tag. Raises DataError if it is not there, or can't be reached."""
        from harness.mirroring.bucket import BucketError

        try:
            found = self.bucket.head(self.key)
        except BucketError as error:
            raise DataError(f"{self}: {self._why(error)}") from None
        if found is None:
            raise DataError(f"{self}: no such file there")
        return found

    @property
    def identity(self) -> str:
        """What tells it from another shard, without reading it: its tag and its size in bytes."""
        return f"{self.facts.tag} {self.facts.size}"

    def list_members(self) -> list[TarMember]:
        """Return its files in its order, from the cache or by reading its headers. Raises DataError as `list_tar` does."""
        from harness.records.files import write_cached

        path = self._index_path
        known = _read_index(path)
        if known is not None:
            return known
        with _RangeFile(self) as raw, io.BufferedReader(raw, tarfile.BLOCKSIZE) as file:
            members = list_tar(file, str(self))
        rows = [[member.name, member.offset, member.size] for member in members]
        text = json.dumps({"version": VERSION, "members": rows})
        write_cached(path, lambda file: file.write_text(text, encoding="ascii"))
        return members

    def read(self, offset: int, size: int, place: str) -> bytes:
        """Return bytes of it. Raises DataError, starting with `place`, if they can't be read, or it was replaced."""
        from harness.mirroring.bucket import BucketError

        if size == 0:
            return b""
        if offset + size > self.facts.size:
            raise DataError(f"{place}: the shard ends within it; upload the shard again")
        for attempt in range(TRIES):
            try:
                found = self.bucket.get_range(self.key, offset, size)
            except BucketError as error:
                if attempt == TRIES - 1 or "range requests" in str(error):
                    raise DataError(f"{place}: can't be read: {self._why(error)}") from None
                continue
            if found is None:
                raise DataError(f"{place}: its shard is not there any more")
            data, tag = found
            if tag != self.facts.tag:
                raise DataError(f"{place}: its shard was replaced meanwhile: run the same command again")
            if len(data) == size:
                return data
        raise DataError(f"{place}: the server answers with {len(data)} of {size} bytes")

    def _why(self, error: Exception) -> str:
        return str(error).removeprefix(f"{self.bucket.url}: ")

    @property
    def _index_path(self) -> Path:
        from harness.records.paths import cache_dir

        digest = hashlib.sha256(f"{self}\x1f{self.identity}".encode()).hexdigest()
        return cache_dir() / "shards" / digest[:2] / f"{digest[:32]}.json"


def index_all(shards: Sequence[RemoteShard]) -> None:
    """Make the indices of shards that have none yet, several at once. Raises DataError for the first that is broken."""
    from harness.long_work import long_work

    with ThreadPoolExecutor(THREADS) as pool:
        missing = [
            shard for shard, there in zip(shards, pool.map(_is_indexed, shards), strict=True) if not there
        ]
        if missing:
            with long_work(f"reading the headers of {len(missing)} shards of {missing[0].bucket.url}, once"):
                list(pool.map(RemoteShard.list_members, missing))


def _is_indexed(shard: RemoteShard) -> bool:
    return _read_index(shard._index_path) is not None


class _RangeFile(io.RawIOBase):
    """A shard as a file that is read forwards, with jumps: asks for more at once where jumps are short."""

    def __init__(self, shard: RemoteShard) -> None:
        self._shard = shard
        self._size = shard.facts.size
        self._place = 0
        self._start, self._held = 0, b""
        self._window = 16 << 10

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = base + offset
        return self._place

    def readinto(self, into: Any) -> int:
        wanted = min(len(into), self._size - self._place)
        if wanted <= 0:
            return 0
        if not self._start <= self._place < self._start + len(self._held):
            self._fetch(wanted)
        at = self._place - self._start
        data = self._held[at : at + wanted]
        into[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _fetch(self, wanted: int) -> None:
        jump = self._place - (self._start + len(self._held))
        if self._held:
            self._window = (
                min(self._window * 2, MOST) if 0 <= jump <= self._window else max(self._window // 2, LEAST)
            )
        length = min(max(self._window, wanted), self._size - self._place)
        self._held = self._shard.read(self._place, length, str(self._shard))
        self._start = self._place


def _read_index(path: Path) -> list[TarMember] | None:
    """Return the members in a kept index; None if there is none, or it is damaged."""
    try:
        found = json.loads(path.read_text(encoding="ascii"))
        if found["version"] != VERSION:
            return None
        members = [TarMember(name, offset, size) for name, offset, size in found["members"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    sound = all(isinstance(m.name, str) and type(m.offset) is type(m.size) is int for m in members)
    return members if sound else None
