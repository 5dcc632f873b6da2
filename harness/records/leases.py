"""Leases: of several workers on one folder, each cell (or block) has one at a time, also across hosts.

<folder>/<pid>-<8 digits>.worker  a worker's own file, which says who it is; its time is renewed as a sign of life
<folder>/<id>.lease               a hard link to the file of the worker that has the lease
<folder>/<id>.lease.<inode>       a link likewise: the worker that is replacing the lease of that inode

A link either comes about or fails, on NFS too, where locks of files may be missing. All leases of a worker are
one inode, so that one sign of life renews them all. A worker without any for long is taken for dead, and its
leases go to whoever asks; that it comes back afterwards is possible, and then a cell is done twice, with one
result. So leases save work, and the results do not rest on them.
"""

from __future__ import annotations

import os
import re
import tempfile
import threading
import time
import weakref
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.errors import StoreError
from harness.records.files import TEMPORARY_PREFIX
from harness.records.lease_files import LOST, SeenFile, WorkerFile, look
from harness.records.lease_files import SUFFIX as WORKER
from harness.records.lease_holders import UNKNOWN, HolderProcess
from harness.records.lease_holders import Holder as Holder
from harness.records.store import ID as RECORD
from harness.records.store import warn_once

FOLDER = "leases"
"""The folder of a store's leases."""

STALE_AFTER = 180.0
"""Seconds without a sign of life after which a worker counts as dead."""

BEAT_EVERY = 30.0
"""Seconds between two signs of life."""

FORGOTTEN = 3600.0
"""Seconds without a sign of life after which what a worker left behind is removed, from whatever host."""

ID = re.compile(rf"{RECORD.pattern}(-[0-9]{{1,9}})?")
"""Ids of cells, and of blocks of features."""

LEASE = ".lease"
REPLACING = re.compile(rf"{ID.pattern}\{LEASE}(\.[0-9a-f]+)+")

ATTEMPTS = 100
"""Looks at a lease that changes hands all the time, before the caller must ask again."""


@dataclass(frozen=True)
class Lease:
    """A lease of a folder: of what, whose, seconds since its worker's last sign of life, and whether that is dead."""

    id: str
    holder: Holder
    seconds: float
    stale: bool


