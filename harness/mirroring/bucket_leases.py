"""Leases in a bucket: of several machines without a common disk, one works at a cell at a time.

leases/<id>.json    who has the lease, written only where there is none; written anew as a sign of life
leases/<id>.<tag>   where a bucket can't compare and replace in one step: who replaces that state of the lease

Whoever asks judges silence by its own clock: a lease that has not changed for some minutes goes to the first that
replaces just that state of it. As with leases in a folder, a machine may come back after its silence, and then a
cell is done twice with one result.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

import orjson

from harness.errors import BucketError, StoreError
from harness.mirroring.breaker import Breaker
from harness.mirroring.bucket import Bucket, open_bucket
from harness.records.lease_holders import UNKNOWN, Holder, HolderProcess
from harness.records.store import ID, warn_once

FOLDER = "leases"
STALE_AFTER, BEAT_EVERY = 180.0, 30.0
ATTEMPTS = 4


@dataclass
class _Held:
    """A lease of ours: the tag of its object, and how often it was renewed."""

    tag: str
    beat: int = 0


class BucketLeases:
    """The leases of one worker in a bucket; used like `harness.records.leases.Leases`. Threads may share it.

    If the bucket fails, every lease is granted, with one warning: a cell done twice costs time, and no result.
    """

    def __init__(self, url: str, stale_after: float = STALE_AFTER, beat_every: float = BEAT_EVERY) -> None:
        self.url, self.stale_after, self.beat_every = url, stale_after, beat_every
        self._bucket: Bucket = open_bucket(url)
        self._process = HolderProcess.here()
        self._token = secrets.token_hex(8)
        self._held: dict[str, _Held] = {}
        self._seen: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._breaker = Breaker()
        self._thread: threading.Thread | None = None

    def take(self, id: str) -> Holder | None:
        """Return None if the lease is ours now, also if it was before, else who has it: ask again later.

        Raises StoreError for what is not an id.
        """
        name = _name(id)
        if id in self._held or self._breaker.is_open:
            return None
        try:
            holder = self._acquire(id, name)
        except BucketError as error:
            self._fail(error)
            return None
        self._breaker.succeed()
        return holder

    def give(self, id: str) -> None:
        """Let others have the lease, if it is still ours. Raises StoreError for what is not an id."""
        name = _name(id)
        with self._lock:
            held = self._held.pop(id, None)
            if held is None:
                return
            try:
                found = self._bucket.get(name)
                if found is not None and _token(found[0]) == self._token:
                    self._bucket.delete(name)
            except BucketError as error:  # it goes to others once they notice the silence
                self._fail(error)

    def close(self) -> None:
        """Give all leases, and end the signs of life."""
        self._ended.set()
        for id in list(self._held):
            self.give(id)

    def _acquire(self, id: str, name: str) -> Holder | None:
        for _ in range(ATTEMPTS):
            tag = self._bucket.put_new(name, self._content(0))
            if tag is None:
                found = self._bucket.get(name)
                if found is None:
                    continue
                data, tag = found
                if (
                    _token(data) != self._token
                ):  # else it is ours, and the answer to the first request was lost
                    if not self._is_stale(id, tag):
                        return _holder(data)
                    tag = self._steal(id, tag)
                    if tag is None:
                        continue
            with self._lock:
                self._held[id] = _Held(tag)
                self._seen.pop(id, None)
                self._start()
            return None
        return UNKNOWN

    def _is_stale(self, what: str, tag: str) -> bool:
        now = time.monotonic()
        seen, since = self._seen.get(what, (tag, now))
        since = since if seen == tag else now
        self._seen[what] = (tag, since)
        return now - since >= self.stale_after

    def _steal(self, id: str, tag: str) -> str | None:
        """Replace the lease of a silent holder by ours, and return its tag; None if another was faster."""
        name = _name(id)
        if self._bucket.replaces_in_order:
            return self._bucket.put_over(name, self._content(0), tag)
        # who has the lock of just this state of the lease may replace it, and nobody else
        lock = f"{FOLDER}/{id}.{hashlib.sha256(tag.encode()).hexdigest()[:16]}"
        if self._bucket.put_new(lock, self._content(0)) is None:
            other = self._bucket.head(lock)
            if other is not None and self._is_stale(lock, other.tag):
                self._bucket.delete(lock)
            return None
        stolen = self._bucket.put_over(name, self._content(0), tag)
        self._bucket.delete(lock)
        return stolen

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._beat, name="harness-bucket-leases", daemon=True)
            self._thread.start()

    def _beat(self) -> None:
        while not self._ended.wait(self.beat_every):
            for id in list(self._held):
                with self._lock:
                    held = self._held.get(id)
                    if held is not None:
                        self._renew(id, held)

    def _renew(self, id: str, held: _Held) -> None:
        try:
            held.beat += 1
            tag = self._bucket.put_over(_name(id), self._content(held.beat), held.tag)
            if tag is None:
                found = self._bucket.get(_name(id))
                if found is not None and _token(found[0]) == self._token:
                    tag = found[1]  # renewed, and the answer was lost
        except BucketError as error:
            self._fail(error)
            return
        if tag is None:
            self._held.pop(id, None)
            warn_once(f"{self.url}: after a silence of this machine, others took over what it works at")
        else:
            held.tag = tag

    def _content(self, beat: int) -> bytes:
        return orjson.dumps({"process": self._process, "token": self._token, "beat": beat})

    def _fail(self, error: BucketError) -> None:
        self._breaker.fail()
        warn_once(f"{error}; without its leases, other machines may do the same cells")


def _name(id: str) -> str:
    if not ID.fullmatch(id):
        raise StoreError(f"'{id[:80]}' is not the id of a cell")
    return f"{FOLDER}/{id}.json"


def _token(data: bytes) -> str | None:
    try:
        found = orjson.loads(data)["token"]
    except (ValueError, TypeError, KeyError):
        return None
    return found if isinstance(found, str) else None


def _holder(data: bytes) -> Holder:
    try:
        process = HolderProcess.parse(orjson.dumps(orjson.loads(data)["process"]))
    except (ValueError, TypeError, KeyError):
        process = None
    return process.holder if process is not None else UNKNOWN
