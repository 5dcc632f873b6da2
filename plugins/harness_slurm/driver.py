"""The command that submits jobs and watches them, until each of its cells has a record."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from harness.contract.cells import Cell
from harness.errors import Detached, HarnessError
from harness.records.leases import FOLDER as LEASES
from harness.records.leases import clear_leases, list_leases
from harness.records.record import Record
from harness.records.store import Store
from harness.running.lost_cells import record_lost_cell
from harness.running.positions import Positions
from harness.running.worker import RunSettings
from harness_slurm import notes
from harness_slurm.arrays import pack
from harness_slurm.arrays_under_way import ask_queue, find_tasks, submit_array
from harness_slurm.event_files import RECORDED, Line
from harness_slurm.submission import Allotment
from harness_slurm.tasks import Task
from harness_slurm.watching import count, count_live, explain_waiting

log = logging.getLogger("harness")

PAUSE = 0.5
"""Seconds between two looks at files; more where a look takes long."""

EVERY, LATER, QUIET = 5.0, 30.0, 300.0
"""Seconds between two looks at the queue: at first, and after so many seconds without any news."""

REST = 300.0
"""Seconds until another job looks at a cell that a machine without this store is at, which only a bucket's leases tell."""

PASSED_ON = ("cell_started", "cell_progress", "cell_work", "cell_curve", "cell_image", "cell_lost")
"""Events of running cells that this command's listeners hear."""


