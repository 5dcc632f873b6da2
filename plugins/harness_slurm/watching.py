"""What becomes of a job's cells: from `squeue`'s text to states, and from states to decisions. Pure functions."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness_slurm.event_files import Account

COLUMNS = "Name:.64,ArrayJobID:.24,ArrayTaskID:.24,State:.24,exit_code:.24,Reason:.160"
"""What `squeue` is asked for; a reason may have blanks, so it stands last."""

OVER = frozenset(
    [
        "COMPLETED",
        "CANCELLED",
        "FAILED",
        "TIMEOUT",
        "NODE_FAIL",
        "PREEMPTED",
        "BOOT_FAIL",
        "DEADLINE",
        "OUT_OF_MEMORY",
    ]
)
"""States of jobs that have ended; any other, known or not, is of a job that may still run."""

WAITING = frozenset(
    ["PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "SPECIAL_EXIT", "CONFIGURING", "RESV_DEL_HOLD"]
)
"""States of jobs that wait for their start."""

USUAL = frozenset(["None", "Resources", "Priority", "JobArrayTaskLimit", "BeginTime", "Dependency"])
"""Reasons for waiting that pass by themselves."""

DEATHS = 2
"""Jobs that may die with a cell before it counts as the cause."""


@dataclass(frozen=True)
class Seen:
    """A task as Slurm tells: its state, wait status (None if unknown), and the reason why it waits."""

    state: str
    status: int | None = None
    reason: str = ""

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in OVER


@dataclass
class Queue:
    """What `squeue` tells: ids by the arrays' names, and tasks by name and number."""

    ids: dict[str, str] = field(default_factory=dict)
    tasks: dict[tuple[str, int], Seen] = field(default_factory=dict)


def parse_queue(text: str) -> Queue:
    """Return what `squeue --array --Format COLUMNS` printed; lines of another form are left out.

    >>> parse_queue("harness-x-1  8  3  FAILED  9  NonZeroExitCode").tasks
    {('harness-x-1', 3): Seen(state='FAILED', status=9, reason='NonZeroExitCode')}
    """
    queue = Queue()
    for line in text.splitlines():
        columns = line.split(None, 5)
        if len(columns) < 5 or not columns[1].isdecimal() or not columns[2].isdecimal():
            continue
        name, id, task, state, status = columns[:5]
        queue.ids[name] = id
        reason = columns[5].strip() if len(columns) > 5 else ""
        queue.tasks[name, int(task)] = Seen(state.rstrip("+"), _parse_status(status), reason)
    return queue


def _parse_status(text: str) -> int | None:
    """Return a wait status, which versions of Slurm write as one number or as `code:signal`."""
    code, _, killed = text.partition(":")
    if not code.isdecimal() or (killed and not killed.isdecimal()):
        return None
    return int(code) << 8 | int(killed) if killed else int(code)


def describe_end(seen: Seen | None) -> str:
    """Return how a job ended, in words.

    >>> describe_end(Seen("FAILED", 9)), describe_end(Seen("FAILED", 768)), describe_end(Seen("NODE_FAIL"))
    ('killed by SIGKILL', 'exit status 3', 'NODE_FAIL')
    """
    if seen is None:
        return "lost, Slurm doesn't know it any more"
    if seen.state not in ("FAILED", "COMPLETED") or seen.status is None:
        return seen.state
    if os.WIFSIGNALED(seen.status):
        number = os.WTERMSIG(seen.status)
        try:
            return f"killed by {signal.Signals(number).name}"
        except ValueError:  # not known on this machine
            return f"killed by signal {number}"
    return f"exit status {os.WEXITSTATUS(seen.status)}"


@dataclass
class Decision:
    """What to do with the cells that an ended job left: each is in exactly one of the three."""

    failed: dict[str, str] = field(default_factory=dict)
    """Cells that get a failed record, with its reason."""
    again: list[str] = field(default_factory=list)
    """Cells to be submitted again, with others."""
    alone: list[str] = field(default_factory=list)
    """Cells to be submitted again, each in a job of its own, since they may be the cause."""
    deaths: Counter[str] = field(default_factory=Counter)
    """Jobs that died with a cell, to be added to those counted before."""
    lost: str = ""
    """How the job died, if it did."""


