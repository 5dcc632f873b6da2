"""Slots that are actors of a Ray cluster, as the dispatcher sees them."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

from harness import Cell, Record
from harness.errors import HarnessError
from harness.records.leases import FOLDER, Holder, clear_leases
from harness.records.store import Store
from harness.running.claims import Claims
from harness.running.executors.channel import ELSEWHERE, IDLE, RECORD, Event, unpack_events
from harness.running.executors.slots import Batch, Died, Message, Ready
from harness_ray.actor import PLACED, READY, CellActor
from harness_ray.carried_files import settle_events
from harness_ray.cluster import Share, describe_room
from harness_ray.deaths import explain_error
from harness_ray.setup import Setup, offering_token

GRACE = 5.0
"""Seconds that an actor gets to end."""


@dataclass(frozen=True)
class ActorPlace:
    """Actors of the cluster that this process is connected to, each with its share of a node."""

    count: int
    setup: Setup
    share: Share
    claims: Claims
    """Leases for actors without this process's file system."""
    threads: int = 1

    def start(self, number: int, inbox: Callable[[Message], None]) -> ActorSlot:
        """Ask for the actor of a slot; it starts as soon as a node has room."""
        return ActorSlot(number, self, inbox)


class ActorSlot:
    """An actor, watched by a thread that takes in its stream; it is given no cells before it says that it is ready."""

    def __init__(self, number: int, place: ActorPlace, inbox: Callable[[Message], None]) -> None:
        import ray

        self._number, self._place, self._inbox = number, place, inbox
        self._store = Store(place.setup.settings.store)
        self._holder: tuple[str, int] | None = None
        self._shared = True
        self._leased: dict[str, Cell] = {}
        self._sent: dict[str, bool] = {}
        """Cells without an answer, in order, and whether it is known that they were started."""
        self._since = 0
        self._over = threading.Event()
        self._token = ExitStack()
        # a plugin's libraries read the number of threads when they are imported
        environment = {"env_vars": {"OMP_NUM_THREADS": str(place.threads)}}
        self._actor: Any = (
            ray.remote(CellActor)
            .options(
                num_cpus=place.share.cpus,
                num_gpus=place.share.gpus,
                max_restarts=0,  # the dispatcher decides what is tried again
                max_concurrency=4,
                runtime_env=environment,
            )
            .remote()
        )
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    @property
    def where(self) -> str:
        """The actor in messages."""
        host = f" on host {self._holder[0]}" if self._holder else ""
        return f"Ray actor {self._number + 1}{host}"

    @property
    def waiting(self) -> str:
        """What it waits for while it is not ready."""
        return "is still starting" if self._holder else describe_room(self._place.share)

    def send(self, cells: Sequence[Cell], since: int) -> None:
        """Have the actor run cells; without a shared store, those that no other run is at or has done."""
        mine = list(cells) if self._shared else self._claim(cells, since)
        self._sent, self._since = {cell.id: False for cell in mine}, since
        if mine:
            self._call("run", pickle.dumps(mine), since)
        else:
            self._inbox(Batch(self._number, [(IDLE, "", {})]))

    def warm(self, cell: Cell) -> None:
        """Have the actor prepare what a cell asks for, in the cache that it shares."""
        if self._shared:
            self._call("warm", pickle.dumps([cell]))

    def stop(self) -> None:
        """Kill the actor: files appear whole or not at all, so this may happen anywhere."""
        self._over.set()
        self._kill()

    def end(self) -> None:
        """Have an actor without cells end by itself."""
        self._over.set()
        self._call("close")

    def join(self) -> None:
        """Wait for the end of the actor, and kill it if it doesn't end."""
        self._watcher.join(GRACE)
        self._kill()
        self._watcher.join(GRACE)

    def _call(self, method: str, *arguments: Any) -> None:
        from ray.exceptions import RayError

        with suppress(RayError):  # it is gone, and that comes as a message
            getattr(self._actor, method).remote(*arguments)

    def _kill(self) -> None:
        import ray

        with suppress(Exception):  # gone already, with the cluster perhaps
            ray.kill(self._actor, no_restart=True)

    def _watch(self) -> None:
        """Take in what the actor sends until it is gone."""
        import ray

        reason = "ended by itself"
        try:
            for batch in self._actor.listen.options(num_returns="streaming").remote():
                for packed in ray.get(batch):
                    self._take(unpack_events(packed))
        except Exception as error:
            reason = explain_error(error)
        self._token.close()
        self._kill()
        self._release()
        self._inbox(Died(self._number, reason))

    def _take(self, events: list[Event]) -> None:
        for name, _, facts in events[:1]:
            if name == PLACED:
                self._holder = facts["host"], facts["pid"]
                setup = self._token.enter_context(offering_token(self._place.setup))
                self._call("begin", pickle.dumps(setup))
                return
            if name == READY:
                self._token.close()
                self._shared = facts["shared"]
                self._inbox(Ready(self._number, facts))
                return
        if not self._shared:
            if self._over.is_set():  # the cells are others' by now
                return
            events = settle_events(events, self._store)
            for name, id, _ in events:
                if name == RECORD and (cell := self._leased.pop(id, None)) is not None:
                    self._place.claims.give(cell)
        for name, id, _ in events:
            if name == "cell_started":
                self._sent[id] = True
            elif name in (RECORD, ELSEWHERE):
                self._sent.pop(id, None)
        self._inbox(Batch(self._number, events))

    def _claim(self, cells: Sequence[Cell], since: int) -> list[Cell]:
        """Take leases for an actor that can't; report the cells that others have, or have done."""
        claims = self._place.claims
        claims.since = since
        answers: list[Event] = []
        for cell in cells:
            answer = claims.take(cell)
            if isinstance(answer, Record):
                answers.append((RECORD, cell.id, {"record": answer.to_json()}))
            elif isinstance(answer, Holder):
                answers.append((ELSEWHERE, cell.id, {"holder": str(answer)}))
            else:
                self._leased[cell.id] = cell
        if answers:
            self._inbox(Batch(self._number, answers))
        return [cell for cell in cells if cell.id in self._leased]

    def _release(self) -> None:
        """Give back the leases of cells that the actor has left undone: on another host nobody sees that it is gone."""
        while self._leased:
            self._place.claims.give(self._leased.popitem()[1])
        if self._holder is None or not self._shared:
            return
        with suppress(HarnessError):  # the store is out of reach, which whoever writes there next will tell
            held = {lease.id for lease in clear_leases(self._store.path / FOLDER, of=self._holder)}
            self._inbox(Batch(self._number, self._recover(held)))

    def _recover(self, held: set[str]) -> list[Event]:
        """Return what the actor can't tell any more: the records that it wrote last, and which cells it was at."""
        events: list[Event] = []
        for id, started in self._sent.items():
            written = self._store.date(id)
            if id not in held and written is not None and written > self._since:
                if (record := self._store.read(id)) is not None:
                    events.append((RECORD, id, {"record": record.to_json()}))
            elif id in held and not started:
                events.append(("cell_started", id, {}))
        return events
