"""Events on their way through a file that is written and read at the same time, and cut off by kills."""

from __future__ import annotations

import itertools
import math
import signal
import threading
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness_slurm.event_files import BEGUN, RECORDED, STARTED, STOPPED, EventReader, EventWriter

FACTS = st.dictionaries(st.text(), st.one_of(st.integers(), st.floats(allow_nan=False), st.text()))
EVENTS = st.lists(
    st.tuples(st.sampled_from(["cell_curve", "cell_work", "cell_image"]), st.text("abc"), FACTS)
)


def fresh(folder: Path) -> Path:
    path = folder / "events.jsonl"
    path.unlink(missing_ok=True)
    return path


@given(EVENTS)
def test_events_arrive_whole_and_in_order(
    tmp_path_factory: object, events: list[tuple[str, str, dict[str, object]]]
) -> None:
    path = fresh(tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    writer, reader = EventWriter(path), EventReader(path)
    got = []
    for name, cell, facts in events:
        writer.add(name, cell, facts=facts)
        got += reader.read()
    writer.close()
    got += reader.read()
    assert got == [(name, cell, {"facts": facts}) for name, cell, facts in events]


@given(EVENTS, st.data())
def test_a_line_that_a_kill_cut_off_costs_itself_alone(
    tmp_path_factory: object, events: list[tuple[str, str, dict[str, object]]], data: st.DataObject
) -> None:
    path = fresh(tmp_path_factory.getbasetemp())  # type: ignore[attr-defined]
    writer = EventWriter(path)
    for name, cell, facts in events:
        writer.add(name, cell, facts=facts)
    writer.close()
    whole = path.read_bytes() if events else b""
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    reader = EventReader(path)
    before = reader.read()
    assert before == [(n, c, {"facts": f}) for n, c, f in events[: whole[:cut].count(b"\n")]]
    again = EventWriter(path)
    again.add(BEGUN)
    again.close()
    # half a line may be a whole one but for its end
    after = reader.read()
    assert after[-1] == (BEGUN, "", {})
    assert len(after) <= 2


def test_of_waiting_progress_the_last_is_written(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "e", every=1000.0)
    for done in range(100):
        writer.add("cell_progress", "a", done=done, total=100)
        writer.add("cell_curve", "a", values={"loss": math.nan if done else 1.0})
    assert not (tmp_path / "e").read_bytes()
    writer.add(RECORDED, "a")  # written at once, and what waits before it
    lines = EventReader(tmp_path / "e").read()
    assert [line for line in lines if line[0] == "cell_progress"] == [
        ("cell_progress", "a", {"done": 99, "total": 100})
    ]
    assert sum(line[0] == "cell_curve" for line in lines) == 100
    assert lines[-1][0] == RECORDED
    assert math.isnan(lines[-2][2]["values"]["loss"])


def test_waiting_events_are_written_after_a_while(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "e", every=0.01)
    writer.add("cell_progress", "a", done=1, total=2)
    reader, got = EventReader(tmp_path / "e"), []
    while not got:
        got = reader.read()
    assert got == [("cell_progress", "a", {"done": 1, "total": 2})]
    writer.close()


def test_a_signal_in_the_middle_of_writing_is_written_too(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "e", every=1000.0)
    heard = itertools.count()
    left = 20

    def hear(*_: object) -> None:
        nonlocal left
        left -= 1
        writer.add(STOPPED, str(next(heard)))

    before = signal.signal(signal.SIGUSR1, hear)
    try:
        main = threading.main_thread().ident
        assert main is not None
        over = threading.Event()

        def disturb() -> None:
            while not over.wait(0.0005):
                signal.pthread_kill(main, signal.SIGUSR1)

        disturber = threading.Thread(target=disturb)
        disturber.start()
        written = 0
        while left > 0:
            writer.add(STARTED, str(written))
            written += 1
        over.set()
        disturber.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    writer.close()
    lines = EventReader(tmp_path / "e").read()
    assert [cell for name, cell, _ in lines if name == STARTED] == [str(n) for n in range(written)]
    assert [cell for name, cell, _ in lines if name == STOPPED] == [str(n) for n in range(next(heard))]


def test_a_file_that_nobody_needs_any_more_is_not_made_again(tmp_path: Path) -> None:
    writer = EventWriter(tmp_path / "e")
    writer.add(BEGUN)
    (tmp_path / "e").unlink()
    writer.add(RECORDED, "a")
    writer.close()
    assert not (tmp_path / "e").exists()