def decide(
    seen: Seen | None,
    account: Account,
    left: Sequence[str],
    deaths: Mapping[str, int],
    job: str,
    minutes: int | None,
    trace: str,
    cancelled: bool = True,
) -> Decision:
    """Return what becomes of the cells that a job left without a record.

    Args:
        seen: the job's last state; None if Slurm no longer knows it.
        account: what its events tell.
        left: the cells' ids, in their order.
        deaths: jobs that died with each cell before.
        job: its id, for messages.
        minutes: its time limit, if one was asked for.
        trace: where its log lies, or that there is none, for messages.
        cancelled: whether cells of a cancelled job fail; else they are run again.
    """
    if account.ended:  # it left them on purpose
        return Decision(again=list(left))
    begun = account.begun
    started = [cell for cell in left if cell in account.started]
    others = [cell for cell in left if cell not in account.started]
    if seen is None and not begun:  # a waiting task of an array that is cancelled alone leaves no trace
        seen = Seen("CANCELLED")
    state = seen.state if seen else ""
    end = describe_end(seen)
    if state == "CANCELLED":
        reason = f"its Slurm job {job} was cancelled: the same command runs it again"
        return Decision(failed=dict.fromkeys(left, reason)) if cancelled else Decision(again=list(left))
    if state in ("TIMEOUT", "DEADLINE") and begun:
        return _decide_timeout(account, started, others, minutes, job, trace)
    if state == "PREEMPTED" or (account.stopped and seen is None):  # no fault of the cells
        return Decision(again=list(left), lost=end)
    counted = account.deaths.copy()
    if started:
        suspects, again = started, others
    elif account.made or account.started:  # between two cells
        suspects, again = [], others
    elif begun and end.startswith("killed"):  # maybe by its first cell, before that was told
        suspects, again = others[:1], others[1:]
    else:  # it may be the node, or the cells as a whole
        suspects, again = [], others
        counted.update(others)
    counted.update(suspects)
    counted = Counter({cell: number for cell, number in counted.items() if cell in left})
    total = {cell: deaths.get(cell, 0) + counted[cell] for cell in left}
    condemned = [cell for cell in left if total[cell] >= DEATHS]
    what = "died with it" if begun else "ended before it ran"
    reason = f"{DEATHS} Slurm jobs {what}, the last was {job}: {end}; {trace}"
    return Decision(
        failed=dict.fromkeys(condemned, reason),
        again=[cell for cell in again if cell not in condemned],
        alone=[cell for cell in suspects if cell not in condemned],
        deaths=counted,
        lost=end,
    )


def _decide_timeout(
    account: Account, started: list[str], others: list[str], minutes: int | None, job: str, trace: str
) -> Decision:
    """Return what becomes of cells whose job reached its time limit.

    A cell that had the whole time for itself needs more; one that began later gets a job of its own.
    """
    if account.made:
        return Decision(again=others, alone=started, lost="TIMEOUT")
    limit = "its partition's time limit" if minutes is None else count(minutes, "minute")
    if started:
        reason = f"needs more than {limit}, the time limit of Slurm job {job}: give more minutes; {trace}"
        return Decision(failed=dict.fromkeys(started, reason), again=others, lost="TIMEOUT")
    reason = f"Slurm job {job} began no cell within {limit}; {trace}"
    return Decision(failed=dict.fromkeys(others, reason), lost="TIMEOUT")


def explain_waiting(seen: Iterable[Seen | None]) -> list[str]:
    """Return the reasons for which jobs wait that may not pass by themselves, most frequent first."""
    reasons = Counter(each.reason.strip("()") for each in seen if each and each.state in WAITING)
    return [reason for reason, _ in reasons.most_common() if reason.partition(",")[0] not in USUAL | {""}]


def count(number: int, what: str) -> str:
    """Return a number of things in words.

    >>> count(1, "job"), count(2, "job")
    ('1 job', '2 jobs')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def count_live(seen: Iterable[Seen | None]) -> tuple[int, int]:
    """Return how many tasks wait and how many run; one that `squeue` has not shown yet waits."""
    states = [each.state if each else "PENDING" for each in seen if each is None or not each.over]
    waiting = sum(state in WAITING for state in states)
    return waiting, len(states) - waiting