class Leases:
    """The leases of one worker in a folder: cells (or blocks) that only it works at.

    A forked or spawned copy is a worker of its own, without the leases of the first. Threads may share it. What
    was not given is given when the object or its process ends, or goes to others as soon as they notice.
    """

    def __init__(
        self, folder: Path, stale_after: float = STALE_AFTER, beat_every: float = BEAT_EVERY
    ) -> None:
        self.folder, self.stale_after, self.beat_every = folder, stale_after, beat_every
        self._off = False
        self._start()

    def __reduce__(self) -> tuple[type[Leases], tuple[Path, float, float]]:
        return Leases, (self.folder, self.stale_after, self.beat_every)

    def take(self, id: str) -> Holder | None:
        """Return None if the lease is ours now, also if it was before, else who has it.

        Ask again later in that case: silence is judged by this object's own clock, from the first call on. In a
        folder that takes no hard links, a warning says so once, and every lease is granted. Raises StoreError for
        what is not an id.
        """
        path = self._path(id)
        with self._here():
            if self._off:
                return None
            try:
                if (holder := self._acquire(path)) is None:
                    self._own_file().held.add(path)
                return holder
            except OSError as error:
                self._off = True
                warn_once(
                    f"{self.folder}: leases can't be kept there ({error.strerror or error}), so that runs at "
                    "the same time may do the same cells twice"
                )
                return None

    def give(self, id: str) -> None:
        """Let others have the lease, if it is still ours. Raises StoreError for what is not an id."""
        path = self._path(id)
        with self._here():
            own = self._own
            if own is None or path not in own.held:
                return
            own.held.discard(path)
            with suppress(OSError):
                if not own.is_silent(self.stale_after / 2):
                    own.unlink(path)
                elif self._acquire(lock := _lock_path(path, own.inode)) is None:
                    # someone may be replacing it, and the lease could be theirs between a look and its removal
                    own.unlink(path)
                    own.unlink(lock)

    def close(self) -> None:
        """Give all leases, end the signs of life, and remove what dead workers left in the folder."""
        with self._here():
            for path in list(self._own.held) if self._own else ():
                self.give(path.name.removesuffix(LEASE))
            if self._own is not None:
                with suppress(OSError):
                    self._sweep()
            self._drop_own()

    def _start(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._own: WorkerFile | None = None
        self._silence: dict[tuple[int, int], tuple[int, float]] = {}

    def _here(self) -> threading.RLock:
        """Return the lock of this process: a forked one may have inherited a taken lock, and leases not its own."""
        if self._pid != os.getpid():
            self._start()
        return self._lock

    def _path(self, id: str) -> Path:
        if not ID.fullmatch(id):
            raise StoreError(f"{self.folder}: '{id[:80]}' is not the id of a cell or block")
        return self.folder / f"{id}{LEASE}"

    def _own_file(self) -> WorkerFile:
        if self._own is None:
            self._own = WorkerFile(self.folder, self.beat_every)
            self._finalizer = weakref.finalize(self, self._own.close)
        return self._own

    def _drop_own(self) -> None:
        if self._own is not None:
            self._own = None
            self._finalizer()

    def _acquire(self, path: Path) -> Holder | None:
        """Link the own file to `path`, in place of a dead worker's; return None, or whose it is. Raises OSError."""
        for _ in range(ATTEMPTS):
            own = self._own_file()
            try:
                os.link(own.path, path)
                return None
            except FileExistsError:
                pass
            except OSError as error:
                if error.errno not in LOST:
                    raise
                self._drop_own()  # someone removed it
                continue
            found = look(path)
            if found is None:
                continue
            if found.inode == own.inode:  # taken before; or now, and NFS lost the reply
                return None
            if not self._is_stale(found):
                return found.holder
            if (thief := self._replace(path, found)) is not None:
                return thief
        return UNKNOWN

    def _is_stale(self, found: SeenFile) -> bool:
        if found.is_gone(self._own_file().process):
            return True
        now = time.monotonic()
        beat, since = self._silence.get(found.inode, (found.beat, now))
        if beat != found.beat:
            since = now
        self._silence[found.inode] = (found.beat, since)
        return now - since >= self.stale_after

    def _replace(self, path: Path, found: SeenFile) -> Holder | None:
        """Put the own file in the place of a dead worker's; return whose turn it is if another is at it.

        Only who has the lock of this very lease may do so, so that a slower thief can't replace the faster
        one; and `path` exists at any moment, so that nobody else can take it meanwhile. After None, look again.
        """
        lock = _lock_path(path, found.inode)
        if (thief := self._acquire(lock)) is not None:
            return thief
        if look(path) == found:
            with suppress(FileNotFoundError):  # done already, and NFS lost the reply
                os.replace(lock, path)  # noqa: PTH105
        else:
            self._own_file().unlink(lock)
        return None

    def _seize(self, path: Path, found: SeenFile) -> bool:
        """Remove a file of another worker's that is still as found; return whether it was."""
        with self._here():
            self._own_file()
            return self._replace(path, found) is None and self._own_file().unlink(path)

    def _sweep(self) -> None:
        """Remove what dead workers left, but for their leases, which may still be asked for."""
        own = self._own_file()
        own.beat()
        for path in list(self.folder.iterdir()):
            is_worker = path.suffix == WORKER and path != own.path
            found = look(path) if is_worker or REPLACING.fullmatch(path.name) else None
            if found is None:
                continue
            if found.is_gone(own.process) or own.read_clock() - found.beat > FORGOTTEN * 1e9:
                if not is_worker:
                    self._seize(path, found)
                elif found.links == 1:
                    path.unlink(missing_ok=True)


def list_leases(folder: Path) -> list[Lease]:
    """Return the leases in a folder, by id; ages are by the clock of its file system. Raises StoreError."""
    return [lease for lease, _ in _read_leases(folder)]


def clear_leases(
    folder: Path, everything: bool = False, of: tuple[str, int] | None = None, jobs: Collection[str] = ()
) -> list[Lease]:
    """Remove the leases of dead workers, or all of them, and return those removed.

    `of` is a host and a process there that the caller knows to be gone, and `jobs` are Slurm jobs that are: their
    leases go as well. A worker that has lost its lease so goes on, while another may take the same cell. Raises
    StoreError if the folder can't be read or written.
    """
    if not folder.is_dir():
        return []
    thief = Leases(folder)
    try:
        return [
            lease
            for lease, found in _read_leases(folder)
            if (
                everything
                or lease.stale
                or (lease.holder.host, lease.holder.pid) == of
                or lease.holder.job in jobs
            )
            and thief._seize(folder / f"{lease.id}{LEASE}", found)
        ]
    except OSError as error:
        raise StoreError(f"{folder}: leases can't be removed: {error.strerror or error}") from None
    finally:
        thief.close()


def _read_leases(folder: Path) -> list[tuple[Lease, SeenFile]]:
    files = folder.glob(f"*{LEASE}") if folder.is_dir() else ()
    paths = sorted((path for path in files if ID.fullmatch(path.stem)), key=lambda path: path.stem)
    if not paths:
        return []
    leases, here, now = [], HolderProcess.here(), _read_clock(folder)
    for path in paths:
        try:
            found = look(path)
        except OSError as error:
            raise StoreError(f"{path}: can't be read: {error.strerror or error}") from None
        if found is not None:
            seconds = max(0.0, (now - found.beat) / 1e9)
            stale = found.is_gone(here) or seconds >= STALE_AFTER
            leases.append((Lease(path.stem, found.holder, seconds, stale), found))
    return leases


def _read_clock(folder: Path) -> int:
    """Return the time in ns by the clock of a folder's file system, or by that of this host if it can't be written."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=TEMPORARY_PREFIX) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return time.time_ns()


def _lock_path(path: Path, inode: tuple[int, int]) -> Path:
    return path.with_name(f"{path.name}.{inode[1]:x}")