class Driver:
    """One run's cells: each is in a job, waits for the submission of one, or is under way in another run."""

    def __init__(
        self,
        cells: Sequence[Cell],
        settings: RunSettings,
        tell: Callable[..., None],
        allotment: Allotment,
    ) -> None:
        self.settings, self.allotment = settings, allotment
        self.store = Store(settings.store)
        self.since = self.store.read_clock()
        self.tell = Positions(tell, len(cells))
        self.open = {cell.id: cell for cell in cells}
        """Cells without a record of this run."""
        self.tasks: list[Task] = []
        self.left: dict[str, Cell] = {}
        """Cells to be submitted."""
        self.alone: set[str] = set()
        """Those among them that get a job of their own."""
        self.deaths: dict[str, int] = {}
        """Jobs that died with a cell, of those that are known."""
        self.elsewhere: set[str] = set()
        """Cells that another run was at when it came to their submission."""
        self._resting: dict[str, tuple[float, str]] = {}
        """Cells that a job left since others were at them: until when no other job looks, and who they were."""
        self._began: dict[str, float] = {}
        self._told: set[str] = set()
        self._looked = self._news = self._refused = float("-inf")

    def run(self, wait: bool) -> Iterator[tuple[Cell, Record]]:
        """Yield each cell with its record. Raises Detached if interrupted while jobs go on, or without `wait`."""
        try:
            notes.sweep_ended(self.store.path)
            self.left = dict(self.open)
            yield from self._submit()
            while self.open and wait:
                began = time.monotonic()
                yield from self._watch()
                if self.open:
                    time.sleep(min(EVERY, max(PAUSE, 10 * (time.monotonic() - began))))
        except KeyboardInterrupt:
            if any(count_live(task.seen for task in self.tasks)):
                raise Detached(self._describe_live(), interrupted=True) from None
            raise
        except GeneratorExit:  # a listener interrupted the run
            if any(count_live(task.seen for task in self.tasks)):
                log.warning("harness: %s", self._describe_live())
            raise
        if self.open:
            raise Detached(self._describe_live())

    def _attach(self, wanted: dict[str, Cell]) -> Iterator[tuple[Cell, Record]]:
        """Take over the jobs under way that have wanted cells, and what is known from those that have ended."""
        known = {task.array.note.name for task in self.tasks}
        attached: dict[str, Task] = {}
        for task in find_tasks(self.store.path, wanted, self.settings.fresh, known):
            self.deaths |= {id: n for id, n in task.array.note.deaths.items() if id in task.cells}
            if not task.looks:
                self.tasks.append(task)
                attached[task.array.note.id or task.array.note.name] = task
                continue
            task.take_events()
            # this run was planned after it had ended, so what it recorded is done, or to be done again
            for id in set(task.account.recorded) & task.cells.keys():
                self.left[id] = task.cells.pop(id)
            yield from self._take_back(task, cancelled=False)
        for id, task in attached.items():
            self._say(f"attached to Slurm job {id}, which is under way; logs: {task.array.folder.path}/*.log")

    def _submit(self) -> Iterator[tuple[Cell, Record]]:
        """Submit the cells that are left, but for those that another run is at."""
        with notes.submitting(self.store.path):
            yield from self._attach(self.left)  # of earlier commands, or of another one meanwhile
            owned = {id for task in self.tasks for id in task.cells}
            self.left = {id: c for id, c in self.open.items() if id in self.left and id not in owned}
            self._find_elsewhere()
            ready = [cell for id, cell in self.left.items() if id not in self.elsewhere]
            if not ready:
                return
            running = sum(count_live(task.seen for task in self.tasks))
            at_once = max(1, self.allotment.jobs - running)
            together = [cell for cell in ready if cell.id not in self.alone]
            packed = pack(together, self.allotment.jobs, self.allotment.per_job)
            packed += [[cell] for cell in ready if cell.id in self.alone]
            try:
                array = submit_array(packed, self.settings, self.since, self.deaths, self.allotment, at_once)
            except HarnessError as error:
                if not running:
                    raise
                self._refused = time.monotonic()  # a limit on jobs, maybe: tried again as others end
                self._say(str(error))
                return
            for number, cells in enumerate(packed):
                self.tasks.append(Task(array, number, {cell.id: cell for cell in cells}))
            for cell in ready:
                self.left.pop(cell.id)
            self.alone -= {cell.id for cell in ready}
        log.warning(
            "harness: Slurm job %s: %s in %s, %d at once; logs: %s/*.log",
            array.note.id, count(len(ready), "cell"), count(len(packed), "job"), min(at_once, len(packed)),
            array.folder.path,
        )  # fmt: skip

    def _find_elsewhere(self) -> None:
        """Find out at which cells that are left another run is; tell of each once."""
        folder = self.store.path / LEASES
        leases = [lease for lease in list_leases(folder) if lease.id in self.left] if self.left else []
        if any(lease.stale for lease in leases):
            clear_leases(folder)  # a job would watch them for minutes before it believes that
        now = {
            id: holder
            for id, (until, holder) in self._resting.items()
            if id in self.left and time.monotonic() < until
        }
        now |= {lease.id: str(lease.holder) for lease in leases if not lease.stale}
        for id in now.keys() - self.elsewhere:
            self.tell("cell_elsewhere", cell=self.left[id], holder=now[id])
        self.elsewhere = set(now)

    def _watch(self) -> Iterator[tuple[Cell, Record]]:
        """Take in what the jobs wrote, look at the queue if that is due, and submit what jobs left."""
        now = time.monotonic()
        for task in list(self.tasks):
            for line in task.take_events():
                self._news = now
                self._pass_on(task, line)
            yield from self._collect(task)
        due = EVERY if now - self._news < QUIET else LATER
        if now - self._looked >= due:
            self._looked = now
            self._look_at_queue()
            if self.elsewhere:
                yield from self._collect_elsewhere()
        for task in list(self.tasks):
            if task.gone:
                yield from self._collect(task, announced=False)
                self.tasks.remove(task)
                yield from self._take_back(task, cancelled=True)
                task.array.settle(task.number)
            elif not task.cells and task.finished:
                self.tasks.remove(task)
                task.array.settle(task.number)
        if self.left.keys() - self.elsewhere and now - self._refused >= LATER:
            waiting, _ = count_live(task.seen for task in self.tasks)
            if not waiting:  # one array after another keeps to the number of jobs
                yield from self._submit()

    def _pass_on(self, task: Task, line: Line) -> None:
        """Tell listeners of an event; keep a record's announcement, until it is visible here."""
        name, id, facts = line
        if name == RECORDED:
            if id not in task.announced:  # a job that starts again announces what it skips
                task.announced.append(id)
        elif name in PASSED_ON:
            if name == "cell_started":
                self._began[id] = time.monotonic()
            if "path" in facts:
                facts = {**facts, "path": Path(facts["path"])}
            self.tell(name, cell=task.cells[id], **facts)

    def _collect(self, task: Task, announced: bool = True) -> Iterator[tuple[Cell, Record]]:
        """Yield the records that a job has announced; else those that were made since it was submitted."""
        for id in list(task.announced if announced else task.cells):
            made = announced or (self.store.date(id) or 0) > task.array.note.since
            record = self.store.read(id) if made else None
            if record is not None:
                task.announced = [other for other in task.announced if other != id]
                cell = task.cells.pop(id)
                self.open.pop(id)
                yield cell, record

    def _collect_elsewhere(self) -> Iterator[tuple[Cell, Record]]:
        """Yield records that other runs have made; cells that they are no longer at can be submitted."""
        for id in list(self.elsewhere):
            if (self.store.date(id) or 0) > self.since and (record := self.store.read(id)) is not None:
                self.elsewhere.discard(id)
                self.left.pop(id)
                yield self.open.pop(id), record
        self._find_elsewhere()

    def _look_at_queue(self) -> None:
        """Take in the states of the jobs, and say why they wait if that may not pass by itself."""
        arrays = {task.array.note.name: task.array for task in self.tasks}
        queue = ask_queue(arrays.values())
        if queue is None:
            self._say("squeue gives no answer; the records are watched meanwhile")
            return
        for task in self.tasks:
            before = task.seen
            task.look(queue.tasks.get((task.array.note.name, task.number)))
            if task.seen != before:
                self._news = self._looked
        for reason in explain_waiting(task.seen for task in self.tasks):
            self._say(f"Slurm jobs wait: {reason}")

    def _take_back(self, task: Task, cancelled: bool) -> Iterator[tuple[Cell, Record]]:
        """Deal with the cells that an ended job left: they fail, or are submitted again."""
        if not task.cells:
            return
        clear_leases(self.store.path / LEASES, jobs={task.job})
        decision = task.decide(self.deaths, cancelled)
        self.deaths = dict(Counter(self.deaths) + decision.deaths)
        for id, cell in task.cells.items():
            if decision.lost and id in task.account.started:
                self.tell("cell_lost", cell=cell, reason=f"Slurm job {task.job}: {decision.lost}")
            if id in decision.failed:
                seconds = time.monotonic() - self._began.get(id, time.monotonic())
                self.open.pop(id)
                yield cell, record_lost_cell(cell, self.store, decision.failed[id], seconds, self.since)
            else:
                self.left[id] = cell
                if self.settings.remote is not None and id in task.account.elsewhere:
                    self._resting[id] = time.monotonic() + REST, task.account.elsewhere[id]
        self.alone |= set(decision.alone)
        task.cells = {}

    def _say(self, text: str) -> None:
        """Say something to people, once."""
        if text not in self._told:
            self._told.add(text)
            log.warning("harness: %s", text)

    def _describe_live(self) -> str:
        """Return how many jobs go on, and how to come back to them or to end them."""
        live = [task for task in self.tasks if any(count_live([task.seen]))]
        if not live:
            return "no job is under way; the same command continues"
        ids = " ".join(dict.fromkeys(str(task.array.note.id or task.array.note.name) for task in live))
        verb, them = ("goes", "it") if len(live) == 1 else ("go", "them")
        return f"{count(len(live), 'job')} {verb} on; the same command attaches, `scancel {ids}` ends {them}"
