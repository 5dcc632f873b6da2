"""What runs inside a job: `python -m harness_slurm.job FOLDER`, with the number of its task in the environment.

The cells run in worker processes of the job, so that one that crashes costs only itself. At Slurm's notice
(SIGUSR2) no further cell begins, and the job ends well with some cells left; SIGTERM ends it at once, since
it reaches the workers, too.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.contract.cells import Cell
from harness.errors import HarnessError
from harness.planning.grouping import seed_groups
from harness.records.store import Store
from harness.running.executors.dispatcher import Dispatcher
from harness.running.executors.process_slots import ProcessPlace, ProcessSlot
from harness.running.executors.processes import choose_gpus
from harness.running.executors.slots import Message
from harness.running.executors.written_cells import read_cells
from harness.running.lost_cells import record_lost_cell
from harness.running.visible_devices import Gpu
from harness.running.worker import RunSettings
from harness_slurm.event_files import BEGUN, ENDED, RECORDED, STOPPED, Account, EventReader, EventWriter
from harness_slurm.notes import Folder
from harness_slurm.watching import DEATHS

JOB = "_".join(os.environ.get(f"SLURM_ARRAY_{name}_ID", "?") for name in ("JOB", "TASK"))
"""The id of this job, for people."""


PATIENCE = 240.0
"""Seconds for which a job watches cells that other machines are at: leases in a bucket go over after three minutes of silence,
which only the worker that asks can notice. Those in the store are judged by the command that watches."""


class JobPlace(ProcessPlace):
    """Worker processes of a job, which messages name with the job and its log."""

    def __init__(self, count: int, settings: RunSettings, gpus: Sequence[Gpu], log: Path) -> None:
        super().__init__(count, settings, gpus)
        self._log = log

    def start(self, number: int, inbox: Callable[[Message], None]) -> ProcessSlot:
        """Start the process of a slot."""
        slot = super().start(number, inbox)
        slot.where += f" of Slurm job {JOB} (log: {self._log})"
        return slot


class Progress:
    """What the job has done so far: told to the file of its events, and asked for by its dispatcher.

    `patience` is for how long it stays, in seconds, if others are at all cells that are left.
    """

    def __init__(self, writer: EventWriter, patience: float = 0.0) -> None:
        self.writer, self.patience = writer, patience
        self.open: dict[str, Cell] = {}
        """Cells without a record."""
        self.elsewhere: set[str] = set()
        self.started = self.noticed = False
        self._idle_since: float | None = None

    def tell(self, event: str, *, cell: Cell, **facts: Any) -> None:
        """Write an event of a cell; positions are for the command that watches to say."""
        if event == "cell_started":
            self.started, facts = True, {}
            self.elsewhere.discard(cell.id)
        elif event == "cell_elsewhere":
            self.elsewhere.add(cell.id)
        self.writer.add(event, cell.id, **facts)

    def notice(self, *_: object) -> None:
        """Take in Slurm's notice that the time is nearly over."""
        self.noticed = True

    def record(self, cell: Cell) -> None:
        """Write that a cell has its record."""
        self.open.pop(cell.id, None)
        self.writer.add(RECORDED, cell.id)

    def enough(self) -> bool:
        """Return whether no further cell is to begin: after Slurm's notice, or if others stay at all that are left.

        One cell begins in any case, so that jobs with a short limit get on.
        """
        if not self.open.keys() <= self.elsewhere:
            self._idle_since = None
            return self.noticed and self.started
        now = time.monotonic()
        self._idle_since = now if self._idle_since is None else self._idle_since
        return self.noticed or now - self._idle_since >= self.patience


def main(arguments: list[str]) -> int:
    """Run the cells of this task; return the exit status."""
    folder, number = Folder(Path(arguments[0])), int(os.environ["SLURM_ARRAY_TASK_ID"])
    deaths = count_deaths(folder.events(number))
    writer = EventWriter(folder.events(number))
    progress = Progress(writer)

    def stop(*_: object) -> None:
        writer.add(STOPPED)
        os._exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGUSR2, progress.notice)  # ignored so far, see the batch script
    with closing(writer):
        writer.add(BEGUN)
        content = json.loads(folder.cells(number).read_bytes())
        sys.argv = content["command"]  # which records name
        settings = read_settings(content["settings"])
        progress.patience = 0.0 if settings.remote is None else PATIENCE
        progress.open = {cell.id: cell for cell in read_cells(content)}
        skip_done(progress, settings, content["since"])
        fail_deadly(progress, settings, deaths, content["since"])
        if progress.open:
            run_cells(progress, settings, content["since"], folder.log(number))
        writer.add(ENDED)
    return 0


def read_settings(content: Mapping[str, Any]) -> RunSettings:
    """Return the settings that the submitting command wrote, for the CPUs of this job."""
    paths = {name: Path(content[name]) for name in ("store", "cache") if content[name] is not None}
    return RunSettings(**{**content, **paths})


def skip_done(progress: Progress, settings: RunSettings, since: int) -> None:
    """Announce the records that earlier jobs have made of this one's cells."""
    store = Store(settings.store)
    for cell in list(progress.open.values()):
        written = store.date(cell.id)
        if written is None or (settings.fresh and written <= since):
            continue
        if (record := store.read(cell.id)) is not None and record.whole:
            progress.record(cell)


def count_deaths(events: Path) -> Mapping[str, int]:
    """Return for each cell how many earlier starts of this job died with it, from what these wrote."""
    account = Account()
    account.add([*EventReader(events).read(), (BEGUN, "", {})])
    return account.deaths


def fail_deadly(progress: Progress, settings: RunSettings, deaths: Mapping[str, int], since: int) -> None:
    """Record cells as failed with which earlier starts of this job died: Slurm starts a lost node's job again."""
    for id in [id for id in progress.open if deaths.get(id, 0) >= DEATHS]:
        cell = progress.open[id]
        reason = f"Slurm job {JOB} was started {deaths[id]} times and died with it each time"
        record_lost_cell(cell, Store(settings.store), reason, 0.0, since)
        progress.record(cell)


def run_cells(progress: Progress, settings: RunSettings, since: int, log: Path) -> None:
    """Run the open cells, a worker process for each GPU of the job, or one."""
    gpus, device = choose_gpus(settings.device)
    count = max(1, len(gpus))
    cpus = int(os.environ.get("SLURM_CPUS_ON_NODE") or os.cpu_count() or 1)
    setup = replace(settings, device=device, threads=max(1, cpus // count), cell_timeout=None)
    # a chunk per group: after Slurm's notice the rest of a chunk would still run
    chunks = seed_groups(list(progress.open.values()))
    with closing(Dispatcher(JobPlace(count, setup, gpus, log))) as dispatcher:
        running = dispatcher.run(
            chunks,
            settings.store,
            progress.tell,
            since=since,
            cell_timeout=settings.cell_timeout,
            enough=progress.enough,
        )
        for cell, _ in running:
            progress.record(cell)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except HarnessError as error:
        sys.exit(f"harness: {error}")
