"""The dispatcher: gives cells to supervised workers, wherever these run, and sees to it that every cell gets its record.

A worker that dies or hangs costs the cells that it was at: they are tried once more, each alone, and then recorded
as failed. Nothing else stops.
"""

from __future__ import annotations

import itertools
import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.contract.cells import Cell
from harness.errors import HarnessError
from harness.records.record import Record
from harness.records.store import Store
from harness.running.executors.channel import ELSEWHERE, HALT, IDLE, RECORD, TROUBLE, Event
from harness.running.executors.dispatched_work import Work
from harness.running.executors.slots import Batch, Died, Message, Place, Ready, Slot
from harness.running.lost_cells import record_lost_cell
from harness.running.positions import Positions

log = logging.getLogger("harness")

MOST_STARTS = 2
"""So many times in a row a slot may end before it is ready; then it is given up."""

ENOUGH_EVERY = 0.5
"""Seconds between two questions whether it is enough."""

HELP_AFTER = 15.0
"""Seconds after which workers without cells help with one that is still running."""

PATIENCE = 30.0
"""Seconds after which a slot that is not ready is told."""


@dataclass
class _Seat:
    """A slot as the dispatcher sees it: its present worker, and the cells that this has."""

    number: int
    slot: Slot | None = None
    """None once it is given up."""
    generation: int = 0
    """The number of its present worker; messages of earlier ones are ignored."""
    ready: bool = False
    idle: bool = False
    began: float = 0.0
    told: bool = False
    """Whether it was said that it is not ready."""
    failed_starts: int = 0
    trouble: str | None = None
    """Why the worker is about to end, in its own words."""
    cells: dict[str, Cell] = field(default_factory=dict)
    """Those that it was sent and that have no answer yet, in order."""
    running: dict[str, float] = field(default_factory=dict)
    """Those among them that were started, and since when the worker is at them."""
    between: float = 0.0
    """Since when it has been at none of them."""


