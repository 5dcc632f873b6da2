"""The dispatcher with workers that are plain objects: whatever dies, hangs or waits, every cell gets one record."""

from __future__ import annotations

import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.contract.cells import Cell
from harness.errors import HarnessError
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.records.record import make_blank
from harness.records.store import Store
from harness.running.executors import dispatcher
from harness.running.executors.channel import ELSEWHERE, IDLE, RECORD, TROUBLE, Event
from harness.running.executors.dispatcher import Dispatcher
from harness.running.executors.slots import Batch, Died, Message, Ready
from harness.testing.cell_runs import temporary_folder
from harness.testing.toys import toy_suite

DIES, HANGS, SPENT = "dies", "hangs", "spent"


class ToyPlace:
    """Slots whose workers do at a cell what `acts` says of it; `ran` counts how often each cell was begun."""

    def __init__(self, count: int, acts: Callable[[Cell, int], str] = lambda cell, slot: "ok") -> None:
        self.count, self.acts = count, acts
        self.ran: Counter[str] = Counter()
        self.sent: list[list[str]] = []
        self.warmed: list[tuple[int, str]] = []
        self.starts: Counter[int] = Counter()
        self.versions: dict[str, str] | None = None
        self.start_fails: Callable[[int, int], bool] = lambda number, nth: False
        self.never_ready: set[int] = set()

    def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
        self.starts[number] += 1
        return ToySlot(self, number, inbox)


class ToySlot:
    waiting = "is waiting for room"

    def __init__(self, place: ToyPlace, number: int, inbox: Callable[[Message], None]) -> None:
        self.where, self.place, self.number, self.inbox = f"worker {number + 1}", place, number, inbox
        self.over = False
        if place.start_fails(number, place.starts[number]):
            inbox(Batch(number, [(TROUBLE, "", {"reason": "no such device"})]))
            inbox(Died(number, "ended by itself with exit code 1"))
        elif number not in place.never_ready:
            inbox(Ready(number, {} if place.versions is None else {"versions": place.versions}))

    def send(self, cells: Sequence[Cell], since: int) -> None:
        assert not self.over
        self.place.sent.append([cell.id for cell in cells])
        for cell in cells:
            act = self.place.acts(cell, self.number)
            if act == "elsewhere":
                self.tell((ELSEWHERE, cell.id, {"holder": "process 7 on host b"}))
                continue
            self.place.ran[cell.id] += 1
            self.tell(("cell_started", cell.id, {}))
            if act == DIES:
                self.inbox(Died(self.number, "was killed by SIGSEGV"))
                return
            if act == HANGS:
                return
            self.tell((RECORD, cell.id, {"record": make_blank(cell, "ok").to_json()}))
        self.tell((IDLE, "", {}))

    def tell(self, event: Event) -> None:
        self.inbox(Batch(self.number, [event]))

    def warm(self, cell: Cell) -> None:
        self.place.warmed.append((self.number, cell.id))

    def stop(self) -> None:
        self.over = True
        self.inbox(Died(self.number, "was killed by SIGKILL"))  # as a watcher does, late

    end = stop

    def join(self) -> None:
        assert self.over


@pytest.fixture(scope="module")
def cells() -> list[Cell]:
    with toy_suite() as content:
        return [
            p.cell
            for p in make_plan(parse_suite({**content, "methods": ["kit-toy"], "seeds": list(range(30))}))
        ]


def drive(
    place: ToyPlace, chunks: Sequence[list[Cell]], store: Path, **more: Any
) -> tuple[dict[str, Any], list[Any]]:
    """Run the chunks; return the records by cell and the events."""
    events: list[Any] = []
    runner = Dispatcher(place)
    records: dict[str, Any] = {}
    try:
        tell = lambda name, *, cell, **facts: events.append((name, cell.id, facts))  # noqa: E731
        for cell, record in runner.run(chunks, store, tell, **more):
            assert cell.id not in records, "a cell has one record"
            assert record.id == cell.id
            records[cell.id] = record
    finally:
        runner.close()
    return records, events


def chunked(cells: Sequence[Cell], size: int) -> list[list[Cell]]:
    return [list(cells[n : n + size]) for n in range(0, len(cells), size)]


