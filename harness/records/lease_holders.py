"""Who holds a lease: the process that a worker's file describes, and whether it is gone."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from harness.records.provenance import now


@dataclass(frozen=True)
class Holder:
    """A worker as people see it: its host, process id and start (ISO 8601), and its Slurm job, if it is of one."""

    host: str
    pid: int
    started: str
    job: str | None = None

    def __str__(self) -> str:
        job = f", Slurm job {self.job}" if self.job else ""
        return f"process {self.pid} on host {self.host}{job}" if self.host else "an unknown process"


UNKNOWN = Holder("", 0, "")
"""The holder of a lease whose file is damaged, as after a power failure."""


@dataclass(frozen=True)
class HolderProcess:
    """A worker's process, with what tells it from another of the same number.

    Where there is no /proc, boot, namespace and ticks are None, and only its silence shows that it is gone.
    """

    holder: Holder
    boot: str | None = None
    """The id of the host's present start."""
    namespace: str | None = None
    """The space of process ids: two containers on one host number theirs independently."""
    ticks: int | None = None
    """When the process started, in clock ticks since the host did: numbers of ended processes are used again."""
    cluster: str | None = None
    restart: int = 0
    """How often Slurm has started the job again."""

    @classmethod
    def here(cls) -> HolderProcess:
        """Describe this process."""
        get, pid = os.environ.get, os.getpid()
        job, array, task = (get(f"SLURM_{name}") for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID"))
        restart = get("SLURM_RESTART_COUNT", "")
        started = _read_start(pid)
        return cls(
            Holder(socket.gethostname(), pid, now(), f"{array}_{task}" if array and task else job),
            _read_boot(),
            _read_namespace(),
            started[1] if started else None,
            get("SLURM_CLUSTER_NAME"),
            int(restart) if restart.isdecimal() else 0,
        )

    @classmethod
    def parse(cls, content: bytes) -> HolderProcess | None:
        """Return the process that a worker's file describes, or None if it is damaged."""
        try:
            parts = orjson.loads(content)
            found = cls(**{**parts, "holder": Holder(**parts["holder"])})
        except (ValueError, TypeError, KeyError):
            return None
        holder = found.holder
        texts = [holder.host, holder.started]
        perhaps = [holder.job, found.boot, found.namespace, found.cluster]
        numbers = [holder.pid, found.restart, *([] if found.ticks is None else [found.ticks])]
        right = (
            all(isinstance(text, str) for text in texts)
            and all(text is None or isinstance(text, str) for text in perhaps)
            and all(type(number) is int for number in numbers)
        )
        return found if right and holder.pid > 0 else None

    def to_json(self) -> bytes:
        """Return the content of the worker's file."""
        return orjson.dumps(self)

    def is_gone(self, here: HolderProcess) -> bool:
        """Return whether the process is known to have ended, as far as that can be told from the process `here`.

        It is so if process ids here are of the same space and none is this one, or if `here` belongs to a later
        start of the same Slurm job. False says nothing.
        """
        ours, theirs = here.holder, self.holder
        if (
            theirs.job
            and (theirs.job, self.cluster) == (ours.job, here.cluster)
            and self.restart < here.restart
        ):
            return True
        same = (theirs.host, self.boot, self.namespace) == (ours.host, here.boot, here.namespace)
        return same and None not in (self.boot, self.namespace) and not _runs(theirs.pid, self.ticks)


def _runs(pid: int, ticks: int | None) -> bool:
    """Return whether the process of a number runs and started at those ticks, as far as this system tells."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        pass  # another user's, whose /proc may be hidden
    found = _read_start(pid)
    if found is None:
        return True
    state, started = found
    # a killed process stays as a zombie until its parent asks for its exit status
    return state not in "ZX" and (ticks is None or started == ticks)


def _read_start(pid: int) -> tuple[str, int] | None:
    """Return state and start of a process from /proc (proc_pid_stat(5), fields 3 and 22); None without it."""
    try:
        # the name in parentheses may itself hold spaces and parentheses
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def _read_boot() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() or None
    return None


def _read_namespace() -> str | None:
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return None