class Dispatcher:
    """Runs the cells of several runs in the slots of a place; they stay until `close`.

    `tries` is in how many workers that died a cell may have run before it is recorded as failed.
    """

    def __init__(self, place: Place, tries: int = 2) -> None:
        self._place, self._tries = place, tries
        self._inbox: queue.SimpleQueue[tuple[int, float, Message]] = queue.SimpleQueue()
        self._seats = [_Seat(number) for number in range(place.count)]

    def run(
        self,
        chunks: Sequence[list[Cell]],
        store: Path,
        tell: Callable[..., None],
        *,
        since: int = 0,
        cell_timeout: float | None = None,
        enough: Callable[[], bool] | None = None,
    ) -> Iterator[tuple[Cell, Record]]:
        """Yield every cell of the chunks with its record, as soon as that is on disk; `tell` hears all events.

        Once `enough` says so, no further chunk begins, and this ends with those that run; the rest is left.
        Raises HarnessError if no slot starts, or a worker meets what no other could pass. Whoever stops early must `close`.
        """
        work = Work(chunks, Store(store), Positions(tell, sum(map(len, chunks))), since, cell_timeout)
        for seat in self._seats[: len(chunks)]:
            if seat.slot is None:
                seat.failed_starts = 0
                self._start(seat)
        while work.left:
            if enough is None or not enough():
                self._hand_out(work)
            elif not any(seat.cells for seat in self._seats):
                return
            due = self._next_look(work)
            if enough is not None:  # it may change without a message
                due = ENOUGH_EVERY if due is None else min(due, ENOUGH_EVERY)
            try:
                generation, arrived, message = self._inbox.get(timeout=due)
            except queue.Empty:
                yield from self._look_around(work)
                continue
            seat = self._seats[message.slot]
            if generation != seat.generation:
                continue
            if isinstance(message, Ready):
                _check_versions(message, work)
                seat.ready = seat.idle = True
                seat.failed_starts = 0
            elif isinstance(message, Batch):
                for event in message.events:
                    yield from self._take_event(seat, event, arrived, work)
            else:
                yield from self._replace_dead(seat, message, work)
            if self._inbox.empty():  # what has come in meanwhile may be the end of a cell that seems late
                yield from self._look_around(work)

    def close(self) -> None:
        """End all workers, at whatever point they are; those that have started may tidy up."""
        slots = [(seat, seat.slot) for seat in self._seats if seat.slot is not None]
        for seat, slot in slots:
            if seat.ready:
                slot.end()
            else:
                slot.stop()
            seat.slot, seat.ready, seat.idle, seat.generation = None, False, False, seat.generation + 1
        try:
            for _, slot in slots:
                slot.join()
        except BaseException:  # a second Ctrl-C: nobody waits for those that tidy up
            for _, slot in slots:
                slot.stop()
            raise

    def _start(self, seat: _Seat) -> None:
        seat.generation += 1
        generation = seat.generation
        seat.ready = seat.idle = seat.told = False
        seat.trouble, seat.began = None, time.monotonic()
        seat.cells, seat.running = {}, {}

        def take_in(message: Message) -> None:
            self._inbox.put((generation, time.monotonic(), message))

        try:
            seat.slot = self._place.start(seat.number, take_in)
        except HarnessError as error:
            self._give_up(seat, str(error))

    def _hand_out(self, work: Work) -> None:
        """Give chunks to idle slots; without any, let these prepare what running cells ask for."""
        for seat in self._seats:
            if seat.slot is None or not seat.idle:
                continue
            if chunk := work.next_chunk():
                seat.cells, seat.idle, seat.between = (
                    {cell.id: cell for cell in chunk},
                    False,
                    time.monotonic(),
                )
                seat.slot.send(chunk, work.since)
            elif (cell := self._choose_to_warm(seat, work)) is not None:
                work.warmed.add((seat.number, cell.id))
                seat.slot.warm(cell)

    def _choose_to_warm(self, seat: _Seat, work: Work) -> Cell | None:
        """Return a cell that has run for long on another worker or in another run, and that this one can help with."""
        now = time.monotonic()
        here = (work.cells[id] for id, since in self._list_running(seat, work) if now >= since + HELP_AFTER)
        return next(
            (c for c in itertools.chain(here, work.elsewhere()) if work.may_warm(c, seat.number)), None
        )

    def _list_running(self, seat: _Seat, work: Work) -> Iterator[tuple[str, float]]:
        """Yield the cells that run on other workers than this, and since when, if it can help with them."""
        for other in self._seats:
            for id, since in other.running.items() if other is not seat else ():
                if work.may_warm(work.cells[id], seat.number):
                    yield id, since

    def _take_event(
        self, seat: _Seat, event: Event, arrived: float, work: Work
    ) -> Iterator[tuple[Cell, Record]]:
        name, id, facts = event
        if name == IDLE:
            seat.idle, seat.cells, seat.running = True, {}, {}
        elif name == HALT:
            raise HarnessError(facts["reason"])
        elif name == TROUBLE:
            seat.trouble = facts["reason"]
        elif name == RECORD:
            cell = self._release(seat, id, arrived)
            if cell is not None and work.left.pop(id, None) is not None:
                yield cell, Record.from_json(facts["record"], f"record {id}")
        elif name == ELSEWHERE:
            if (cell := self._release(seat, id, arrived)) is not None:
                work.postpone(cell, facts["holder"])
        elif (cell := work.cells.get(id)) is not None:
            if name == "cell_started":
                seat.running[id] = arrived
            work.tell(name, cell=cell, **facts)

    def _release(self, seat: _Seat, id: str, arrived: float) -> Cell | None:
        """Take a cell from its slot; the others that run with it, if their protocol runs seeds at once, have new time."""
        seat.running.pop(id, None)
        seat.running = dict.fromkeys(seat.running, arrived)
        seat.between = arrived
        return seat.cells.pop(id, None)

    def _replace_dead(self, seat: _Seat, death: Died, work: Work) -> Iterator[tuple[Cell, Record]]:
        """Account for the cells of a worker that died, and start another in its slot."""
        where = seat.slot.where if seat.slot else f"slot {seat.number + 1}"
        reason = f"{where} ended: {seat.trouble}" if seat.trouble else f"{where} {death.reason}"
        if not seat.ready:
            seat.failed_starts += 1
            if seat.failed_starts >= MOST_STARTS:
                self._give_up(seat, reason)
                return
        yield from self._take_back(seat, reason, work, final=False)
        self._start(seat)

    def _give_up(self, seat: _Seat, reason: str) -> None:
        seat.slot = None
        if all(other.slot is None for other in self._seats):
            raise HarnessError(
                f"no worker process can start: {reason}; with --executor inline, what happens is shown"
            )
        log.warning("harness: no worker starts in slot %d: %s; the others work on", seat.number + 1, reason)

    def _take_back(self, seat: _Seat, reason: str, work: Work, final: bool) -> Iterator[tuple[Cell, Record]]:
        """Queue the cells of a worker that is gone; those that it was at go alone, or have failed.

        A worker that died before it began any cell may have died of the first one that it was sent.
        """
        at = [id for id in seat.cells if id in seat.running] or list(seat.cells)[:1]
        began = {id: seat.running.get(id, time.monotonic()) for id in at}
        rest = [cell for id, cell in seat.cells.items() if id not in at]
        if rest:
            work.queue.appendleft(rest)
        for id in at:
            cell = work.cells[id]
            work.tries[id] += 1
            work.tell("cell_lost", cell=cell, reason=reason)
            if (final and len(at) == 1) or work.tries[id] >= self._tries:
                times = f"; {work.tries[id]} workers were lost at this cell" if work.tries[id] > 1 else ""
                record = record_lost_cell(
                    cell, work.store, reason + times, time.monotonic() - began[id], work.since
                )
                if work.left.pop(id, None) is not None:
                    yield cell, record
            else:
                work.queue.append([cell])
        seat.cells, seat.running = {}, {}

    def _help_due(self, work: Work) -> float | None:
        """Return when a worker without cells is to help, or one that no cell has needed to start; None if none can."""
        free = [seat for seat in self._seats if (seat.slot and seat.idle) or seat.generation == 0]
        began = [since for seat in free for _, since in self._list_running(seat, work)]
        return min(began) + HELP_AFTER if began else None

    def _next_look(self, work: Work) -> float | None:
        """Return the seconds until something is due without a message; None if nothing is."""
        now = time.monotonic()
        due = [end for seat in self._seats if (end := _find_deadline(seat, work)) is not None]
        due += [when for when, _, _ in work.later[:1]]
        due += [when for when in [self._help_due(work)] if when is not None]
        due += [s.began + PATIENCE for s in self._seats if s.slot is not None and not s.ready and not s.told]
        return max(0.0, min(due) - now) if due else None

    def _look_around(self, work: Work) -> Iterator[tuple[Cell, Record]]:
        """See to what is due: cells past their time, cells elsewhere, slots that don't get ready."""
        now = time.monotonic()
        work.return_postponed(now)
        if (due := self._help_due(work)) is not None and now >= due:
            for seat in self._seats:
                if seat.generation == 0:
                    self._start(seat)
        for seat in self._seats:
            if seat.slot is None:
                continue
            if not seat.ready and not seat.told and now >= seat.began + PATIENCE:
                seat.told = True
                log.warning("harness: %s %s after %.0f s", seat.slot.where, seat.slot.waiting, PATIENCE)
            end = _find_deadline(seat, work)
            if end is not None and now >= end:
                seat.slot.stop()
                if seat.running:
                    reason = f"took longer than its limit of {work.cell_timeout:g} s (cell_timeout)"
                    yield from self._take_back(seat, reason, work, final=True)
                else:  # it hangs in something else, such as in helping with a cell of another worker
                    work.queue.appendleft(list(seat.cells.values()))
                self._start(seat)


def _find_deadline(seat: _Seat, work: Work) -> float | None:
    """Return when a worker has been too long at its cells, which may take their time one after another, or between them."""
    if work.cell_timeout is None or not seat.cells:
        return None
    if not seat.running:
        return seat.between + work.cell_timeout
    return min(seat.running.values()) + work.cell_timeout * len(seat.running)


def _check_versions(message: Ready, work: Work) -> None:
    """Raise HarnessError if a worker has other versions of the cells' plugins, whose ids then mean something else."""
    there = message.facts.get("versions")
    if there is None:
        return
    for cell in work.left.values():
        for part in cell.parts:
            if (other := there.get(part.distribution)) != part.version:
                found = f"version {other}" if other else "none"
                raise HarnessError(
                    f"a worker on {message.facts.get('host', 'another machine')} has {found} of {part.distribution}, "
                    f"this process {part.version}: install the same there"
                )