@given(
    st.integers(1, 5),
    st.integers(1, 7),
    st.sets(st.integers(0, 29), max_size=6),
    st.integers(0, 2**16),
)
@settings(max_examples=60, deadline=None)
def test_whatever_dies_every_cell_has_one_record(count: int, size: int, poison: set[int], seed: int) -> None:
    """Poison cells fail after two workers; others die of bad luck once at most, and are ok."""
    import tempfile

    with toy_suite() as content:
        cells = [
            p.cell
            for p in make_plan(parse_suite({**content, "methods": ["kit-toy"], "seeds": list(range(30))}))
        ]
    deadly = {cells[n].id for n in poison}
    chance = random.Random(seed)
    unlucky = {c.id for c in cells if chance.random() < 0.1} - deadly

    def acts(cell: Cell, slot: int) -> str:
        if cell.id in deadly:
            return DIES
        if cell.id in unlucky:
            unlucky.remove(cell.id)
            return DIES
        return "ok"

    place = ToyPlace(count, acts)
    with tempfile.TemporaryDirectory() as folder:
        records, events = drive(place, chunked(cells, size), Path(folder))
        on_disk = {r.id for r in Store(folder).records()}
    assert {id for id, r in records.items() if r.status == "failed"} == deadly == on_disk
    assert len(records) == 30
    assert all(place.ran[id] == 2 for id in deadly)
    assert sum(place.ran.values()) <= 30 + 2 * len(deadly) + 10
    lost = Counter(id for name, id, _ in events if name == "cell_lost")
    assert all(lost[id] == 2 for id in deadly)
    places = {id: facts["position"] for name, id, facts in events if name == "cell_started"}
    assert sorted(places.values()) == list(range(1, 31))


def test_cells_that_only_waited_count_no_try_and_stay_together(cells: list[Cell], tmp_path: Path) -> None:
    """The second of five kills its worker: it goes alone, the three behind it as they were."""
    a, poison, *rest = cells[:5]
    place = ToyPlace(1, lambda cell, slot: DIES if cell is poison else "ok")
    records, _ = drive(place, [cells[:5]], tmp_path)
    assert records[poison.id].reason == "worker 1 was killed by SIGSEGV; 2 workers were lost at this cell"
    assert place.sent == [[c.id for c in cells[:5]], [c.id for c in rest], [poison.id]]
    assert {id: place.ran[id] for id in records} == {**dict.fromkeys(records, 1), poison.id: 2}
    assert a.id in records


def test_a_worker_that_dies_before_it_began_anything_costs_the_first_cell_a_try(
    cells: list[Cell], tmp_path: Path
) -> None:
    """Cells that can't be taken in would be sent for ever otherwise."""

    class Refuses(ToySlot):
        def send(self, cells: Sequence[Cell], since: int) -> None:
            if bad in cells:
                self.tell((TROUBLE, "", {"reason": "it can't take in its cells: ModuleNotFoundError"}))
                self.inbox(Died(self.number, "ended by itself with exit code 1"))
            else:
                super().send(cells, since)

    class Place(ToyPlace):
        def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
            return Refuses(self, number, inbox)

    bad = cells[0]
    records, _ = drive(Place(2), [cells[:3], cells[3:6]], tmp_path)
    assert [id for id, r in records.items() if r.status == "failed"] == [bad.id]
    assert "worker" in records[bad.id].reason
    assert "ended: it can't take in its cells" in records[bad.id].reason


def test_a_cell_past_its_time_fails_and_its_neighbours_run(cells: list[Cell], tmp_path: Path) -> None:
    slow = cells[1]
    place = ToyPlace(2, lambda cell, slot: HANGS if cell is slow else "ok")
    records, events = drive(place, chunked(cells[:9], 3), tmp_path, cell_timeout=0.2)
    assert records[slow.id].status == "failed"
    assert records[slow.id].reason == "took longer than its limit of 0.2 s (cell_timeout)"
    assert records[slow.id].cost["seconds"] >= 0.2
    assert place.ran[slow.id] == 1
    assert len(records) == 9
    assert [id for name, id, _ in events if name == "cell_lost"] == [slow.id]


