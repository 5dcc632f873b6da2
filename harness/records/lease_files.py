"""The files of leases: a worker's own, which shows signs of life, and what others see of it."""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from harness.records.lease_holders import UNKNOWN, Holder, HolderProcess
from harness.records.store import warn_once

SUFFIX = ".worker"

LOST = (errno.ENOENT, errno.ESTALE)
"""Error numbers of a file that someone else has removed, the second from NFS."""


class WorkerFile:
    """The own file of a worker, which shows signs of life until it is closed. Raises OSError."""

    def __init__(self, folder: Path, beat_every: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.process = HolderProcess.here()
        self.path = folder / f"{self.process.holder.pid}-{secrets.token_hex(4)}{SUFFIX}"
        self.held: set[Path] = set()
        with self.path.open(
            "xb"
        ) as file:  # closed before it is linked: then NFS shows others the whole of it
            file.write(self.process.to_json())
        self._descriptor = os.open(
            self.path, os.O_RDONLY
        )  # as long as it is open, no other file has its inode
        self.inode = _inode(os.fstat(self._descriptor))
        self._beaten = time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._keep_beating, args=[beat_every], name="harness leases", daemon=True
        )
        self._thread.start()

    def beat(self) -> None:
        """Show a sign of life, by the clock of the file system."""
        began = time.time()
        os.utime(self._descriptor if os.utime in os.supports_fd else self.path)
        self._beaten = began

    def is_silent(self, seconds: float) -> bool:
        """Return whether the last sign of life is so long ago; by the wall clock, which goes on in standby."""
        return abs(time.time() - self._beaten) > seconds

    def read_clock(self) -> int:
        """Return the time of the last sign of life in ns, by the clock of the file system."""
        return os.fstat(self._descriptor).st_mtime_ns

    def unlink(self, path: Path) -> bool:
        """Remove a link if it is to this file; return whether it was."""
        found = look(path)
        if found is None or found.inode != self.inode:
            return False
        path.unlink(missing_ok=True)
        return True

    def close(self) -> None:
        """Give all leases and remove the file, unless this process inherited it in a fork."""
        inherited = self.process.holder.pid != os.getpid()
        if not inherited:
            self._ended.set()
            if threading.current_thread() is not self._thread:  # where a collection of garbage can end it
                self._thread.join()
            with suppress(OSError):
                for path in self.held:
                    self.unlink(path)
        with suppress(OSError):  # a plugin may have closed all descriptors
            os.close(self._descriptor)
        if not inherited:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    def _keep_beating(self, every: float) -> None:
        while not self._ended.wait(every):
            try:
                self.beat()
            except OSError as error:
                warn_once(
                    f"{self.path}: no sign of life can be shown ({error.strerror or error}), so that "
                    "another run may do the same cells once more"
                )


@dataclass(frozen=True)
class SeenFile:
    """A file at one moment: inode, time in ns of the last sign of life, count of links, and what it says."""

    inode: tuple[int, int]
    beat: int
    links: int = field(compare=False)
    process: HolderProcess | None = field(compare=False)

    @property
    def holder(self) -> Holder:
        return self.process.holder if self.process else UNKNOWN

    def is_gone(self, here: HolderProcess) -> bool:
        return self.process is not None and self.process.is_gone(here)


def look(path: Path) -> SeenFile | None:
    """Return what a lease or a worker's file is now; None if it is gone. It is opened, since NFS remembers a stat."""
    try:
        with path.open("rb", buffering=0) as file:
            stat = os.fstat(file.fileno())
            return SeenFile(
                _inode(stat), stat.st_mtime_ns, stat.st_nlink, HolderProcess.parse(file.read(4096))
            )
    except OSError as error:
        if error.errno in LOST:
            return None
        raise


def _inode(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