def test_seeds_that_run_at_once_have_their_time_one_after_another(cells: list[Cell], tmp_path: Path) -> None:
    """Three together have three times as long; then each runs alone, and only the slow one fails."""
    group, slow = cells[:3], cells[1]

    class Groups(ToySlot):
        def send(self, cells: Sequence[Cell], since: int) -> None:
            if len(cells) > 1:
                for cell in cells:
                    self.tell(("cell_started", cell.id, {}))
                self.place.ran["together"] += 1
            else:
                super().send(cells, since)

    class Place(ToyPlace):
        def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
            return Groups(self, number, inbox)

    place = Place(1, lambda cell, slot: HANGS if cell is slow else "ok")
    began = time.monotonic()
    records, _ = drive(place, [group], tmp_path, cell_timeout=0.2)
    assert time.monotonic() - began >= 0.2 * 3 + 0.2
    assert {r.status for id, r in records.items() if id != slow.id} == {"ok"}
    assert records[slow.id].status == "failed"


def test_cells_elsewhere_are_told_once_and_asked_for_again(cells: list[Cell], tmp_path: Path) -> None:
    looks: Counter[str] = Counter()

    def acts(cell: Cell, slot: int) -> str:
        looks[cell.id] += 1
        return "elsewhere" if cell is cells[0] and looks[cell.id] < 3 else "ok"

    records, events = drive(ToyPlace(2, acts), chunked(cells[:6], 2), tmp_path)
    assert len(records) == 6
    assert looks[cells[0].id] == 3
    assert [(id, facts) for name, id, facts in events if name == "cell_elsewhere"] == [
        (cells[0].id, {"holder": "process 7 on host b"})
    ]
    assert list(records)[-1] == cells[0].id


def test_a_slot_that_never_gets_ready_is_told_and_gets_nothing(
    cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "PATIENCE", 0.05)
    place = ToyPlace(2, lambda cell, slot: (time.sleep(0.05), "ok")[1])
    place.never_ready = {1}
    records, _ = drive(place, chunked(cells[:8], 1), tmp_path)
    assert len(records) == 8
    assert caplog.text.count("worker 2 is waiting for room after 0 s") == 1


def test_only_a_place_where_no_slot_starts_ends_the_run(
    cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = ToyPlace(3)
    place.start_fails = lambda number, nth: number > 0
    records, _ = drive(place, chunked(cells[:6], 1), tmp_path)
    assert len(records) == 6
    assert "no worker starts in slot 2: worker 2 ended: no such device; the others work on" in caplog.text
    place.start_fails = lambda number, nth: True
    with pytest.raises(HarnessError, match=r"no worker process can start: worker . ended: no such device"):
        drive(place, chunked(cells[:6], 1), tmp_path)


def test_workers_with_other_plugins_are_refused(cells: list[Cell], tmp_path: Path) -> None:
    place = ToyPlace(1)
    here = cells[0].protocol
    place.versions = {here.distribution: "0.0.1"}
    with pytest.raises(
        HarnessError, match=re.escape(f"has version 0.0.1 of {here.distribution}, this process")
    ):
        drive(place, [cells[:1]], tmp_path)


def test_late_messages_of_a_worker_that_was_ended_are_ignored(cells: list[Cell], tmp_path: Path) -> None:
    """Its record of a cell that meanwhile runs elsewhere must not end that worker's turn."""
    slots: list[ToySlot] = []

    class Place(ToyPlace):
        def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
            slots.append(ToySlot(self, number, inbox))
            return slots[-1]

    place = Place(1, lambda cell, slot: HANGS if cell is cells[0] else "ok")
    runner = Dispatcher(place)
    late = threading.Timer(
        0.3, lambda: slots[0].tell((RECORD, cells[1].id, {"record": make_blank(cells[1], "ok").to_json()}))
    )
    late.start()
    try:
        found = list(runner.run([cells[:2]], tmp_path, lambda *_, **__: None, cell_timeout=0.1))
    finally:
        late.join()
        runner.close()
    assert sorted(cell.id for cell, _ in found) == sorted(c.id for c in cells[:2])


@given(st.integers(1, 4), st.integers(1, 3), st.integers(0, 30))
@settings(max_examples=30, deadline=None)
def test_once_it_is_enough_nothing_more_begins(slots: int, size: int, most: int) -> None:
    with toy_suite() as content, temporary_folder() as folder:
        suite = parse_suite({**content, "methods": ["kit-toy"], "seeds": list(range(30))})
        place, begun = ToyPlace(slots), 0

        def tell(name: str, *, cell: Cell, **facts: Any) -> None:
            nonlocal begun
            begun += name == "cell_started"

        chunks = chunked([p.cell for p in make_plan(suite)], size)
        runner = Dispatcher(place)
        try:
            found = [
                cell.id for cell, _ in runner.run(chunks, Path(folder), tell, enough=lambda: begun >= most)
            ]
        finally:
            runner.close()
    # what was handed out is done, and no slot got anything afterwards
    assert len(found) == len(set(found)) == sum(place.ran.values())
    assert min(most, 30) <= len(found) < most + slots * size + 1


def test_enough_is_noticed_without_any_message(cells: list[Cell], tmp_path: Path) -> None:
    place = ToyPlace(1)
    place.never_ready = {0}
    asked = iter([False, False, True])
    runner = Dispatcher(place)
    assert list(runner.run([cells[:2]], tmp_path, lambda *_, **__: None, enough=lambda: next(asked))) == []
    runner.close()
    assert not place.sent


def test_workers_without_cells_help_with_one_that_runs_for_long(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that no chunk needed start for it; each is asked once for each cell, and only if the protocol can."""
    monkeypatch.setattr(dispatcher, "HELP_AFTER", 0.05)
    long, short = cells[0], cells[1]

    def act(cell: Cell, slot: int) -> str:
        return HANGS if cell is long else "ok"

    place = ToyPlace(3, act)
    drive(place, [[long], [short]], tmp_path, cell_timeout=0.3)
    assert place.warmed == []
    assert set(place.starts) == {0, 1}
    monkeypatch.setattr(type(long.protocol.object), "warm", lambda self, job: None, raising=False)
    place = ToyPlace(3, act)
    drive(place, [[long], [short]], tmp_path, cell_timeout=0.3)
    assert sorted(place.warmed) == [(1, long.id), (2, long.id)]
    place = ToyPlace(2, lambda cell, slot: "ok")
    drive(place, [[short], [long]], tmp_path)
    assert place.warmed == []


def test_a_worker_that_hangs_before_it_begins_a_cell_costs_that_no_try(
    cells: list[Cell], tmp_path: Path
) -> None:
    """As one that helps with another cell and can't be stopped there."""

    class Deaf(ToySlot):
        def send(self, cells: Sequence[Cell], since: int) -> None:
            if self.place.starts[self.number] > 1:
                super().send(cells, since)

    class Place(ToyPlace):
        def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
            self.starts[number] += 1
            return Deaf(self, number, inbox)

    place = Place(1)
    records, events = drive(place, [cells[:2]], tmp_path, cell_timeout=0.1)
    assert {r.status for r in records.values()} == {"ok"}
    assert place.starts[0] == 2
    assert not [event for event in events if event[0] == "cell_lost"]


def test_a_listener_that_takes_its_time_makes_no_cell_late(cells: list[Cell], tmp_path: Path) -> None:
    """Messages that came in while it worked are read before a worker is judged."""
    runner = Dispatcher(ToyPlace(1))

    def listen(name: str, **facts: Any) -> None:
        if name == "cell_started":
            time.sleep(0.3)

    try:
        found = list(runner.run([cells[:3]], tmp_path, listen, cell_timeout=0.1))
    finally:
        runner.close()
    assert [record.status for _, record in found] == ["ok"] * 3


def test_a_slot_that_can_not_start_again_is_given_up(
    cells: list[Cell], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Place(ToyPlace):
        def start(self, number: int, inbox: Callable[[Message], None]) -> ToySlot:
            self.starts[number] += 1
            if self.starts[number] > 1:
                raise HarnessError("no more processes")
            return ToySlot(self, number, inbox)

    place = Place(2, lambda cell, slot: DIES if slot == 0 else "ok")
    records, _ = drive(place, chunked(cells[:4], 1), tmp_path)
    assert {r.status for r in records.values()} == {"ok"}
    assert "no worker starts in slot 1: no more processes" in caplog.text
